"""The population's signals are those of every single customer, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import Catalogue, load_catalogue
from schemas.derivation import Count, DaysWith, Derivation, Distinct, DropPercent, Mean, Recent
from scoring.derivations import compile_derivations
from scoring.health import Scorer, score_trend, shipped_scorer
from scoring.population.days import NO_SCORE
from scoring.population.deriving import derive_columns
from scoring.population.tallies import TallyColumns, events_to_read
from scoring.population.windows import read_windows
from scoring.signals import UNMEASURED, Tally, derive
from tests.unit.population_customers import (
    One,
    derive_many,
    derive_one,
    draw_customers,
    parts_of,
    signals_of,
)

NOW = datetime(2026, 6, 30, 15, 4, 5, 678901, tzinfo=UTC)
CATALOGUE = load_catalogue()
SCORER = shipped_scorer()
CORE = CATALOGUE.core_features


def assert_same(
    customers: list[One], now: datetime, catalogue: Catalogue = CATALOGUE, scorer: Scorer = SCORER
) -> None:
    many = derive_many(customers, now, catalogue, scorer)
    for row, one in enumerate(customers):
        assert signals_of(many.signals, row, catalogue) == derive_one(one, now, catalogue, scorer), row


@pytest.mark.parametrize("model", ["segment-weighted", "points"])
@pytest.mark.parametrize(
    "now",
    [
        NOW,
        datetime(2026, 6, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
)
def test_every_signal_of_every_customer(model: str, now: datetime) -> None:
    customers = draw_customers(int(now.timestamp()), 120, now, CATALOGUE)
    assert_same(customers, now, scorer=shipped_scorer(model))


def test_what_goes_with_the_score() -> None:
    customers = draw_customers(12, 150, NOW, CATALOGUE)
    many = derive_many(customers, NOW, CATALOGUE, SCORER)
    assert len(set(many.score_trend.codes.tolist())) >= 3
    for row, one in enumerate(customers):
        # As many days back as they are read.
        scores = {day: score for day, score in one.scores.items() if NOW.date() - day <= timedelta(days=31)}
        single = derive(one.stored, one.tallies, now=NOW, catalogue=CATALOGUE, previous=scores, score=SCORER)
        score, previous = single.health.score, single.previous_score
        assert score == many.health.score[row]
        assert (NO_SCORE if previous is None else previous) == many.previous[row]
        assert score is not None
        assert many.score_trend.levels[many.score_trend.codes[row]] == score_trend(score, previous)
        assert many.enhanced[row] == single.signals["enhanced_score"]
        names = [factor.name for factor in SCORER.model.factors]
        assert dict(zip(names, many.health.factors[row].tolist(), strict=True)) == single.health.factors


def test_tallies_may_come_in_any_order() -> None:
    customers = draw_customers(5, 40, NOW, CATALOGUE)
    stored, tallies, _ = parts_of(customers, NOW, CATALOGUE)
    order = np.random.default_rng(1).permutation(len(tallies.row))
    # Means add up in the order of the entries, so whole numbers here.
    mixed = TallyColumns(
        tallies.names,
        *(
            part[order]
            for part in (tallies.row, tallies.name, tallies.detail, tallies.age_days, tallies.count)
        ),
        np.round(tallies.total[order]),
        tallies.texts,
    )
    plan, lists = compile_derivations(CATALOGUE), ["recent_features"]
    straight = read_windows(plan, replace(tallies, total=np.round(tallies.total)), stored.n, lists=lists)
    shuffled = read_windows(plan, mixed, stored.n, lists=lists)
    assert straight.lists == shuffled.lists
    for name, values in straight.numbers.items():
        np.testing.assert_array_equal(values, shuffled.numbers[name])


def test_details_may_be_hashes() -> None:
    customers = draw_customers(6, 40, NOW, CATALOGUE)
    stored, tallies, _ = parts_of(customers, NOW, CATALOGUE)
    dice = np.random.default_rng(2)
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    hashes = dice.integers(low, high, len(tallies.texts))
    hashes[:2] = (0, 1)
    hashed = replace(
        tallies,
        detail=hashes[tallies.detail],
        texts={int(hashes[code]): text for code, text in tallies.texts.items()},
    )
    plan = compile_derivations(CATALOGUE)
    one = read_windows(plan, tallies, stored.n, lists=["recent_features"])
    other = read_windows(plan, hashed, stored.n, lists=["recent_features"])
    assert one.lists == other.lists
    for name, values in one.numbers.items():
        np.testing.assert_array_equal(values, other.numbers[name])


def test_only_the_texts_that_are_read_are_needed() -> None:
    assert events_to_read(compile_derivations(CATALOGUE)) == {"feature_used"}
    customers = draw_customers(7, 20, NOW, CATALOGUE)
    stored, tallies, _ = parts_of(customers, NOW, CATALOGUE)
    core = {code: text for code, text in tallies.texts.items() if text in CORE}
    plan = compile_derivations(CATALOGUE)
    whole, least = (read_windows(plan, one, stored.n) for one in (tallies, replace(tallies, texts=core)))
    np.testing.assert_array_equal(whole.numbers["features_adopted"], least.numbers["features_adopted"])
    assert whole.numbers["features_adopted"].any()
    assert not whole.lists
    with pytest.raises(ValueError, match="texts lacks a detail"):
        read_windows(plan, replace(tallies, texts=core), stored.n, lists=["recent_features"])


def test_nobody_and_nothing() -> None:
    assert_same([One()], NOW)
    assert_same([One(), One(tallies=[Tally("unheard_of", "x", NOW.date(), 3, 1.0)])], NOW)
    many = derive_many([], NOW, CATALOGUE, SCORER)
    assert many.signals.n == 0
    assert len(many.health.score) == 0


def test_what_was_derived_earlier_is_left_out() -> None:
    fresh = One(stored={"plan": "pro", "last_login": NOW - timedelta(days=3)})
    stored, tallies, scores = parts_of([fresh], NOW, CATALOGUE)
    stale = {
        "health_score": np.array([99.0]),
        "avg_session_minutes": np.array([5.0]),
        "session_count_30d": np.array([7.0]),
    }
    many = derive_columns(
        replace(stored, numbers={**stored.numbers, **stale}),
        tallies,
        scores,
        now=NOW,
        catalogue=CATALOGUE,
        scorer=SCORER,
    )
    assert signals_of(many.signals, 0, CATALOGUE) == derive_one(fresh, NOW, CATALOGUE, SCORER)


def test_other_numbers_of_rows_are_refused() -> None:
    stored, tallies, _ = parts_of([One(), One()], NOW, CATALOGUE)
    _, _, scores = parts_of([One()], NOW, CATALOGUE)
    with pytest.raises(ValueError, match="1 rows of scores for 2 customers"):
        derive_columns(stored, tallies, scores, now=NOW, catalogue=CATALOGUE, scorer=SCORER)


# A catalogue of windows alone: any form over any events and days.
EVENTS = ("login", "session_ended", "feature_used", "client_active", "ticket_rated")
several = st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3, unique=True).map(tuple)
days = st.integers(1, 12)
with_detail, with_measure = (
    st.sampled_from(["feature_used", "client_active"]),
    st.sampled_from(["session_ended", "ticket_rated"]),
)
forms = st.one_of(
    st.builds(Count, events=several, days=days).map(lambda part: Derivation(count=part)),
    st.builds(DaysWith, events=several, days=days).map(lambda part: Derivation(days_with=part)),
    st.builds(Mean, event=with_measure, days=days).map(lambda part: Derivation(mean=part)),
    st.builds(
        Distinct, event=with_detail, days=days, at_least_days=st.integers(1, 3), core=st.booleans()
    ).map(lambda part: Derivation(distinct=part)),
    st.builds(Recent, event=with_detail, days=days, keep=st.integers(1, 4)).map(
        lambda part: Derivation(recent=part)
    ),
    st.builds(DropPercent, events=several, days=st.integers(1, 6)).map(
        lambda part: Derivation(drop_percent=part)
    ),
)


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    signals = dict(CATALOGUE.signals)
    templates = {
        "number": signals["session_count_30d"],
        "list": signals["recent_features"],
        "bool": signals["recent_viral_activity"],
    }
    for place, form in enumerate(draw(st.lists(forms, min_size=1, max_size=14))):
        kind = "list" if form.recent else "bool" if form.count and draw(st.booleans()) else "number"
        name = f"own_{place}"
        signals[name] = templates[kind].model_copy(update={"name": name, "derive": (form,)})
    return Catalogue(signals, CATALOGUE.events, CATALOGUE.core_features)


keys = st.tuples(
    st.sampled_from([*EVENTS, "form_created", "unheard_of"]),
    st.sampled_from(["", UNMEASURED, CORE[0], CORE[1], "zäh", "a", "b"]),
    st.integers(-2, 14).map(lambda ago: NOW.date() - timedelta(days=ago)),
)
amounts = st.tuples(st.integers(1, 5), st.floats(0, 1e6))
histories = st.dictionaries(keys, amounts, max_size=25).map(
    lambda found: [Tally(*key, *amount) for key, amount in found.items()]
)


@settings(max_examples=120, deadline=None)
@given(catalogues(), st.lists(histories, min_size=1, max_size=5))
def test_any_catalogue_and_any_tallies(catalogue: Catalogue, happened: list[list[Tally]]) -> None:
    assert_same([One(tallies=tallies) for tallies in happened], NOW, catalogue)


def test_more_windows_than_one_word_holds() -> None:
    signals = dict(CATALOGUE.signals)
    for place in range(40):
        form = Derivation(days_with=DaysWith(events=("login",), days=place + 1))
        signals[f"own_{place}"] = signals["active_days_30d"].model_copy(
            update={"name": f"own_{place}", "derive": (form,)}
        )
    catalogue = Catalogue(signals, CATALOGUE.events, CORE)
    customers = draw_customers(8, 20, NOW, catalogue)
    assert_same(customers, NOW, catalogue)


def test_ages_change_at_the_instant_not_at_midnight() -> None:
    login = datetime(2026, 6, 28, 23, 59, 59, tzinfo=UTC)
    customers = [One(stored={"last_login": login, "signed_up_at": login + timedelta(days=1)})]
    for now in (
        login,
        login + timedelta(days=1, microseconds=-1),
        login + timedelta(days=1),
        date_end(login.date()),
    ):
        assert_same(customers, now)


def date_end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
