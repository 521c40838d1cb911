"""From predictions and scores to what the API answers of them: reasons by their signals, never what those are."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic.alias_generators import to_camel

from schemas.catalogue import Catalogue
from scoring.assessment import Assessment
from scoring.churn import MULTI_CHANNEL_ABOVE, urgency_of
from scoring.cohorts import Cohort
from scoring.hazard.outlook import Reason
from scoring.named_factors import WEIGHTS, choose_actions, composite
from scoring.prediction import Prediction
from store.churn_predictions import StoredPrediction
from store.customer_health import HealthPoint
from web.success_answers import (
    CohortPlace,
    Explanation,
    HealthOfDay,
    NamedFactor,
    NamedReason,
    PredictionAnswerRow,
)

_WORD = re.compile(r"[a-z_][a-z0-9_]*")


def tell_stored(stored: StoredPrediction, catalogue: Catalogue) -> PredictionAnswerRow:
    """A prediction as it stands in the store."""
    row = stored.day
    urgency = urgency_of(row.churn_probability)
    multi_channel = row.churn_probability > MULTI_CHANNEL_ABOVE
    within = (row.within_30d, row.within_60d, row.within_90d)
    return PredictionAnswerRow.trust(
        {
            "user_id": stored.user_id,
            "churn_probability": row.churn_probability,
            "risk_level": row.risk_level,
            "predicted_churn_date": row.predicted_churn_date,
            "earliest_churn_date": row.earliest_churn_date,
            "latest_churn_date": row.latest_churn_date,
            "within": _within(within if None not in within else None),
            "factors": _factors(row.prediction_factors),
            "reasons": [_reason(one["signal"], one["effect"], catalogue) for one in row.reasons],
            "recommended_actions": list(
                choose_actions(row.prediction_factors, row.risk_level, urgency, multi_channel)
            ),
            "ltv_at_risk": row.ltv_at_risk,
            "prevention_cost": row.prevention_cost_estimate,
            "confidence": row.model_confidence,
            "intervention_urgency": urgency,
            "intervention_recommended": row.intervention_recommended,
            "intervention_priority": row.intervention_priority,
            "multi_channel": multi_channel,
            "source": row.source,
            "model_version": row.model_version,
            "calculated_at": row.calculated_at,
        }
    )


def tell_prediction(
    user_id: str, made: Prediction, at: datetime, catalogue: Catalogue
) -> PredictionAnswerRow:
    """A prediction as it was made just now."""
    return PredictionAnswerRow.trust(
        {
            "user_id": user_id,
            "churn_probability": made.probability,
            "risk_level": made.level,
            "predicted_churn_date": made.expected,
            "earliest_churn_date": made.earliest,
            "latest_churn_date": made.latest,
            "within": _within(made.within),
            "factors": _factors(made.factors),
            "reasons": [tell_reason(one, catalogue) for one in made.reasons[:3]],
            "recommended_actions": list(made.actions),
            "ltv_at_risk": made.ltv_at_risk,
            "prevention_cost": made.prevention_cost,
            "confidence": made.confidence,
            "intervention_urgency": made.urgency,
            "intervention_recommended": made.recommended,
            "intervention_priority": made.priority,
            "multi_channel": made.multi_channel,
            "source": made.source,
            "model_version": made.version,
            "calculated_at": at,
        }
    )


def tell_explanation(made: Prediction, catalogue: Catalogue) -> Explanation:
    """Every reason, the strongest first."""
    return Explanation(
        scale="points" if made.source == "rule_of_thumb" else "log_odds",
        base=made.base,
        score=made.score,
        composite=round(composite(made.factors), 6),
        reasons=[tell_reason(one, catalogue) for one in made.reasons],
    )


def tell_reason(reason: Reason, catalogue: Catalogue) -> NamedReason:
    """A reason by the signals that it is about: a rule's own text would say on which side of it the customer is."""
    return _reason(reason.signal, reason.effect, catalogue)


def why_not(assessed: Assessment) -> Literal["younger_than_7_days", "cancelled"] | None:
    """Why nothing is predicted, where nothing is."""
    if assessed.prediction is not None:
        return None
    return "cancelled" if assessed.cancelled else "younger_than_7_days"


def tell_cohort(cohort: Cohort) -> CohortPlace:
    """The cohort, rounded."""
    percentile = round(cohort.percentile, 1) if cohort.percentile is not None else None
    return CohortPlace(customers=cohort.customers, median=cohort.median, percentile=percentile)


def tell_day(point: HealthPoint) -> HealthOfDay:
    """One day of the history."""
    return HealthOfDay.trust(
        {
            "day": point.day,
            "score": point.health_score,
            "risk_level": point.risk_level,
            "enhanced_score": point.enhanced_score,
        }
    )


def in_camel(shares: Mapping[str, int]) -> dict[str, int]:
    """Factors by their names on the wire."""
    return {to_camel(name.replace("-", "_")): share for name, share in shares.items()}


def _within(within: tuple[float | None, ...] | None) -> dict[str, float | None] | None:
    return dict(zip(("30", "60", "90"), within, strict=True)) if within is not None else None


def _reason(written: str, effect: float, catalogue: Catalogue) -> NamedReason:
    name, about = _named(written, catalogue)
    return NamedReason.trust({"signal": name, "about": about, "effect": effect})


@functools.lru_cache(maxsize=1000)
def _named(written: str, catalogue: Catalogue) -> tuple[str, str]:
    signal = catalogue.signals.get(written)
    if signal is not None:
        return signal.name, signal.about
    named = dict.fromkeys(word for word in _WORD.findall(written) if word in catalogue.signals)
    about = "What these signals come to together." if named else "What the model knows beside the signals."
    return " + ".join(named) or "other", about


def _factors(factors: Mapping[str, float]) -> list[NamedFactor]:
    told = [(name, round(factors.get(name, 0.0), 4), weight) for name, weight in WEIGHTS.items()]
    told.sort(key=lambda one: -one[1] * one[2])
    return [
        NamedFactor.trust({"name": name, "value": value, "weight": weight}) for name, value, weight in told
    ]
