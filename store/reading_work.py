"""What a list of work shows beside the work: how much there is of each kind, and what is known of the customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.frozen import Frozen
from store.keyset import Place
from store.overview_rows import OverviewRow, read_rows
from store.sharing import HOLDER


class WorkCount(Frozen):
    """Open work of one kind: all, what is due by midnight, and what is late."""

    open: int = 0
    today: int = 0
    overdue: int = 0


class CustomerFacts(Frozen):
    """What whoever calls a customer wants to know: `factors` are the named ones of churn, 0–1; `profile` their links."""

    id: str
    user_id: str
    first_name: str | None
    business_name: str | None
    email: str | None
    phone: str | None
    timezone: str | None
    csm: str | None
    own_booking: str | None
    factors: Mapping[str, float]
    predicted_churn_date: Any = None
    open_tickets: float | None = None
    milestones_completed: float | None = None


_COUNTS = text(
    f"""
    SELECT CASE WHEN team IS NOT NULL AND {HOLDER} = team THEN 'unassigned' WHEN {HOLDER} = :mine THEN 'mine'
        ELSE 'others' END AS whose, count(*) AS open, count(*) FILTER (WHERE due_at <= :midnight) AS today,
        count(*) FILTER (WHERE due_at <= :now) AS overdue
    FROM tasks WHERE state = 'open' AND (CAST(:team AS text) IS NULL OR team = :team) GROUP BY 1
    """
)


async def count_work(
    connection: AsyncConnection,
    now: datetime,
    midnight: datetime,
    *,
    mine: str | None = None,
    team: str | None = None,
) -> dict[str, WorkCount]:
    """Open work by whose it is: mine, unassigned (on a team's list), all; of one team where it is named."""
    rows = await connection.execute(_COUNTS, {"now": now, "midnight": midnight, "mine": mine, "team": team})
    found = {row.whose: WorkCount(open=row.open, today=row.today, overdue=row.overdue) for row in rows}
    every = list(found.values())
    return {
        "mine": found.get("mine", WorkCount()),
        "unassigned": found.get("unassigned", WorkCount()),
        "all": WorkCount(
            open=sum(one.open for one in every),
            today=sum(one.today for one in every),
            overdue=sum(one.overdue for one in every),
        ),
    }


_FACTS = text(
    "SELECT c.id::text AS id, c.external_id AS user_id, c.first_name, c.business_name, c.email, c.phone, c.timezone, "
    "c.csm, c.traits->>:booking AS own_booking, coalesce(p.prediction_factors, '{}'::jsonb) AS factors, "
    "s.predicted_churn_date, s.open_tickets, s.milestones_completed "
    "FROM customers c LEFT JOIN signals s ON s.customer_id = c.id LEFT JOIN LATERAL (SELECT prediction_factors "
    "FROM churn_predictions WHERE customer_id = c.id ORDER BY prediction_date DESC LIMIT 1) p ON true "
    "WHERE c.external_id = ANY(:names)"
)


async def read_work_customers(
    connection: AsyncConnection, user_ids: Sequence[str], now: datetime, *, booking_trait: str
) -> dict[str, tuple[CustomerFacts, OverviewRow]]:
    """What is known of these customers, by their own ids."""
    rows = await connection.execute(_FACTS, {"names": sorted(set(user_ids)), "booking": booking_trait})
    facts = {row.id: CustomerFacts.model_validate(dict(row._mapping)) for row in rows}
    seen = await read_rows(connection, [Place(None, id_) for id_ in facts], now)
    return {row.user_id: (facts[row.id], row) for row in seen}


_LOADS = text(
    f"""
    SELECT {HOLDER} AS agent, count(*) AS open, count(*) FILTER (WHERE due_at <= :midnight) AS today,
        count(*) FILTER (WHERE due_at <= :now) AS overdue
    FROM tasks WHERE state = 'open' GROUP BY 1
    """
)


async def read_loads(connection: AsyncConnection, now: datetime, midnight: datetime) -> dict[str, WorkCount]:
    """How much open work everybody has now; what waits on a team's list is the team's."""
    rows = await connection.execute(_LOADS, {"now": now, "midnight": midnight})
    return {row.agent: WorkCount(open=row.open, today=row.today, overdue=row.overdue) for row in rows}


async def count_accounts(connection: AsyncConnection) -> dict[str, int]:
    """How many customers everybody has now; who has cancelled isn't one any more."""
    rows = await connection.execute(
        text(
            "SELECT c.csm, count(*) AS n FROM customers c LEFT JOIN signals s ON s.customer_id = c.id "
            "WHERE c.csm IS NOT NULL AND c.csm <> '' AND s.subscription_status IS DISTINCT FROM 'cancelled' "
            "GROUP BY c.csm"
        )
    )
    return {row.csm: row.n for row in rows}
