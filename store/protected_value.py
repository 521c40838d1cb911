"""What became of the customers whom playbooks took in at high risk of leaving, and what those still here are worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Who was seen in none of so many days has left, as the models have it.
SILENT_DAYS = 60


@dataclass(frozen=True)
class Protected:
    """Of the customers who entered a playbook at high risk since `since`: how many there are, how many of them are still
    here, and their value at risk as it was said on the day of that entry; `calmed` and `ltv_calmed` are those of them
    whose risk isn't high any more. `unpriced`: of how many still here that value isn't known.
    """

    since: datetime
    treated: int
    stayed: int
    ltv_protected: float
    calmed: int
    ltv_calmed: float
    unpriced: int


# The first such entry of each customer counts, with what was last said of their value by its day.
_PROTECTED = text(
    """
    WITH entered AS (
        SELECT DISTINCT ON (customer_id) customer_id, entered_at FROM runs
        WHERE arm = 'treated' AND entered_at >= :since AND churn_at_entry >= :high
        ORDER BY customer_id, entered_at
    ), judged AS (
        SELECT coalesce(s.subscription_status, '') <> 'cancelled' AND s.last_login > :seen AS stayed,
            coalesce(s.churn_probability < :high, false) AS calmed, p.ltv_at_risk AS ltv
        FROM entered e LEFT JOIN signals s ON s.customer_id = e.customer_id
        LEFT JOIN LATERAL (
            SELECT ltv_at_risk FROM churn_predictions WHERE customer_id = e.customer_id
            AND prediction_date <= (e.entered_at AT TIME ZONE 'UTC')::date ORDER BY prediction_date DESC LIMIT 1
        ) p ON true
    )
    SELECT count(*) AS treated, count(*) FILTER (WHERE stayed) AS stayed,
        coalesce(sum(ltv) FILTER (WHERE stayed), 0) AS ltv_protected,
        count(*) FILTER (WHERE stayed AND calmed) AS calmed,
        coalesce(sum(ltv) FILTER (WHERE stayed AND calmed), 0) AS ltv_calmed,
        count(*) FILTER (WHERE stayed AND ltv IS NULL) AS unpriced
    FROM judged
    """
)


async def sum_protected(connection: AsyncConnection, now: datetime, *, days: int, high: float) -> Protected:
    """What the customers are worth who entered a playbook within so many days at a probability of `high` or more and are
    still here: not cancelled, and seen within the last 60 days.

    A plain count without a counterfactual: some would have stayed anyway. Each customer counts once, by the first such
    entry; the held out and shadows don't count.
    """
    since = now - timedelta(days=days)
    row = (
        await connection.execute(
            _PROTECTED, {"since": since, "high": high, "seen": now - timedelta(days=SILENT_DAYS)}
        )
    ).one()
    return Protected(since=since, **row._mapping)
