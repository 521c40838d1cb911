"""Who predicts: the model where it knows enough, else the recalibrated score, else the rule of thumb."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import load_catalogue
from schemas.condition import Value
from schemas.policy import ChurnPolicy
from scoring.features import feature_row
from scoring.hazard import HazardModel, covers, version_of
from scoring.prediction import Prediction
from scoring.predictors import (
    COVERED,
    Predictors,
    churn_signals,
    predict_one,
    renewal_days,
    round_probability,
)
from tests.small_hazard import small_health, small_model

NOW = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
CATALOGUE = load_catalogue()
KNOWN: dict[str, Value] = {
    "account_age_days": 200, "days_since_last_login": 20, "unique_features_used": 2, "support_tickets_30d": 3,
    "last_support_rating": 2, "health_score": 35, "plan": "pro", "monthly_price": 50, "billing_period": "monthly",
    "renewal_date": date(2026, 3, 20),
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> HazardModel:
    return small_model()


@pytest.fixture(scope="module")
def health() -> HazardModel:
    return small_health()


def predict(predictors: Predictors, signals: dict[str, Value], now: datetime = NOW) -> Prediction:
    found = predict_one(predictors, signals, now, CATALOGUE)
    assert found is not None
    return found


def test_the_model_predicts_where_it_knows_the_customer(model: HazardModel, health: HazardModel) -> None:
    found = predict(Predictors(model, health), KNOWN)
    assert (found.source, found.confidence, found.version) == ("model", "high", version_of(model))
    assert found.within is not None
    assert 0 < found.within[0] < found.within[1] < found.within[2] < 1
    assert found.probability == round_probability(found.within[2])


def test_the_policys_horizon_says_which_probability_is_told(model: HazardModel) -> None:
    told = [predict(Predictors(model, policy=ChurnPolicy(horizon_days=days)), KNOWN) for days in (30, 60, 90)]
    assert told[0].within is not None
    assert [one.probability for one in told] == [round_probability(p) for p in told[0].within]


def test_a_stale_model_is_less_sure(model: HazardModel) -> None:
    assert predict(Predictors(model, stale=True), KNOWN).confidence == "medium"


def test_whom_the_model_hardly_knows_the_score_predicts(model: HazardModel, health: HazardModel) -> None:
    unknown: dict[str, Value] = {"account_age_days": 200, "health_score": 35}
    blind = replace_columns(model)
    assert covers(blind, feature_row(unknown, CATALOGUE)) < COVERED
    found = predict(Predictors(blind, health), unknown)
    assert (found.source, found.confidence, found.version) == ("health", "medium", version_of(health))
    assert predict(Predictors(blind), unknown).source == "rule_of_thumb"


def replace_columns(model: HazardModel) -> HazardModel:
    """The same model, as if its columns had other names, of which nothing is known."""
    replace = msgspec.structs.replace
    effects = tuple(
        replace(effect, part=replace(effect.part, column=f"unknown_{place}"))
        for place, effect in enumerate(model.effects)
    )
    return replace(model, effects=effects, pairs=(), rules=())


def test_without_a_score_the_rule_of_thumb_predicts(health: HazardModel) -> None:
    found = predict(Predictors(None, health), {"account_age_days": 200})
    assert (found.source, found.confidence) == ("rule_of_thumb", "medium")


@pytest.mark.parametrize("changed", [{"account_age_days": 6}, {"subscription_status": "cancelled"}])
def test_nobody_predicts_the_young_and_the_gone(model: HazardModel, changed: dict[str, Value]) -> None:
    assert predict_one(Predictors(model), {**KNOWN, **changed}, NOW, CATALOGUE) is None


SIGNALS = st.fixed_dictionaries(
    {"account_age_days": st.integers(7, 2000)},
    optional={
        "days_since_last_login": st.integers(0, 400),
        "unique_features_used": st.integers(0, 12),
        "support_tickets_30d": st.integers(0, 20),
        "last_support_rating": st.integers(1, 5),
        "health_score": st.integers(0, 100),
        "health_trend": st.sampled_from(["improving", "stable", "declining"]),
        "avg_health_30d": st.floats(0, 100),
        "days_since_last_milestone": st.integers(0, 400),
        "plan": st.sampled_from(["free", "starter", "pro", "business", "none of these"]),
        "monthly_price": st.floats(0, 5000),
        "renewal_date": st.dates(date(2026, 1, 1), date(2027, 1, 1)),
        "subscription_status": st.sampled_from(["active", "trial", "past_due"]),
        "failed_payments_30d": st.integers(0, 9),
        "open_tickets": st.integers(-3, 30),
        "usage_drop_percent": st.floats(-500, 100),
        "vendor_type": st.sampled_from(["venue", "florist"]),
    },
)


@given(signals=SIGNALS, which=st.sampled_from(["model", "health", "rule_of_thumb"]))
@settings(max_examples=150, deadline=None)
def test_base_and_reasons_add_up_to_the_score(
    model: HazardModel, health: HazardModel, signals: dict[str, Value], which: str
) -> None:
    predictors = Predictors(
        model if which == "model" else None, health if which in ("model", "health") else None
    )
    found = predict(predictors, signals)
    assert found.base + sum(one.effect for one in found.reasons) == pytest.approx(found.score, abs=1e-9)
    assert [abs(one.effect) for one in found.reasons] == sorted(
        (abs(one.effect) for one in found.reasons), reverse=True
    )
    if found.source == "rule_of_thumb":
        assert found.score == found.probability
    assert 0 <= found.probability <= 1
    assert all(0 <= value <= 1 for value in found.factors.values())
    assert 1 <= found.priority <= 5
    if found.expected is not None:
        assert found.earliest is not None
        assert found.latest is not None
        assert NOW.date() <= found.earliest <= found.expected <= found.latest
    assert (found.ltv_at_risk is None) == ("monthly_price" not in signals)


def test_the_signals_are_those_of_the_catalogue(model: HazardModel) -> None:
    found = predict(Predictors(model), KNOWN)
    told = churn_signals(found)
    assert set(told) <= set(CATALOGUE.signals)
    assert told["churn_probability"] == found.probability
    assert told.get("predicted_churn_date") == found.expected
    assert all(CATALOGUE.signals[name].read(value) == value for name, value in told.items())


def test_renewals_count_from_the_utc_day_and_past_ones_not_at_all() -> None:
    assert renewal_days({"renewal_date": date(2026, 3, 2)}, NOW) == 0
    assert renewal_days({"renewal_date": date(2026, 3, 3)}, NOW) == 1
    assert renewal_days({"renewal_date": date(2026, 3, 1)}, NOW) is None
    assert renewal_days({"renewal_date": NOW + timedelta(days=3)}, NOW) is None
    assert renewal_days({}, NOW) is None
