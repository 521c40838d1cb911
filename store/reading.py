"""Reading customers, and how the whole stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from schemas.signal_value import WrongType
from store.asking import Source, fetch, fetch_named
from store.customers import PROFILE_TRAITS, unknown_customer
from store.customers import read_customer as read_customer_row
from store.reading_rows import CustomerRow, EventRow, StandingRow
from store.signals import STORED_COLUMNS, read_stored

_CUSTOMERS = """
    SELECT c.external_id AS user_id, coalesce(c.business_name, c.first_name) AS name, s.plan, s.health_score,
        s.risk_level, s.churn_probability, s.last_login,
        (SELECT count(*) FROM runs r WHERE r.customer_id = c.id AND r.ended_at IS NULL AND r.arm = 'treated')
            AS open_runs
    FROM customers c LEFT JOIN signals s ON s.customer_id = c.id
    """

_CUSTOMER = (
    "SELECT (SELECT json_object_agg(channel || CASE WHEN topic = '' THEN '' ELSE ':' || topic END, granted) FROM consents "
    "WHERE customer_id = c.id), (SELECT json_agg(json_build_object('playbook', playbook, 'reason', reason, 'at', at) "
    f"ORDER BY playbook) FROM standings WHERE customer_id = c.id), c.id::text, c.external_id, c.demo, c.traits::text, "
    f"{', '.join('c.' + name for name in PROFILE_TRAITS)}, {', '.join('s.' + name for name in STORED_COLUMNS)} "
    "FROM customers c LEFT JOIN signals s ON s.customer_id = c.id WHERE c.external_id = %(name)s"
)
_EVENTS = "SELECT name, at, properties FROM events WHERE customer_id = CAST(%(id)s AS uuid) ORDER BY at DESC LIMIT %(events)s"

_BY_STATE = text(
    """
    SELECT state, count(*) AS n FROM deliveries
    WHERE created_at > clock_timestamp() - interval '1 day' GROUP BY 1
    """
)

_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM tasks WHERE state = 'open') AS tasks_open,
        (SELECT count(*) FROM tasks WHERE state = 'open' AND due_at < clock_timestamp()) AS tasks_late,
        (SELECT count(*) FROM dead_letters WHERE received_at > clock_timestamp() - interval '1 day') AS dead,
        (SELECT count(*) FROM evaluations) AS waiting,
        (SELECT count(*) FROM alerts WHERE resolved_at IS NULL) AS alerts
    """
)


@dataclass(frozen=True)
class CustomerView:
    """One customer: profile, signals, consents, where it stands with playbooks, and what it did last."""

    user_id: str
    profile: Mapping[str, Any]
    demo: bool
    signals: Mapping[str, Value]
    consents: Mapping[str, bool]
    standings: Sequence[StandingRow]
    events: Sequence[EventRow]


@dataclass(frozen=True)
class Totals:
    """How the whole stands.

    Open tasks, messages of the last day by state, dead letters of the last day, customers that wait to be evaluated, open
    alerts.
    """

    tasks_open: int
    tasks_late: int
    messages: Mapping[str, int]
    dead_letters: int
    waiting: int
    alerts: int


async def read_customer(source: Source, user_id: str, *, events: int = 20) -> CustomerView:
    """The customer that the caller calls `user_id`, with its last `events`. Raises NotFoundError."""
    rows = await fetch(source, _CUSTOMER, {"name": user_id})
    if not rows:
        raise unknown_customer(user_id)
    (consents, standings), (id_, *columns) = rows[0][:2], rows[0][2:]
    end = 3 + len(PROFILE_TRAITS)
    found, stored = read_customer_row(id_, *columns[:end]), columns[end:]
    values = read_stored(id_, *stored).values if stored[0] is not None else {}
    happened = await fetch_named(source, _EVENTS, {"id": id_, "events": events}) if events else []
    return CustomerView(
        user_id=found.external_id,
        profile=found.profile,
        demo=found.demo,
        signals={
            name: value.raw if isinstance(value, WrongType) else value
            for name, value in sorted(values.items())
        },
        consents=consents or {},
        standings=[StandingRow.model_validate(one) for one in standings or ()],
        events=[EventRow.model_validate(one) for one in happened],
    )


async def list_customers(
    connection: AsyncConnection, *, risk: str | None = None, search: str | None = None, limit: int = 50
) -> list[CustomerRow]:
    """Customers, the least healthy first; `search` looks into ids and names, `risk` may be `unscored`."""
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": limit}
    if risk == "unscored":
        conditions.append("s.risk_level IS NULL")
    elif risk is not None:
        conditions.append("s.risk_level = :risk")
        values["risk"] = risk
    if search:
        conditions.append(
            "strpos(lower(concat_ws(' ', c.external_id, c.business_name, c.first_name)), lower(:search)) > 0"
        )
        values["search"] = search
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await connection.execute(
        text(f"{_CUSTOMERS}{where}ORDER BY s.health_score NULLS LAST, c.external_id LIMIT :limit"),
        values,
    )
    return [CustomerRow.model_validate(dict(row._mapping)) for row in rows]


async def read_totals(connection: AsyncConnection) -> Totals:
    """How the whole stands now, by the database's clock."""
    messages = await connection.execute(_BY_STATE)
    counts = (await connection.execute(_COUNTS)).one()
    return Totals(
        tasks_open=counts.tasks_open,
        tasks_late=counts.tasks_late,
        messages={row.state: row.n for row in messages},
        dead_letters=counts.dead,
        waiting=counts.waiting,
        alerts=counts.alerts,
    )
