"""Appointments: when people are taken, and the locks that keep two from booking one of them at one time."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.runs import NAMESPACE
from store.sharing import HOLDER
from store.tasks import Task, load_task

# A call takes so long in a calendar.
CALL = timedelta(minutes=30)


async def lock_calendars(connection: AsyncConnection, people: Collection[str]) -> None:
    """Keep everybody else from booking these people until the transaction ends."""
    for person in sorted(set(people)):
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"holdfast/calendar/{person}"},
        )


async def load_appointments(
    connection: AsyncConnection, people: Collection[str], since: datetime, *, without: str | None = None
) -> dict[str, list[tuple[datetime, datetime]]]:
    """When these people have calls from `since` on, by person; `without` is a task that doesn't count."""
    rows = await connection.execute(
        text(
            f"SELECT {HOLDER} AS person, starts_at FROM tasks WHERE state = 'open' AND starts_at > :since "
            f"AND {HOLDER} = ANY(:people) AND id::text <> :without ORDER BY starts_at"
        ),
        {"people": list(people), "since": since - CALL, "without": without or ""},
    )
    found: dict[str, list[tuple[datetime, datetime]]] = {person: [] for person in people}
    for row in rows:
        found[row.person].append((row.starts_at, row.starts_at + CALL))
    return found


async def find_open_call(connection: AsyncConnection, customer_id: str) -> Task | None:
    """The call with this customer that is to be made next, locked; one with an appointment first."""
    row = await connection.execute(
        text(
            "SELECT id::text FROM tasks WHERE customer_id = :customer AND state = 'open' AND kind = 'call' "
            "ORDER BY starts_at NULLS LAST, due_at, id LIMIT 1"
        ),
        {"customer": customer_id},
    )
    found: Any = row.scalar()
    return await load_task(connection, found) if found else None


def request_id(customer_id: str, at: datetime) -> str:
    """The id of a call that a customer booked at this moment, without any run having asked for it."""
    return str(uuid.uuid5(NAMESPACE, f"booked/{customer_id}/{at.isoformat()}"))
