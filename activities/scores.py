"""The day's rows of health and churn of one customer, from what is known of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from activities.facts import Known
from activities.health import load_scorer
from rules.assignment import held_out
from scoring.breakdown import factor_shares, in_percent
from scoring.health import Scorer, score_trend
from store.churn_predictions import PredictionDay, save_predictions
from store.customer_health import HealthDay, save_health
from store.database import Connection

REVIEWED_AFTER = timedelta(days=7)
# Below this, or at critical risk, interventions are considered.
REVIEWED_BELOW = 60
REASONS_KEPT = 3
# Whom no playbook ever treats is drawn under this name.
HOLDOUT = "global"
# Of whom another look at these makes another row.
HEALTH_SIGNALS = frozenset({"health_score", "risk_level", "enhanced_score"})
CHURN_SIGNALS = frozenset({"churn_probability", "churn_risk_level", "predicted_churn_date", "ltv_at_risk"})


async def save_scores(
    connection: Connection,
    known: Mapping[str, Known],
    scorer: Scorer | None = None,
    *,
    holdout_percent: float,
    whole: Collection[str] = (),
    treated: Collection[str] = (),
) -> None:
    """Write the day's rows of those whose health or prediction isn't what is stored, and of all in `whole`.

    `whole` are looked at because it is another day, `treated` are those whom a playbook begins to treat; both by
    customer id. `scorer` is that of the live health model (None: it is read).
    """
    scorer = scorer or await load_scorer(connection)
    health, churn = [], []
    for id_, one in known.items():
        always, begun = id_ in whole, id_ in treated
        if always or begun or not HEALTH_SIGNALS.isdisjoint(one.changed):
            health.append(health_day(one, scorer, midnight=always, treated=begun))
        if always or begun or not CHURN_SIGNALS.isdisjoint(one.changed):
            churn.append(prediction_day(one, holdout_percent=holdout_percent, treated=begun))
    await save_health(connection, health)
    await save_predictions(connection, [row for row in churn if row is not None])


def health_day(known: Known, scorer: Scorer, *, midnight: bool = False, treated: bool = False) -> HealthDay:
    """The row of the UTC day of `known.facts.now`.

    `midnight`: this is the day's look at everybody; `treated`: a playbook begins to treat the customer now. A score of
    60 or more that isn't critical is no reason to intervene, whatever else was.
    """
    health, signals, now = known.derived.health, known.derived.signals, known.facts.now.astimezone(UTC)
    plan, login = known.stored.values.get("plan"), known.stored.values.get("last_login")
    shares = factor_shares(scorer.model, health, plan if isinstance(plan, str) else None)
    previous = known.derived.previous_score
    enhanced = signals.get("enhanced_score")
    weak = health.score is not None and (health.score < REVIEWED_BELOW or health.risk_level == "critical")
    return HealthDay(
        customer_id=known.customer.id,
        day=now.date(),
        health_score=health.score,
        risk_level=health.risk_level if health.score is not None else None,
        previous_score=previous,
        score_trend=score_trend(health.score, previous, scorer.model.trend)
        if health.score is not None
        else None,
        enhanced_score=enhanced if isinstance(enhanced, int) else None,
        last_login=login if isinstance(login, datetime) else None,
        feature_adoption_score=_percent(shares, "feature_adoption"),
        client_engagement_score=_percent(shares, "client_engagement"),
        support_ticket_score=_percent(shares, "support_health"),
        billing_health_score=_percent(shares, "billing_health"),
        factors=[health.factors.get(factor.name) for factor in scorer.model.factors],
        model=scorer.model.digest,
        intervention_triggered=treated and weak,
        next_review_date=(now + REVIEWED_AFTER).date(),
        calculated_at=now,
        midnight=midnight,
    )


def prediction_day(known: Known, *, holdout_percent: float, treated: bool = False) -> PredictionDay | None:
    """The row of the UTC day of `known.facts.now`; None of whom nothing is predicted."""
    made, now = known.derived.prediction, known.facts.now.astimezone(UTC)
    if made is None:
        return None
    within = made.within or (None, None, None)
    return PredictionDay(
        customer_id=known.customer.id,
        prediction_date=now.date(),
        churn_probability=made.probability,
        within_30d=within[0],
        within_60d=within[1],
        within_90d=within[2],
        risk_level=made.level,
        prediction_factors=made.factors,
        reasons=[{"signal": one.signal, "effect": one.effect} for one in made.reasons[:REASONS_KEPT]],
        predicted_churn_date=made.expected,
        earliest_churn_date=made.earliest,
        latest_churn_date=made.latest,
        source=made.source,
        model_version=made.version,
        model_confidence=made.confidence,
        intervention_recommended=made.recommended,
        intervention_priority=made.priority,
        ltv_at_risk=made.ltv_at_risk,
        prevention_cost_estimate=made.prevention_cost,
        intervention_sent=treated,
        held_out=held_out(HOLDOUT, holdout_percent, known.customer.external_id),
        calculated_at=now,
    )


def _percent(shares: Mapping[str, float], name: str) -> int | None:
    return in_percent(shares[name]) if name in shares else None
