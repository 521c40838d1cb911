"""Health in columns is that of the scorer, to the last bit, whatever the model says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.condition import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    Contains,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
    Value,
)
from schemas.health_model import (
    EVERYONE,
    SEGMENTS,
    Bands,
    Constant,
    Decay,
    Factor,
    HealthModel,
    InUse,
    Linear,
    Missing,
    Override,
    Share,
    Step,
    Steps,
    Trend,
    Values,
)
from scoring.health import Scorer, average_health, long_trend, score_trend
from scoring.health_condition import compile_predicate
from scoring.population.days import (
    DAYS,
    NO_SCORE,
    average_scores,
    latest_scores,
    long_trends,
    round_ninth,
    score_trends,
)
from scoring.population.health import RISKS, SEGMENT_LEVELS, score_health
from scoring.population.known import Known
from scoring.population.truths import judge
from tests.unit.population_customers import (
    day_scores,
    derive_many,
    derive_one,
    draw_customers,
    signal_columns,
    signals_of,
)

NOW = datetime(2026, 6, 30, 15, 4, 5, tzinfo=UTC)
TODAY = NOW.date()
CATALOGUE = load_catalogue()
BOOLS = frozenset(name for name, signal in CATALOGUE.signals.items() if signal.type == "bool")

NUMBERS = (
    "days_since_last_login",
    "features_adopted",
    "clients_active_30d",
    "clients_total",
    "account_age_days",
)
TEXTS = ("plan", "subscription_status", "segment")
numbers = st.one_of(
    st.sampled_from([0, 1, 2, 7, 8, 14, 29, 30, 0.5, 1.5, -1, 3.75, 999, 2**53]),
    st.floats(-5, 60, allow_subnormal=False),
)
shares = st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.7, 1.0])
texts = st.sampled_from(["pro", "free", "active", "trial", "new_user", "power_user", "established", ""])
constants = st.one_of(numbers, texts, st.booleans(), st.sampled_from([2**60, -(10**400)]))
names = st.sampled_from([*NUMBERS, *TEXTS, "influencer", "tags", "last_login", "unheard_of"])

lines: list[st.SearchStrategy[Condition]] = [
    st.builds(
        Compare, signal=names, op=st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), value=constants
    ),
    st.builds(
        Compare, signal=st.sampled_from(NUMBERS), op=st.sampled_from(["lt", "gt", "eq"]), value=numbers
    ),
    st.builds(OneOf, signal=names, values=st.lists(constants, max_size=4).map(tuple)),
    st.builds(Between, signal=names, low=numbers, high=numbers),
    st.builds(Presence, signal=names, present=st.booleans()),
    st.builds(Contains, signal=names, item=st.sampled_from(["", "o", "vip", "pro"])),
]


def groups(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    items = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(*(st.builds(kind, items=items) for kind in (AllOf, AnyOf, NoneOf)))


conditions = st.recursive(st.one_of(*lines), groups, max_leaves=6)
whens = conditions.map(lambda node: AllOf(items=(node,)))

number_names, text_names = st.sampled_from(NUMBERS), st.sampled_from([*TEXTS, "unheard_of"])
limits = st.lists(st.integers(0, 40), max_size=4, unique=True).map(sorted)
shapes = st.one_of(
    st.builds(Linear, signal=number_names, worst=numbers, best=numbers).filter(lambda one: one.worst != one.best),
    st.builds(
        lambda name, below, gives, rest, out_of: Steps(
            signal=name,
            steps=tuple(Step(below=limit, gives=part) for limit, part in zip(below, gives, strict=False)),
            rest=rest,
            out_of=out_of,
        ),
        number_names, limits, st.lists(st.integers(0, 30), min_size=4, max_size=4), shares, st.sampled_from([1, 3, 30]),
    ),
    st.builds(Decay, signal=number_names, full=st.sampled_from([0, 3, 7.5]), half_life=st.sampled_from([0.1, 3, 7])),
    st.builds(Share, signal=number_names, whole=number_names, without=shares),
    st.builds(Values, signal=text_names, values=st.dictionaries(texts, shares, max_size=3), rest=shares),
    st.builds(InUse, signals=st.lists(number_names, min_size=1, max_size=4).map(tuple)),
    st.builds(Constant, share=shares),
)  # fmt: skip
missing = st.one_of(
    st.just(Missing()), st.builds(Missing, counts_as=numbers), st.builds(Missing, gives=shares)
)


@st.composite
def factors(draw: st.DrawFn) -> list[Factor]:
    made = []
    for place in range(draw(st.integers(1, 5))):
        shape = draw(shapes)
        policy = draw(missing)
        if isinstance(shape, Values) and policy.counts_as is not None:
            policy = Missing()
        low, high = draw(st.sampled_from([(0.0, 1.0), (0.0, 1.0), (0.3, 1.0), (0.2, 0.6)]))
        when = draw(st.one_of(st.none(), whens))
        made.append(
            Factor(
                name=f"f{place}", shape=shape, missing=policy, at_least=low, at_most=high, when=when,
                otherwise=draw(shares),
            )
        )  # fmt: skip
    return made


@st.composite
def models(draw: st.DrawFn) -> HealthModel:
    made = draw(factors())
    parts = st.lists(st.sampled_from([0, 1, 1, 2, 5]), min_size=len(made), max_size=len(made))

    def row() -> dict[str, float]:
        drawn = draw(parts)
        whole = sum(drawn)
        if whole == 0:
            drawn[0] = whole = 1
        return {factor.name: 100 * part / whole for factor, part in zip(made, drawn, strict=True) if part}

    weights = {EVERYONE: row()} | {segment: row() for segment in SEGMENTS if draw(st.booleans())}
    keys = st.lists(st.sampled_from([EVERYONE, *SEGMENTS]), min_size=1, unique=True)
    plans = {
        plan: {key: row() for key in draw(keys)} for plan in draw(st.sets(st.sampled_from(["pro", "free"])))
    }
    overrides = st.builds(
        Override,
        when=whens,
        at_most=st.sampled_from([None, 0, 35, 100]),
        at_least=st.sampled_from([None, 0, 60]),
        risk=st.sampled_from([None, "critical", "healthy"]),
    )
    return HealthModel(
        name="drawn",
        shown=draw(st.sampled_from(["shares", "points"])),
        factors=tuple(made),
        weights=weights,
        plans=plans,
        bands=Bands(healthy=draw(st.integers(50, 100)), at_risk=draw(st.integers(0, 49))),
        minimum_coverage=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])),
        overrides=tuple(draw(st.lists(overrides, max_size=3))),
    )


@st.composite
def customers(draw: st.DrawFn) -> list[dict[str, Value]]:
    some: Mapping[str, st.SearchStrategy[Value]] = {
        **dict.fromkeys(NUMBERS, numbers),
        **dict.fromkeys(TEXTS, texts),
        "influencer": st.booleans(),
        "tags": st.sampled_from([(), ("vip",), ("pro", "o")]),
        "last_login": st.just(NOW),
    }
    row = st.fixed_dictionaries({}, optional=some)  # type: ignore[arg-type]
    return draw(st.lists(row, min_size=1, max_size=6))  # type: ignore[arg-type]


def known_of(rows: list[dict[str, Value]]) -> Known:
    return Known(signal_columns(rows, CATALOGUE), BOOLS)


@settings(max_examples=300, deadline=None)
@given(models(), customers())
def test_any_model_and_any_customers(model: HealthModel, rows: list[dict[str, Value]]) -> None:
    scorer = Scorer(model)
    with np.errstate(all="ignore"):
        many = score_health(model, known_of(rows))
    for row, signals in enumerate(rows):
        one = scorer(signals)
        score, risk = int(many.score[row]), int(many.risk.codes[row])
        assert (None if score == NO_SCORE else score) == one.score
        assert ("unknown" if risk < 0 else RISKS[risk]) == one.risk_level
        assert SEGMENT_LEVELS[many.segment.codes[row]] == one.segment
        worth = zip(model.factors, many.factors[row].tolist(), strict=True)
        assert {factor.name: value for factor, value in worth if not math.isnan(value)} == one.factors
        assert many.coverage[row] == scorer.coverage(signals)


@settings(max_examples=300, deadline=None)
@given(conditions, customers())
def test_any_condition(node: Condition, rows: list[dict[str, Value]]) -> None:
    holds = compile_predicate(node)
    answers = {1: True, 0: None, -1: False}
    assert [answers[int(truth)] for truth in judge(node, known_of(rows))] == [holds(row) for row in rows]


def test_what_asks_for_more_than_signals_is_refused() -> None:
    with pytest.raises(TypeError, match="can't ask for event_count"):
        judge(AllOf(items=(EventCount(name="login"),)), known_of([{}]))


@settings(max_examples=25, deadline=None)
@given(models(), st.integers(0, 10**6))
def test_signals_with_any_model(model: HealthModel, seed: int) -> None:
    scorer = Scorer(model)
    drawn = draw_customers(seed, 3, NOW, CATALOGUE)
    many = derive_many(drawn, NOW, CATALOGUE, scorer)
    for row, one in enumerate(drawn):
        assert signals_of(many.signals, row, CATALOGUE) == derive_one(one, NOW, CATALOGUE, scorer)


past = st.dictionaries(st.integers(-1, 34), st.integers(0, 100), max_size=34).map(
    lambda found: {TODAY - timedelta(days=ago): score for ago, score in found.items()}
)
trends = st.builds(
    Trend,
    stable_within=st.sampled_from([0, 3, 5, 7.5]),
    stable_slope=st.sampled_from([0, 0.5, 1, 1 / 3]),
    days=st.integers(2, 30),
    least_scores=st.integers(2, 7),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(past, min_size=1, max_size=5), trends)
def test_trends_and_means(scores: list[dict[date, int]], rules: Trend) -> None:
    days = day_scores(scores, TODAY)
    means, long = average_scores(days), long_trends(days, rules)
    latest = latest_scores(days)
    today = days.values[:, 0]
    changes = score_trends(today, latest, rules)
    for row, by_day in enumerate(scores):
        mean = average_health(by_day, TODAY)
        assert means[row] == mean if mean is not None else math.isnan(means[row])
        code = int(long.codes[row])
        assert (long.levels[code] if code >= 0 else None) == long_trend(by_day, TODAY, rules)
        before = [day for day in by_day if TODAY - timedelta(days=DAYS) < day < TODAY]
        previous = by_day[max(before)] if before else None
        assert int(latest[row]) == (NO_SCORE if previous is None else previous)
        change = int(changes.codes[row])
        if TODAY in by_day:
            assert changes.levels[change] == score_trend(by_day[TODAY], previous, rules)
        else:
            assert change == -1


@given(
    st.one_of(
        st.floats(0, 100),
        st.integers(0, 10**11).map(lambda parts: (parts + 0.5) / 1e9),
        st.integers(0, 200).map(lambda halves: halves / 2 + 1e-14),
    )
)
def test_rounding_is_that_of_python(exact: float) -> None:
    assert round_ninth(np.array([exact, -exact])).tolist() == [round(exact, 9), round(-exact, 9)]
