"""Reading who is on the way to success: customers in onboarding, the furthest off track first, and the funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from schemas.frozen import Frozen
from schemas.milestones import Milestone, Milestones
from store.database import encode
from store.overview_rows import BOUNCED_AT, MAIL


class OnboardingRow(Frozen):
    """What is known of a customer that onboarding looks at; `reached` has the moment of each milestone, by type."""

    id: str
    user_id: str
    name: str | None
    csm: str | None
    segment: str | None
    plan: str | None
    health_score: float | None
    risk_level: str | None
    signed_up_at: datetime
    last_login: datetime | None
    open_tickets: float | None
    failed_payments_30d: float | None
    subscription_status: str | None
    bounced_at: datetime | None
    reached: Mapping[str, datetime]


class FunnelRow(Frozen):
    """How many of those who were to reach a milestone did, on which day (the median), and how many in time."""

    milestone: Milestone
    customers: int
    reached: int
    median_days: float | None
    on_time: int

    @property
    def share(self) -> float:
        """Of all who were to reach it."""
        return self.reached / self.customers if self.customers else 0.0


class OnboardingTotals(Frozen):
    """How many are in onboarding, and how many of them are past a target of the critical path."""

    customers: int
    off_track: int


_SIGNED_UP = "coalesce(s.signed_up_at, c.created_at)"
# The critical path; all of the path where nothing of it is critical. `late_days` is above 0 past a target.
_PEOPLE = f"""
    WITH path AS MATERIALIZED (
        SELECT type, target_days, segments FROM jsonb_to_recordset(CAST(:path AS jsonb))
            AS p(type text, target_days int, segments text[])
    ), done AS (
        SELECT customer_id, array_agg(milestone_type) AS types FROM success_milestones
        WHERE achieved_at IS NOT NULL AND milestone_type IN (SELECT type FROM path) GROUP BY customer_id
    ), people AS (
        SELECT c.id, c.csm, coalesce(s.segment, 'new_user') AS segment, {_SIGNED_UP} AS signed_up_at,
            coalesce(done.types, '{{}}') AS types, floor(extract(epoch FROM :now - {_SIGNED_UP}) / 86400)::int AS age
        FROM customers c LEFT JOIN signals s ON s.customer_id = c.id LEFT JOIN done ON done.customer_id = c.id
        WHERE s.subscription_status IS DISTINCT FROM 'cancelled'
            AND (CAST(:csm AS text) IS NULL OR c.csm = :csm)
            AND (CAST(:segment AS text) IS NULL OR coalesce(s.segment, 'new_user') = :segment)
            AND ({_SIGNED_UP} > :young OR NOT coalesce(done.types, '{{}}') @> CAST(:everybodys AS text[]))
    ), standing AS (
        SELECT q.id, q.signed_up_at, q.age, max(q.age - p.target_days) AS late_days, count(p.type) AS open_steps
        FROM people q LEFT JOIN path p ON p.type <> ALL(q.types) AND (p.segments = '{{}}' OR q.segment = ANY(p.segments))
        GROUP BY q.id, q.signed_up_at, q.age
    ), listed AS (
        SELECT *, greatest(coalesce(late_days, 0), 0) AS late FROM standing
        WHERE open_steps > 0 OR signed_up_at > :young
    )
    """
_LIST = text(
    _PEOPLE
    + "SELECT id::text AS id FROM listed WHERE NOT :off_track OR late > 0 "
    + "ORDER BY late > 0 DESC, CASE WHEN late > 0 THEN late END, signed_up_at DESC, id LIMIT :limit OFFSET :offset"
)
_COUNT = text(
    _PEOPLE + "SELECT count(*) AS customers, count(*) FILTER (WHERE late > 0) AS off_track FROM listed"
)
_ROWS = text(
    f"""
    SELECT c.id::text AS id, c.external_id AS user_id, coalesce(c.business_name, c.first_name) AS name, c.csm,
        s.segment, s.plan, s.health_score, s.risk_level, {_SIGNED_UP} AS signed_up_at, s.last_login, s.open_tickets,
        s.failed_payments_30d, s.subscription_status,
        {BOUNCED_AT} AS bounced_at,
        (SELECT coalesce(jsonb_object_agg(milestone_type, achieved_at), '{{}}') FROM success_milestones
         WHERE customer_id = c.id AND achieved_at IS NOT NULL) AS reached
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS asked(id, place)
    JOIN customers c ON c.id = asked.id LEFT JOIN signals s ON s.customer_id = c.id
    {MAIL}
    ORDER BY asked.place
    """
)
_FUNNEL = text(
    f"""
    SELECT p.type, count(*) AS customers, count(m.achieved_at) AS reached,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY m.days_to_achieve) AS median_days,
        count(*) FILTER (WHERE m.days_to_achieve <= p.target_days) AS on_time
    FROM jsonb_to_recordset(CAST(:path AS jsonb)) AS p(type text, target_days int, segments text[])
    CROSS JOIN customers c LEFT JOIN signals s ON s.customer_id = c.id
    LEFT JOIN success_milestones m
        ON m.customer_id = c.id AND m.milestone_type = p.type AND m.achieved_at IS NOT NULL
    WHERE {_SIGNED_UP} > :since AND (p.segments = '{{}}' OR coalesce(s.segment, 'new_user') = ANY(p.segments))
        AND (CAST(:csm AS text) IS NULL OR c.csm = :csm)
        AND (CAST(:segment AS text) IS NULL OR coalesce(s.segment, 'new_user') = :segment)
    GROUP BY p.type
    """
)


def _written(milestones: Sequence[Milestone]) -> str:
    return encode(
        [
            {"type": one.type, "target_days": one.target_days, "segments": list(one.segments)}
            for one in milestones
        ]
    )


def _wanted(
    milestones: Milestones, now: datetime, young_days: int, csm: str | None, segment: str | None
) -> dict[str, Any]:
    critical = [one for one in milestones.milestones if one.critical] or list(milestones.milestones)
    return {
        "path": _written(critical),
        # Whoever has all of these and isn't new needn't be looked at further.
        "everybodys": [one.type for one in critical],
        "now": now,
        "young": now - timedelta(days=young_days),
        "csm": csm,
        "segment": segment,
    }


async def list_onboarding(
    connection: AsyncConnection,
    milestones: Milestones,
    now: datetime,
    *,
    young_days: int,
    csm: str | None = None,
    segment: str | None = None,
    off_track: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> list[OnboardingRow]:
    """Who signed up within `young_days` or has something of the critical path to do, and hasn't cancelled.

    Those past a target come first, the latest slip before old ones; then the others, the newest first.
    """
    values = _wanted(milestones, now, young_days, csm, segment)
    found = await connection.execute(
        _LIST, {**values, "off_track": off_track, "limit": limit, "offset": offset}
    )
    return await _read(connection, [row.id for row in found])


async def count_onboarding(
    connection: AsyncConnection,
    milestones: Milestones,
    now: datetime,
    *,
    young_days: int,
    csm: str | None = None,
    segment: str | None = None,
) -> OnboardingTotals:
    """How many `list_onboarding` has."""
    row = (await connection.execute(_COUNT, _wanted(milestones, now, young_days, csm, segment))).one()
    return OnboardingTotals.model_validate(dict(row._mapping))


async def read_onboarding(connection: AsyncConnection, user_id: str) -> OnboardingRow:
    """One customer, whoever they are. Raises NotFoundError."""
    found = await connection.execute(
        text("SELECT id::text FROM customers WHERE external_id = :id"), {"id": user_id}
    )
    id_ = found.scalar()
    rows = await _read(connection, [id_]) if id_ is not None else []
    if not rows:
        raise NotFoundError(
            f"There is no customer {user_id[:200]!r}.", remedy="Ids are the userId of the events."
        )
    return rows[0]


async def _read(connection: AsyncConnection, ids: Sequence[str]) -> list[OnboardingRow]:
    if not ids:
        return []
    rows = await connection.execute(_ROWS, {"ids": list(ids)})
    return [OnboardingRow.model_validate(dict(row._mapping)) for row in rows]


async def read_funnel(
    connection: AsyncConnection,
    milestones: Milestones,
    since: datetime,
    *,
    csm: str | None = None,
    segment: str | None = None,
) -> list[FunnelRow]:
    """How far those who signed up after `since` came, cancelled or not, in the order of the path."""
    rows = await connection.execute(
        _FUNNEL,
        {"path": _written(milestones.milestones), "since": since, "csm": csm, "segment": segment},
    )
    found = {row.type: row for row in rows}
    return [
        FunnelRow(
            milestone=one,
            customers=found[one.type].customers if one.type in found else 0,
            reached=found[one.type].reached if one.type in found else 0,
            median_days=found[one.type].median_days if one.type in found else None,
            on_time=found[one.type].on_time if one.type in found else 0,
        )
        for one in milestones.milestones
    ]


async def list_csms(connection: AsyncConnection) -> list[str]:
    """Everybody who has customers, by name."""
    rows = await connection.execute(
        text("SELECT DISTINCT csm FROM customers WHERE csm IS NOT NULL AND csm <> '' ORDER BY csm LIMIT 500")
    )
    return list(rows.scalars())
