"""Predictions in columns are those of each single customer."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.hazard_world import make_world
from schemas.catalogue import load_catalogue
from schemas.policy import ChurnPolicy, MarketRow
from scoring.features import allow_list_digest
from scoring.hazard import HazardModel, HazardSettings, fit_hazard, outlook
from scoring.health import Scorer, shipped_scorer
from scoring.population.deriving import Derived
from scoring.population.known import Known
from scoring.population.named import NAMED
from scoring.population.predictions import CONFIDENCES, LEVELS, SOURCES, URGENCIES, PredictionColumns, predict
from scoring.prediction import Prediction
from scoring.predictors import RULES_ONLY, Predictors, predict_one
from tests.unit.population_customers import (
    One,
    derive_many,
    derive_one,
    draw_customers,
    signal_columns,
    signals_of,
)

NOW = datetime(2026, 6, 30, 15, 4, 5, tzinfo=UTC)
CATALOGUE = load_catalogue()
SCORER = shipped_scorer()


def singly(one: One, now: datetime, predictors: Predictors, scorer: Scorer = SCORER) -> Prediction | None:
    known = derive_one(one, now, CATALOGUE, scorer, predictors)
    return predict_one(predictors, known, now, CATALOGUE)


def day_of(found: np.datetime64) -> date | None:
    day: Any = found.astype(object)
    return day


def number_of(found: float) -> float | None:
    return None if math.isnan(found) else float(found)


def assert_same(many: PredictionColumns, row: int, one: Prediction | None) -> None:
    assert bool(many.scored[row]) == (one is not None)
    if one is None:
        return
    source = SOURCES[many.source[row]]
    assert (source, CONFIDENCES[many.confidence[row]], many.versions[many.source[row]]) == (
        one.source, one.confidence, one.version,
    )  # fmt: skip
    assert many.probability[row] == one.probability
    if source == "rule_of_thumb":
        assert np.isnan(many.within[row]).all()
    else:
        assert one.within is not None
        np.testing.assert_allclose(many.within[row], one.within, rtol=1e-9)
    assert (LEVELS[many.level[row]], URGENCIES[many.urgency[row]]) == (one.level, one.urgency)
    assert (many.priority[row], many.recommended[row], many.multi_channel[row]) == (
        one.priority, one.recommended, one.multi_channel,
    )  # fmt: skip
    assert dict(zip(NAMED, many.factors[row].tolist(), strict=True)) == one.factors
    assert number_of(many.ltv_at_risk[row]) == one.ltv_at_risk
    assert number_of(many.prevention_cost[row]) == one.prevention_cost
    assert day_of(many.expected[row]) == one.expected
    assert day_of(many.earliest[row]) == one.earliest
    assert day_of(many.latest[row]) == one.latest
    shown = [int(place) for place in many.reasons[row] if place >= 0]
    assert [many.sources[place] for place in shown] == [reason.signal for reason in one.reasons[:3]]
    np.testing.assert_allclose(
        many.effects[row][: len(shown)], [reason.effect for reason in one.reasons[:3]], rtol=1e-9, atol=1e-12
    )


def assert_all_same(
    customers: list[One], now: datetime, predictors: Predictors, scorer: Scorer = SCORER
) -> Derived:
    many = derive_many(customers, now, CATALOGUE, scorer, predictors)
    for row, one in enumerate(customers):
        assert_same(many.predictions, row, singly(one, now, predictors, scorer))
        known = derive_one(one, now, CATALOGUE, scorer, predictors)
        assert signals_of(many.signals, row, CATALOGUE) == known
    return many


def test_the_rule_of_thumb() -> None:
    customers = draw_customers(11, 300, NOW, CATALOGUE)
    many = assert_all_same(customers, NOW, RULES_ONLY).predictions
    assert 0.2 < many.scored.mean() < 1
    assert set(many.source.tolist()) == {SOURCES.index("rule_of_thumb")}
    # Of everything there is some, or this would say little.
    assert len(np.unique(many.level[many.scored])) == 4
    assert set(np.unique((many.reasons[many.scored] >= 0).sum(axis=1))) == {0, 1, 2, 3}


shares = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0]))
markets = st.lists(
    st.builds(
        MarketRow,
        vendor_type=st.sampled_from([None, "photographer", "venue", ""]),
        month=st.sampled_from([None, 5, 6, 7]),
        competitor_activity=shares,
        seasonal_factors=shares,
    ),
    max_size=6,
).map(tuple)
policies = st.builds(
    ChurnPolicy,
    lifetime_months=st.sampled_from([18.0, 7.5]),
    prevention_share=st.sampled_from([0.1, 0.33]),
    prevention_limit=st.sampled_from([0.0, 20.0, 500.0]),
    market=markets,
)


@settings(max_examples=30, deadline=None)
@given(policies, st.integers(0, 10**6), st.sampled_from([NOW, datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)]))
def test_any_policy(policy: ChurnPolicy, seed: int, now: datetime) -> None:
    assert_all_same(draw_customers(seed, 4, now, CATALOGUE), now, Predictors(policy=policy))


def test_every_step_of_the_rule_of_thumb_and_what_follows_from_it() -> None:
    rows: list[dict[str, Any]] = [
        {
            "days_since_last_login": absent,
            "unique_features_used": features,
            "health_trend": trend,
            "avg_health_30d": mean,
            "days_since_last_milestone": milestone,
            "monthly_price": 49,
        }
        for absent, features, trend, mean, milestone in product(
            [3, 4, 7, 8, 14, 15], [1, 2, 3, 4], ["declining", "stable", "improving"], [49.5, 50], [30, 31]
        )
    ]
    many = predict(RULES_ONLY, Known(signal_columns(rows, CATALOGUE), ()), NOW, CATALOGUE)
    for row, signals in enumerate(rows):
        assert_same(many, row, predict_one(RULES_ONLY, signals, NOW, CATALOGUE))
    # The steps at which a level, a rescue or a recommendation begins are among them.
    assert {0.4, 0.6, 0.7} <= set(many.probability.tolist())


def test_every_probability_that_is_told_is_of_the_same_level(model: HazardModel) -> None:
    # The curve is made to end where levels begin, or just beside it.
    for target in (0.2, 0.4, 0.6, 0.7, 0.8):
        for beside in (-1e-6, 0.0, 1e-6):
            said = replace_within(model, target + beside)
            many = derive_many([One()], NOW, CATALOGUE, SCORER, said)
            assert many.predictions.probability[0] == round(target + beside, 6)
            assert_same(many.predictions, 0, singly(One(), NOW, said))


def replace_within(model: HazardModel, probability: float) -> Predictors:
    """Predictors that tell this probability of a customer of whom nothing is known."""
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        flat = msgspec.structs.replace(model, effects=(), pairs=(), rules=(), intercept=middle)
        found = outlook(flat, {}, None).within[2]
        low, high = (middle, high) if found < probability else (low, middle)
    return Predictors(msgspec.structs.replace(model, effects=(), pairs=(), rules=(), intercept=high))


def fitted(kind: str) -> HazardModel:
    settings = HazardSettings(shape="health" if kind == "health" else "chosen", rules=False)
    world = make_world(300, level=-4.0)
    return fit_hazard(world.snapshots, catalogue_digest=allow_list_digest(CATALOGUE), settings=settings)


@pytest.fixture(scope="module")
def model() -> HazardModel:
    return fitted("model")


@pytest.fixture(scope="module")
def health() -> HazardModel:
    return fitted("health")


@pytest.mark.parametrize("horizon", [30, 60, 90])
@pytest.mark.parametrize("louder", [-3.0, 0.0, 3.0])
def test_the_model(model: HazardModel, horizon: Any, louder: float) -> None:
    moved = msgspec.structs.replace(model, intercept=model.intercept + louder)
    predictors = Predictors(moved, None, ChurnPolicy(horizon_days=horizon), stale=horizon == 60)
    made = assert_all_same(draw_customers(horizon, 40, NOW, CATALOGUE), NOW, predictors).predictions
    assert {SOURCES[place] for place in made.source[made.scored]} == {"model"}
    sure = {CONFIDENCES[place] for place in made.confidence[made.scored]}
    assert sure == ({"medium"} if horizon == 60 else {"medium", "high"})


def test_the_whole_chain(model: HazardModel, health: HazardModel) -> None:
    # Columns that are often unknown, and a score that is only there where much is known.
    narrow = ("billing_period", "last_support_rating", "plan", "team_size")
    effects = tuple(effect for effect in model.effects if effect.part.column in narrow)
    model = msgspec.structs.replace(model, effects=effects)
    picky = Scorer(SCORER.model.model_copy(update={"minimum_coverage": 0.6}))
    customers = draw_customers(21, 150, NOW, CATALOGUE)
    both = assert_all_same(customers, NOW, Predictors(model, health), picky).predictions
    assert set(both.source[both.scored].tolist()) == {0, 1, 2}
    assert both.versions == (
        Predictors(model).model_version,
        Predictors(None, health).health_version,
        "rule-of-thumb",
    )
    alone = assert_all_same(customers, NOW, Predictors(None, health), picky).predictions
    assert set(alone.source[alone.scored].tolist()) == {1, 2}
