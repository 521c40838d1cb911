"""Work on a CSM's list: opened by a run, completed by a person, or given up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import ConflictError, InputError, NotFoundError
from store import inbox, run_steps
from store.customers import lock_customers
from store.database import Database
from store.runs import NAMESPACE


@dataclass(frozen=True, slots=True)
class Task:
    """One call or task; state: open, done, overdue (given up), cancelled (its run ended)."""

    id: str
    run_id: str
    customer_id: str
    step: str
    occurrence: int
    kind: str
    title: str
    about: str
    assignee: str
    escalated_to: str | None
    outcomes: Sequence[str]
    state: str
    outcome: str | None
    notes: str
    created_at: datetime
    due_at: datetime
    escalate_at: datetime | None
    give_up_at: datetime
    closed_at: datetime | None


_FIELDS = ", ".join(Task.__dataclass_fields__)


def task_id(run_id: str, step: str, occurrence: int) -> str:
    """The same for every attempt at the same step of the same run."""
    return str(uuid.uuid5(NAMESPACE, f"task/{run_id}/{step}/{occurrence}"))


def _task(row: Any) -> Task:
    fields = dict(row._mapping)
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    return Task(**fields)


async def open_task(connection: AsyncConnection, task: Task) -> Task:
    """Put a task on the list, or find it there."""
    values = {name: getattr(task, name) for name in Task.__dataclass_fields__} | {
        "outcomes": list(task.outcomes)
    }
    await connection.execute(
        text(
            f"INSERT INTO tasks ({_FIELDS}) VALUES ({', '.join(':' + n for n in values)}) ON CONFLICT DO NOTHING"
        ),
        values,
    )
    return await load_task(connection, task.id)


async def load_task(connection: AsyncConnection, task: str, *, lock: bool = True) -> Task:
    """One task, locked unless told otherwise. Raises NotFoundError."""
    try:
        uuid.UUID(task)
    except ValueError as error:
        raise NotFoundError(f"{task!r} is not a task id.") from error
    row = (
        await connection.execute(
            text(f"SELECT {_FIELDS} FROM tasks WHERE id = :id" + (" FOR UPDATE" if lock else "")),
            {"id": task},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no task {task}.")
    return _task(row)


async def complete_task(database: Database, task: str, outcome: str, *, notes: str = "", by: str) -> Task:
    """A person says how it went; the run hears of it. Completing it again with the same outcome changes nothing.

    Raises NotFoundError; InputError for an outcome that the step doesn't know; ConflictError when it is closed.
    """
    async with database.transaction() as connection:
        found = await load_task(connection, task, lock=False)
        # What reaches a run's inbox is numbered; under this lock the numbers become visible in their order.
        await lock_customers(connection, [found.customer_id])
        now = await database.clock.read(connection)
        found = await load_task(connection, task)
        if outcome not in found.outcomes:
            raise InputError(
                f"{outcome!r} is not an outcome of this {found.kind}.",
                remedy=f"Use one of: {', '.join(found.outcomes)}.",
            )
        if found.state == "done" and found.outcome == outcome:
            return found
        if found.state != "open":
            raise ConflictError(
                f"This {found.kind} is closed ({found.state}{': ' + found.outcome if found.outcome else ''}).",
                remedy="Nothing is left to do for it.",
            )
        await close_task(connection, task, "done", now, outcome=outcome, notes=notes, by=by)
        await run_steps.record_step(
            connection, found.run_id, found.step, found.occurrence, found.kind, outcome, now, found.title
        )
        # The notes stay here: what a run reads ends up in its history.
        await inbox.post(
            connection,
            found.run_id,
            "task",
            now,
            step=found.step,
            occurrence=found.occurrence,
            outcome=outcome,
        )
        return await load_task(connection, task)


async def close_task(
    connection: AsyncConnection,
    task: str,
    state: str,
    now: datetime,
    *,
    outcome: str | None = None,
    notes: str = "",
    by: str | None = None,
) -> bool:
    """Close an open task; False if it is closed."""
    done = await connection.execute(
        text(
            "UPDATE tasks SET state = :state, outcome = :outcome, notes = :notes, completed_by = :by, closed_at = :now "
            "WHERE id = :id AND state = 'open'"
        ),
        {"id": task, "state": state, "outcome": outcome, "notes": notes, "by": by, "now": now},
    )
    return bool(done.rowcount)


async def escalate_task(connection: AsyncConnection, task: str, to: str) -> bool:
    """Hand an open task to somebody else; False if it is closed or theirs already."""
    done = await connection.execute(
        text(
            "UPDATE tasks SET escalated_to = :to WHERE id = :id AND state = 'open' AND escalated_to IS DISTINCT FROM :to"
        ),
        {"id": task, "to": to},
    )
    return bool(done.rowcount)


async def cancel_tasks(connection: AsyncConnection, run_id: str, now: datetime) -> None:
    """The run has ended: what is open of it needs nobody any more."""
    await connection.execute(
        text("UPDATE tasks SET state = 'cancelled', closed_at = :now WHERE run_id = :run AND state = 'open'"),
        {"run": run_id, "now": now},
    )
