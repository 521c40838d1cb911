"""Health and churn of one customer of the running system, as people and scripts read them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import click

from schemas.settings import Settings
from scoring.assessment import Assessment
from scoring.breakdown import factor_shares, percents, weights_of
from scoring.recommendations import recommend


def print_health(external_id: str, form: str) -> None:
    """Score the customer now and print it with its breakdown; `form` is text or json. Raises NotFoundError."""
    _print(assess(external_id), form, health_lines, health_object)


def print_prediction(external_id: str, form: str) -> None:
    """Predict now how likely the customer is to leave, and print why and what to do. Raises NotFoundError."""
    _print(assess(external_id), form, prediction_lines, prediction_object)


def assess(external_id: str) -> Assessment:
    """Health and churn of the customer, as of now; nothing is written. Raises NotFoundError, SettingError."""
    return asyncio.run(_assess(Settings.read(os.environ).require_database_url(), external_id))


async def _assess(database_url: str, external_id: str) -> Assessment:
    from loops.assessing import assess_customer
    from schemas.catalogue import load_catalogue
    from store.database import Database

    async with Database(database_url, connections=1) as database:
        return await assess_customer(database, load_catalogue(), external_id)


def health_object(assessed: Assessment) -> dict[str, Any]:
    """What `score --customer --format json` prints."""
    health = assessed.health
    shares = factor_shares(assessed.model, health, assessed.plan)
    advice = recommend(assessed.model, shares, weights_of(assessed.model, health.segment, assessed.plan))
    return {
        "customer": assessed.user_id,
        "model": assessed.model.name,
        "score": health.score,
        "risk_level": health.risk_level,
        "previous_score": assessed.previous_score,
        "score_trend": assessed.trend,
        "enhanced_score": assessed.enhanced_score,
        "factors": percents(shares),
        "segment": health.segment,
        "recommendations": [{"factor": one.factor, "points": one.points, "text": one.text} for one in advice],
    }


def prediction_object(assessed: Assessment) -> dict[str, Any]:
    """What `churn predict --customer --format json` prints."""
    made = assessed.prediction
    if made is None:
        return {"customer": assessed.user_id, "probability": None, "not_predicted": _why_not(assessed)}
    return {
        "customer": assessed.user_id,
        "probability": made.probability,
        "risk_level": made.level,
        "urgency": made.urgency,
        "source": made.source,
        "confidence": made.confidence,
        "version": made.version,
        "within": dict(zip(("30", "60", "90"), made.within, strict=True)) if made.within else None,
        "predicted_churn_date": made.expected.isoformat() if made.expected else None,
        "earliest_churn_date": made.earliest.isoformat() if made.earliest else None,
        "latest_churn_date": made.latest.isoformat() if made.latest else None,
        "base": made.base,
        "score": made.score,
        "reasons": [{"signal": one.signal, "effect": one.effect} for one in made.reasons],
        "factors": dict(made.factors),
        "actions": list(made.actions),
        "intervention_recommended": made.recommended,
        "priority": made.priority,
        "ltv_at_risk": made.ltv_at_risk,
        "prevention_cost": made.prevention_cost,
    }


def health_lines(assessed: Assessment) -> Iterator[str]:
    """The same for people."""
    told = health_object(assessed)
    score = "too little is known" if told["score"] is None else f"{told['score']} of 100"
    yield f"{assessed.user_id}: health {score}, {told['risk_level']} ({told['model']}, {told['segment']})"
    if told["score"] is not None:
        before = told["previous_score"]
        yield f"  {told['score_trend']}" + (f", was {before}" if before is not None else "")
        if told["enhanced_score"] != told["score"]:
            yield f"  with the viral boost {told['enhanced_score']}"
    for name, share in told["factors"].items():
        yield f"  {name:<24}{share:>4} %"
    for one in told["recommendations"]:
        yield f"  {one['text']} ({one['points']:g} points)"


def prediction_lines(assessed: Assessment) -> Iterator[str]:
    """The same for people."""
    made = assessed.prediction
    if made is None:
        yield f"{assessed.user_id}: no prediction, {_why_not(assessed)}"
        return
    yield (
        f"{assessed.user_id}: {made.probability:.1%} likely to leave, {made.level} risk, {made.urgency} "
        f"({made.source.replace('_', ' ')} {made.version}, confidence {made.confidence})"
    )
    if made.within:
        thirty, sixty, ninety = made.within
        yield f"  within 30 days {thirty:.1%}, 60 days {sixty:.1%}, 90 days {ninety:.1%}"
    if made.expected:
        yield f"  expected {made.expected}, between {made.earliest} and {made.latest} 8 times of 10"
    unit = "points of 1" if made.source == "rule_of_thumb" else "log-odds of leaving in the coming week"
    yield f"  {made.score:.3f} {unit}, of which {made.base:.3f} is everybody's and:"
    for reason in made.reasons:
        yield f"    {reason.effect:+8.3f}  {reason.signal}"
    for action in made.actions:
        yield f"  {action}"
    if made.ltv_at_risk is not None:
        yield f"  {made.ltv_at_risk:,.2f} at risk; preventing it may cost {made.prevention_cost:,.2f}"


def _why_not(assessed: Assessment) -> str:
    return "cancelled" if assessed.cancelled else "younger than 7 days"


def _print(assessed: Assessment, form: str, lines: Any, made: Any) -> None:
    if form == "json":
        click.echo(json.dumps(made(assessed)))
        return
    for line in lines(assessed):
        click.echo(line)
