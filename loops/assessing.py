"""Scoring one customer on demand, by the very functions that score everybody."""

from __future__ import annotations

from activities.facts import Known, load_known
from activities.health import load_scorer
from activities.scores import save_scores
from rules.needs import Needs
from schemas.catalogue import Catalogue
from schemas.errors import NotFoundError
from scoring.assessment import Assessment
from scoring.health import Scorer, score_trend
from store import evaluations
from store.customers import find_customer
from store.database import Database, Waker
from store.playbooks import load_policy


async def assess_customer(
    database: Database, catalogue: Catalogue, external_id: str, *, bell: Waker | None = None
) -> Assessment:
    """Health and churn of the customer that the caller calls `external_id`, as of now. Raises NotFoundError.

    With `bell` it is recorded: the day's rows are written, and the evaluator is asked to look at the customer, so that
    playbooks hear of whatever changed. Without it nothing is written.
    """
    # Nothing is locked for who only looks: each statement for itself spares the two that open and close a transaction.
    async with database.transaction() if bell else database.single() as connection:
        customer = await find_customer(connection, external_id)
        if customer is None:
            raise NotFoundError(
                f"There is no customer {external_id[:200]!r}.", remedy="Ids are the userId of the events."
            )
        now = await database.clock.read(connection)
        scorer = await load_scorer(connection)
        [known] = (
            await load_known(
                connection, [customer.id], now, Needs(), catalogue, reachability=False, scorer=scorer
            )
        ).values()
        if bell is not None:
            holdout = (await load_policy(connection)).holdout_percent
            await save_scores(connection, {customer.id: known}, scorer, holdout_percent=holdout)
    if bell is not None:
        # A transaction of its own: the evaluator takes these rows before those of the scores.
        async with database.transaction() as connection:
            await evaluations.request_one(connection, now, customer.id)
        bell.ring()
    return _assess(known, scorer)


def _assess(known: Known, scorer: Scorer) -> Assessment:
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
        cancelled=stored.get("subscription_status") == "cancelled",
    )
