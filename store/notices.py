"""Mails about work, as rows: queued with what makes them necessary, sent afterwards, tried again until they are."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.runs import NAMESPACE
from store.sharing import HOLDER
from store.tasks import Task

Kind = Literal["reminder", "invitation", "cancellation"]
Recipient = Literal["staff", "customer"]
# What couldn't be said for so long needn't be said any more.
KEPT_TRYING = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Notice:
    """One mail that is to be sent: to `person` (one of our own), or to the customer.

    `sequence` tells calendars which of several invitations is the last; `starts_at` is the appointment's beginning.
    """

    id: str
    customer_id: str
    task_id: str
    kind: Kind
    recipient: Recipient
    person: str
    sequence: int
    starts_at: datetime | None
    attempts: int
    next_at: datetime
    give_up_at: datetime


_FIELDS = ", ".join(Notice.__dataclass_fields__)


async def queue_reminder(connection: AsyncConnection, task: Task, now: datetime) -> None:
    """Have whoever has this task be reminded of it; told twice it is one mail."""
    key = f"reminder/{task.id}/{task.due_at.isoformat()}/{task.holder}"
    await _queue(
        connection, key, task.customer_id, task.id, "reminder", "staff", task.holder, 0, task.starts_at, now,
        give_up_at=max(task.due_at, now + timedelta(hours=1)),
    )  # fmt: skip


async def queue_calendar_changes(connection: AsyncConnection, now: datetime, limit: int = 200) -> int:
    """Have everybody told of appointments to come that they don't know of, or that won't take place; how many mails.

    It compares the work lists with what was queued before, so that it doesn't matter what changed an appointment: a
    customer who booked, a person, a run that ended. Two workers don't do it at once.
    """
    alone = await connection.execute(
        text("SELECT pg_try_advisory_xact_lock(hashtextextended('holdfast/notices', 0))")
    )
    if not alone.scalar_one():
        return 0
    rows = (await connection.execute(text(_CHANGES), {"now": now, "limit": limit})).all()
    for row in rows:
        kind: Kind = "invitation" if row.wanted else "cancellation"
        sequence = max(row.last_sequence + 1, row.calendar_sequence if row.wanted else 0)
        starts_at: datetime = row.starts_at
        await _queue(
            connection, f"{kind}/{row.task_id}/{row.recipient}/{row.person}/{sequence}", row.customer_id, row.task_id,
            kind, row.recipient, row.person, sequence, starts_at, now, give_up_at=min(starts_at, now + KEPT_TRYING),
        )  # fmt: skip
    return len(rows)


# What each should know, beside what each was told last.
_CHANGES = f"""
WITH wanted AS (
  SELECT t.id AS task_id, t.customer_id, r.recipient, CASE r.recipient WHEN 'staff' THEN {HOLDER} ELSE '' END AS person,
    t.starts_at, t.calendar_sequence
  FROM tasks t CROSS JOIN (VALUES ('staff'), ('customer')) r (recipient)
  WHERE t.state = 'open' AND t.starts_at > :now
), told AS (
  SELECT DISTINCT ON (task_id, recipient, person) task_id, customer_id, recipient, person, kind, starts_at, sequence
  FROM notices WHERE kind <> 'reminder' AND starts_at > :now
  ORDER BY task_id, recipient, person, number DESC
)
SELECT coalesce(w.task_id, o.task_id)::text AS task_id, coalesce(w.customer_id, o.customer_id)::text AS customer_id,
  coalesce(w.recipient, o.recipient) AS recipient, coalesce(w.person, o.person) AS person,
  w.task_id IS NOT NULL AS wanted, coalesce(w.starts_at, o.starts_at) AS starts_at,
  coalesce(w.calendar_sequence, 0) AS calendar_sequence, coalesce(o.sequence, -1) AS last_sequence
FROM wanted w FULL JOIN told o USING (task_id, recipient, person)
WHERE (w.task_id IS NOT NULL AND (o.task_id IS NULL OR o.kind = 'cancellation' OR o.starts_at <> w.starts_at))
  OR (w.task_id IS NULL AND o.kind = 'invitation')
ORDER BY 6 LIMIT :limit
"""


async def load_due_notices(connection: AsyncConnection, now: datetime, limit: int = 100) -> list[Notice]:
    """What is to be sent now; whoever sends one takes it first (`take_notice`)."""
    rows = await connection.execute(
        text(
            f"SELECT {_FIELDS} FROM notices WHERE state = 'waiting' AND next_at <= :now ORDER BY next_at, number LIMIT :n"
        ),
        {"now": now, "n": limit},
    )
    return [_notice(row) for row in rows]


async def take_notice(connection: AsyncConnection, notice: Notice, until: datetime) -> bool:
    """Keep everybody else from sending it until then; False where somebody else has it."""
    done = await connection.execute(
        text(
            "UPDATE notices SET next_at = :until, attempts = attempts + 1 "
            "WHERE id = :id AND state = 'waiting' AND next_at = :seen"
        ),
        {"id": notice.id, "until": until, "seen": notice.next_at},
    )
    return bool(done.rowcount)


async def settle_notice(
    connection: AsyncConnection,
    notice: Notice,
    state: Literal["sent", "skipped", "failed"],
    now: datetime,
    *,
    error: str | None = None,
    provider: str | None = None,
    provider_id: str | None = None,
) -> None:
    """What became of it in the end."""
    await connection.execute(
        text(
            "UPDATE notices SET state = :state, settled_at = :now, error = :error, provider = :provider, "
            "provider_id = :provider_id WHERE id = :id AND state = 'waiting'"
        ),
        {
            "id": notice.id, "state": state, "now": now, "error": error, "provider": provider,
            "provider_id": provider_id,
        },
    )  # fmt: skip


async def postpone_notice(connection: AsyncConnection, notice: Notice, until: datetime, error: str) -> None:
    """It didn't go; it is tried again then."""
    await connection.execute(
        text("UPDATE notices SET next_at = :until, error = :error WHERE id = :id AND state = 'waiting'"),
        {"id": notice.id, "until": until, "error": error},
    )


async def next_notice(connection: AsyncConnection) -> datetime | None:
    """When one is to be sent next."""
    row = await connection.execute(text("SELECT min(next_at) FROM notices WHERE state = 'waiting'"))
    found: datetime | None = row.scalar()
    return found


async def _queue(
    connection: AsyncConnection, key: str, customer_id: str, task_id: str, kind: Kind, recipient: Recipient,
    person: str, sequence: int, starts_at: datetime | None, now: datetime, *, give_up_at: datetime,
) -> None:  # fmt: skip
    await connection.execute(
        text(
            "INSERT INTO notices (id, customer_id, task_id, kind, recipient, person, sequence, starts_at, created_at, "
            "next_at, give_up_at) VALUES (:id, :customer, :task, :kind, :recipient, :person, :sequence, :starts_at, :now, "
            ":now, :give_up_at) ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": str(uuid.uuid5(NAMESPACE, f"notice/{key}")), "customer": customer_id, "task": task_id, "kind": kind,
            "recipient": recipient, "person": person, "sequence": sequence, "starts_at": starts_at, "now": now,
            "give_up_at": give_up_at,
        },
    )  # fmt: skip


def _notice(row: Any) -> Notice:
    fields = dict(row._mapping)
    for name in ("id", "customer_id", "task_id"):
        fields[name] = str(fields[name])
    return Notice(**fields)
