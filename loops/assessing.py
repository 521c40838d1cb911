"""Scoring one customer on demand, by the very functions that score everybody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from activities.facts import Known, assemble_assessment
from activities.past_scores import DAYS as SCORE_DAYS
from activities.scores import save_scores
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.errors import NotFoundError
from schemas.health_model import DEFAULT_MODEL
from scoring.assessment import Assessment
from scoring.cohorts import Place, band_of
from scoring.health import Scorer, score_trend
from store import evaluations
from store.asking import Source
from store.assessment_reading import AssessmentReading, read_for_assessment
from store.database import Database, Waker
from store.playbooks import load_policy


async def assess_customer(
    database: Database, catalogue: Catalogue, external_id: str, *, bell: Waker | None = None
) -> Assessment:
    """Health and churn of the customer that the caller calls `external_id`, as of now. Raises NotFoundError.

    With `bell` it is recorded: the day's rows are written, and the evaluator is asked to look at the customer, so that
    playbooks hear of whatever changed. Without it nothing is written.
    """
    if bell is None:
        async with database.reading() as source:
            return _assess(*await _read(source, database, catalogue, external_id))
    async with database.transaction() as connection:
        known, scorer, reading = await _read(connection, database, catalogue, external_id)
        holdout = (await load_policy(connection)).holdout_percent
        await save_scores(connection, {known.customer.id: known}, scorer, holdout_percent=holdout)
    # A transaction of its own: the evaluator takes these rows before those of the scores.
    async with database.transaction() as connection:
        await evaluations.request_one(connection, reading.now, known.customer.id)
    bell.ring()
    return _assess(known, scorer, reading)


async def _read(
    source: Source, database: Database, catalogue: Catalogue, external_id: str
) -> tuple[Known, Scorer, AssessmentReading]:
    reading = await read_for_assessment(
        source, external_id, at=database.clock.fixed(), default_model=DEFAULT_MODEL,
        tally_days=catalogue.tally_days, score_days=SCORE_DAYS,
    )  # fmt: skip
    if reading is None:
        raise NotFoundError(
            f"There is no customer {external_id[:200]!r}.", remedy="Ids are the userId of the events."
        )
    return *await assemble_assessment(source, reading, catalogue), reading


def _assess(known: Known, scorer: Scorer, reading: AssessmentReading) -> Assessment:
    derived, stored = known.derived, known.stored.values
    health, enhanced = derived.health, derived.signals.get("enhanced_score")
    plan, influencer = stored.get("plan"), stored.get("influencer")
    trend = None
    if health.score is not None:
        trend = score_trend(health.score, derived.previous_score, scorer.model.trend)
    return Assessment(
        customer_id=known.customer.id,
        user_id=known.customer.external_id,
        at=known.facts.now,
        model=scorer.model,
        health=health,
        plan=plan if isinstance(plan, str) else None,
        enhanced_score=enhanced if isinstance(enhanced, int) else None,
        previous_score=derived.previous_score,
        trend=trend,
        influencer=influencer if isinstance(influencer, bool) else None,
        prediction=derived.prediction,
        scores=reading.scores,
        place=_place(reading.stored.values, reading.now),
        cancelled=stored.get("subscription_status") == "cancelled",
    )


def _place(stored: Mapping[str, Value], now: datetime) -> Place:
    segment, plan, score = (stored.get(name) for name in ("segment", "plan", "health_score"))
    signed_up_at = stored.get("signed_up_at")
    return Place(
        (
            segment if isinstance(segment, str) else None,
            plan if isinstance(plan, str) else None,
            band_of(signed_up_at if isinstance(signed_up_at, datetime) else None, now),
        ),
        float(score) if isinstance(score, int | float) else None,
    )
