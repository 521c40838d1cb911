"""Health models from files: the ones that ship are the published formulas, and one's own can say more."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.reference import explain
from schemas.catalogue import load_catalogue
from schemas.condition import AllOf, AnyOf, Between, Compare, Condition, Contains, NoneOf, OneOf, Presence
from schemas.errors import Problem
from schemas.facts import Facts
from schemas.health_file import read_health_model
from schemas.health_model import HealthModel
from schemas.language import Language
from schemas.loader import load_playbooks
from schemas.shipped_health import SHIPPED_HEALTH, shipped_model
from schemas.yaml_source import load_yaml
from scoring.health import Scorer, long_trend, points, score_trend, segment_weighted
from scoring.health_condition import compile_predicate
from tests.unit.test_docs import blocks

ROOT = Path(__file__).parents[2]
LANGUAGE = Language(load_catalogue(), {})
HEAD = """\
health: mine
factors:
"""
TAIL = """
weights: {everyone: {one: 100}}
bands: {healthy: 75, at_risk: 50}
"""


def read(text: str, name: str = "mine") -> tuple[HealthModel | None, list[Problem]]:
    return read_health_model(load_yaml(text, f"{name}.yaml"), LANGUAGE, name, [])


def scorer(text: str, name: str = "mine") -> Scorer:
    model, problems = read(text, name)
    assert problems == []
    assert model is not None
    return Scorer(model)


def factor(words: str, signals: dict[str, Any]) -> float | None:
    """What a single factor comes to."""
    return scorer(f"{HEAD}  one: {{{words}}}{TAIL}")(signals).factors.get("one")


# The models that ship.


def test_the_models_that_ship_lie_beside_the_playbooks_to_be_copied() -> None:
    for path in SHIPPED_HEALTH.glob("*.yaml"):
        assert (ROOT / "playbooks" / "health" / path.name).read_text() == path.read_text()
    assert {path.name for path in (ROOT / "playbooks" / "health").iterdir()} == {
        "segment-weighted.yaml", "points.yaml",
    }  # fmt: skip


WEIGHTS = {
    "new_user": (25, 20, 15, 15, 5, 20),
    "established": (20, 25, 25, 15, 10, 5),
    "power_user": (15, 30, 30, 10, 10, 5),
}
counts = st.integers(0, 60)
shares = st.fractions(0, 1, max_denominator=64).map(float)
anything = st.one_of(counts, shares, st.none(), st.sampled_from(["much", True, float("nan"), float("inf")]))
NUMBERS = (
    "days_since_last_login", "features_adopted", "clients_active_30d", "clients_total", "support_tickets_30d",
    "critical_milestones_done", "critical_milestones_total", "account_age_days", "forms_created",
    "clients_imported", "journeys_created", "templates_used", "form_completion_rate", "journey_performance",
)  # fmt: skip
KNOWN = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NUMBERS, anything)
    | {"avg_support_rating_30d": st.integers(4, 20).map(lambda quarters: quarters / 4)}
    | {"subscription_status": st.sampled_from(["active", "trial", "past_due", "cancelled", 7])}
    | {"segment": st.sampled_from([*WEIGHTS, "whale", 3])},
).map(lambda found: {name: value for name, value in found.items() if value is not None})


def number(signals: dict[str, Any], name: str, missing: int) -> Fraction:
    value = signals.get(name)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
    # Shares are fractions of small numbers: the one that was meant, not the float's, whose ties fall elsewhere.
    return Fraction(value).limit_denominator(1000) if usable and value is not None else Fraction(missing)


def held(value: Fraction) -> Fraction:
    return max(Fraction(0), min(Fraction(1), value))


def ratio(part: Fraction, whole: Fraction, without: int) -> Fraction:
    return held(part / whole) if whole > 0 else Fraction(without)


def segment_by_formula(signals: dict[str, Any]) -> str:
    if signals.get("segment") in WEIGHTS:
        return str(signals["segment"])
    return "new_user" if number(signals, "account_age_days", 30) < 30 else "established"


@given(KNOWN)
def test_segment_weighted_is_the_published_formula(signals: dict[str, Any]) -> None:
    tickets = number(signals, "support_tickets_30d", 0)
    rating = number(signals, "avg_support_rating_30d", 3)
    clients = number(signals, "clients_active_30d", 0), number(signals, "clients_total", 0)
    milestones = (
        number(signals, "critical_milestones_done", 0),
        number(signals, "critical_milestones_total", 0),
    )
    factors = (
        held((14 - number(signals, "days_since_last_login", 999)) / 14),
        held(number(signals, "features_adopted", 0) / 8),
        ratio(*clients, 0),
        held(max(Fraction(3, 10), rating / 5)) if tickets > 0 else Fraction(1),
        Fraction(1) if signals.get("subscription_status") == "active" else Fraction(1, 5),
        ratio(*milestones, 1),
    )
    segment = segment_by_formula(signals)
    exact = sum((f * w for f, w in zip(factors, WEIGHTS[segment], strict=True)), Fraction(0))
    score = int(exact + Fraction(1, 2))
    health = segment_weighted(signals)
    assert list(health.factors.values()) == pytest.approx([float(one) for one in factors])
    assert (health.score, health.segment) == (score, segment)
    assert health.risk_level == ("healthy" if score >= 75 else "at_risk" if score >= 50 else "critical")


@given(KNOWN)
def test_points_is_the_published_formula(signals: dict[str, Any]) -> None:
    days = number(signals, "days_since_last_login", 999)
    four = ("forms_created", "clients_imported", "journeys_created", "templates_used")
    factors = (
        Fraction(30 if days < 3 else 20 if days < 7 else 10 if days < 14 else 5 if days < 30 else 0),
        Fraction(25 * sum(number(signals, name, 0) > 0 for name in four), 4),
        25 * ratio(number(signals, "clients_active_30d", 0), number(signals, "clients_total", 0), 0),
        10 * held(number(signals, "form_completion_rate", 0)),
        10 * held(number(signals, "journey_performance", 0)),
    )
    score = int(sum(factors, Fraction(0)) + Fraction(1, 2))
    health = points(signals)
    assert list(health.factors.values()) == pytest.approx([float(one) for one in factors])
    assert health.score == score
    assert health.risk_level == ("critical" if score < 40 else "at_risk" if score < 70 else "healthy")


# One's own.


@pytest.mark.parametrize(
    ("words", "signals", "expected"),
    [
        ("signal: team_size, linear: {worst: 1, best: 5}", {"team_size": 2}, 0.25),
        ("signal: team_size, linear: {worst: 1, best: 5}", {"team_size": 9}, 1.0),
        ("signal: team_size, linear: {worst: 5, best: 1}", {"team_size": 2}, 0.75),
        ("signal: team_size, linear: {worst: 1, best: 5}, at_least: 0.4", {"team_size": 1}, 0.4),
        ("signal: team_size, linear: {worst: 1, best: 5}, at_most: 0.4", {"team_size": 5}, 0.4),
        ("signal: days_since_last_login, decay: {full: 7, half_life: 14}", {"days_since_last_login": 7}, 1.0),
        ("signal: days_since_last_login, decay: {full: 7, half_life: 14}", {"days_since_last_login": 35}, 0.25),
        ("signal: team_size, steps: {values: [{below: 1, gives: 1}, {below: 3, gives: 0.5}]}", {"team_size": 1}, 0.5),
        ("signal: team_size, steps: {values: [{below: 1, gives: 4}], rest: 1, out_of: 4}", {"team_size": 3}, 0.25),
        ("signal: plan, values: {pro: 0.8}, rest: 0.1", {"plan": "pro"}, 0.8),
        ("signal: plan, values: {pro: 0.8}, rest: 0.1", {"plan": "gold"}, 0.1),
        ("signal: clients_active_30d, share_of: clients_total", {"clients_active_30d": 3, "clients_total": 4}, 0.75),
        ("signal: clients_active_30d, share_of: clients_total, without: 0.5", {"clients_active_30d": 3}, 0.5),
        ("in_use: [forms_created, journeys_created]", {"forms_created": 2, "journeys_created": 0}, 0.5),
        ("gives: 1, when: {influencer: true}, otherwise: 0.3", {"influencer": True}, 1.0),
        ("gives: 1, when: {influencer: true}, otherwise: 0.3", {"influencer": False}, 0.3),
        ("gives: 1, when: {influencer: true}, otherwise: 0.3", {}, 0.3),
        # What is missing is left out, unless the factor says what stands in for it.
        ("signal: team_size, linear: {worst: 1, best: 5}", {}, None),
        ("signal: team_size, linear: {worst: 1, best: 5}, missing: leave_out", {"team_size": "five"}, None),
        ("signal: team_size, linear: {worst: 1, best: 5}, missing: 2", {}, 0.25),
        ("signal: team_size, linear: {worst: 1, best: 5}, missing: {gives: 0.6}", {}, 0.6),
        ("signal: plan, values: {pro: 1}, missing: {gives: 0.6}", {}, 0.6),
        ("signal: plan, values: {pro: 1}", {}, None),
        ("in_use: [forms_created, journeys_created]", {"forms_created": 2}, None),
        ("in_use: [forms_created, journeys_created], missing: 0", {"forms_created": 2}, 0.5),
        ("signal: clients_active_30d, share_of: clients_total", {"clients_total": 4}, None),
    ],
)  # fmt: skip
def test_shapes(words: str, signals: dict[str, Any], expected: float | None) -> None:
    assert factor(words, signals) == expected


TWO = """\
health: mine
factors:
  team: {signal: team_size, linear: {worst: 0, best: 4}}
  forms: {signal: forms_created, linear: {worst: 0, best: 10}}
weights: {everyone: {team: 25, forms: 75}}
bands: {healthy: 75, at_risk: 50}
"""


def test_a_factor_that_is_left_out_lets_the_others_count_for_more() -> None:
    assert scorer(TWO)({"team_size": 4, "forms_created": 0}).score == 25
    health = scorer(TWO)({"team_size": 3})
    assert (health.score, health.factors) == (75, {"team": 0.75})


def test_who_is_hardly_known_is_unknown_and_not_red() -> None:
    strict = scorer(TWO + "minimum_coverage: 50%\n")
    known = strict({"forms_created": 1})
    assert (known.score, known.risk_level) == (10, "critical")
    unknown = strict({"team_size": 0})
    assert (unknown.score, unknown.risk_level) == (None, "unknown")
    assert strict.coverage({"team_size": 0}) == 0.25
    # Nothing at all is known of this one, whatever the least coverage.
    assert scorer(TWO)({}).risk_level == "unknown"


def test_a_factor_is_known_where_its_condition_is_and_what_that_leads_to() -> None:
    support = scorer(
        f"{HEAD}  one: {{signal: avg_support_rating_30d, linear: {{worst: 1, best: 5}}, "
        f'when: {{support_tickets_30d: "> 0"}}, otherwise: 1}}{TAIL}'
    )
    assert support.coverage({"support_tickets_30d": 0}) == 1
    assert support.coverage({"support_tickets_30d": 2}) == 0
    assert support.coverage({"support_tickets_30d": 2, "avg_support_rating_30d": 4}) == 1
    assert support.coverage({"avg_support_rating_30d": 4}) == 0


def test_weights_may_differ_by_segment_and_plan() -> None:
    rows = """\
health: mine
factors:
  team: {signal: team_size, linear: {worst: 0, best: 4}}
  forms: {signal: forms_created, linear: {worst: 0, best: 10}}
weights:
  everyone: {team: 100}
  new_user: {team: 40, forms: 60}
plans:
  pro: {new_user: {forms: 100}}
  business: {everyone: {team: 30, forms: 70}}
bands: {healthy: 75, at_risk: 50}
"""
    score = scorer(rows)
    signals = {"team_size": 4, "forms_created": 0}
    assert score({**signals, "segment": "power_user"}).score == 100
    assert score({**signals, "segment": "new_user"}).score == 40
    assert score({**signals, "segment": "new_user", "plan": "pro"}).score == 0
    assert score({**signals, "segment": "established", "plan": "pro"}).score == 100
    assert score({**signals, "segment": "established", "plan": "business"}).score == 30
    assert score({**signals, "segment": "new_user", "plan": "business"}).score == 30


def test_overrides_hold_whatever_the_factors_say() -> None:
    overridden = scorer(
        TWO + "overrides:\n  - {when: {subscription_status: cancelled}, at_most: 30}\n"
        '  - {when: {failed_payments_30d: ">= 2"}, risk: critical}\n'
        "  - {when: {influencer: true}, at_least: 60}\n"
    )
    full = {"team_size": 4, "forms_created": 10}
    assert overridden(full).score == 100
    cancelled = overridden({**full, "subscription_status": "cancelled"})
    assert (cancelled.score, cancelled.risk_level) == (30, "critical")
    unpaid = overridden({**full, "failed_payments_30d": 2})
    assert (unpaid.score, unpaid.risk_level) == (100, "critical")
    assert overridden({"team_size": 0, "forms_created": 0, "influencer": True}).score == 60


def test_a_model_says_what_a_trend_is() -> None:
    model, _ = read(TWO + "trend: {stable_within: 1, stable_slope: 3, days: 5, least_scores: 3}\n")
    assert model is not None
    assert score_trend(52, 50) == "stable"
    assert score_trend(52, 50, model.trend) == "improving"
    today = datetime(2026, 6, 30, tzinfo=UTC).date()
    scores = {today.replace(day=day): 2 * day for day in range(20, 31)}
    assert (long_trend(scores, today), long_trend(scores, today, model.trend)) == ("improving", "stable")
    assert long_trend({today: 1, today.replace(day=29): 9}, today, model.trend) is None


@given(KNOWN, st.integers(0, 100), st.integers(1, 100))
def test_bands_are_monotone_and_scores_stay_between_0_and_100(
    signals: dict[str, Any], at_risk: int, more: int
) -> None:
    bands = {"healthy": min(100, at_risk + more), "at_risk": at_risk}
    model = shipped_model("segment-weighted")
    moved = model.model_copy(update={"bands": model.bands.model_copy(update=bands)})
    order = ["critical", "at_risk", "healthy"]
    levels = [order.index(moved.risk_of(score)) for score in range(101)]
    assert all(lower <= higher for lower, higher in pairwise(levels))
    health = Scorer(moved)(signals)
    assert health.score is not None
    assert 0 <= health.score <= 100
    assert health.risk_level == moved.risk_of(health.score)


@given(KNOWN, st.integers(0, 40), st.integers(0, 40))
def test_a_better_signal_never_lowers_the_score(signals: dict[str, Any], one: int, other: int) -> None:
    for score in (segment_weighted, points):
        recent, long_ago = (
            score({**signals, "days_since_last_login": days}).score
            for days in (min(one, other), max(one, other))
        )
        assert recent is not None
        assert long_ago is not None
        assert recent >= long_ago


names = st.sampled_from(["a", "b", "c"])
constants: st.SearchStrategy[Any] = st.one_of(st.integers(-2, 2), st.sampled_from(["x", "y"]), st.booleans())
leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(
        Compare, signal=names, op=st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), value=constants
    ),
    st.builds(OneOf, signal=names, values=st.lists(constants, min_size=1, max_size=3).map(tuple)),
    st.builds(Between, signal=names, low=st.integers(-2, 0), high=st.integers(0, 2)),
    st.builds(Presence, signal=names, present=st.booleans()),
    st.builds(Contains, signal=names, item=st.sampled_from(["x", "y"])),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        *(
            st.builds(group, items=st.lists(inner, min_size=1, max_size=3).map(tuple))
            for group in (AllOf, AnyOf, NoneOf)
        )
    ),
    max_leaves=6,
)
values = st.one_of(constants, st.floats(-2, 2), st.just(("x",)))


@settings(max_examples=300)
@given(conditions, st.dictionaries(names, values))
def test_conditions_mean_here_what_they_mean_everywhere(
    condition: Condition, signals: dict[str, Any]
) -> None:
    facts = Facts("c", datetime(2026, 6, 30, tzinfo=UTC), signals)
    assert compile_predicate(condition)(signals) is explain(condition, facts).result


# Files.


def test_the_models_of_the_documents_validate() -> None:
    models = [text for text in blocks(ROOT / "docs" / "health.md", "yaml") if text.startswith("health:")]
    assert models
    known: dict[str, Any] = {
        "days_since_last_login": 3,
        "support_tickets_30d": 0,
        "subscription_status": "trial",
    }
    for text in models:
        assert scorer(text, text.split()[1])(known).score is not None


def test_a_copy_under_another_name_scores_alike_and_can_be_made_the_one_that_scores(tmp_path: Path) -> None:
    (tmp_path / "health").mkdir()
    text = (SHIPPED_HEALTH / "points.yaml").read_text().replace("health: points", "health: ours")
    (tmp_path / "health" / "ours.yaml").write_text(text)
    (tmp_path / "policy.yaml").write_text("health_model: ours\n")
    loaded = load_playbooks(tmp_path, load_catalogue(), {})
    assert loaded.problems == []
    assert loaded.policy is not None
    assert loaded.policy.health_model == "ours"
    signals: dict[str, Any] = {"days_since_last_login": 4, "forms_created": 1}
    assert Scorer(loaded.health["ours"])(signals) == points(signals)


def test_a_broken_model_spoils_neither_the_policy_that_names_it_nor_the_others(tmp_path: Path) -> None:
    (tmp_path / "health").mkdir()
    (tmp_path / "health" / "ours.yaml").write_text("health: ours\n")
    (tmp_path / "health" / "mine.yaml").write_text(TWO)
    (tmp_path / "policy.yaml").write_text("health_model: ours\n")
    loaded = load_playbooks(tmp_path, load_catalogue(), {})
    assert {Path(problem.file).name for problem in loaded.problems} == {"ours.yaml"}
    assert (set(loaded.health), loaded.broken_health) == ({"mine"}, frozenset({"ours"}))
    assert loaded.policy is not None
    assert loaded.policy.health_model == "ours"


def test_a_model_survives_being_stored() -> None:
    model = shipped_model("segment-weighted")
    again = HealthModel.model_validate_json(model.model_dump_json())
    assert again == model
    assert again.digest == model.digest
    assert "days_since_last_login" in model.signals
    assert "support_tickets_30d" in model.signals
