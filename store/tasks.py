"""Work on a CSM's list: opened by a run, completed by a person, or given up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import ConflictError, InputError, NotFoundError
from store import inbox, run_steps
from store.audit import actor_called, record_change
from store.customers import lock_customers
from store.database import Database
from store.runs import NAMESPACE

# No run gives up what nobody waits for: after so long it is taken off the lists.
UNATTENDED = timedelta(days=30)
FOLLOW_UP_REMINDED = timedelta(hours=1)
# A moment further ahead is a slip of the pen; and the calendar itself has an end, which deadlines must not pass.
FURTHEST = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Task:
    """One call or task; state: open, done, overdue (given up), cancelled (its run ended).

    `run_id` None: no run waits for it. `assignee` is a person, or the team on whose list it waits until somebody takes
    it (`taken_by`); `starts_at` is the appointment, where one was made.
    """

    id: str
    run_id: str | None
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
    team: str | None = None
    assigned_because: str = ""
    taken_by: str | None = None
    taken_at: datetime | None = None
    remind_at: datetime | None = None
    starts_at: datetime | None = None
    calendar_sequence: int = 0
    satisfaction_rating: int | None = None
    duration_minutes: int | None = None
    follows: str | None = None

    @property
    def holder(self) -> str:
        """Who has it now: whoever took it, else whom it was escalated to, else whom it was given to."""
        return self.taken_by or self.escalated_to or self.assignee


@dataclass(frozen=True, slots=True)
class Report:
    """What a person says of work beside its outcome; rating 1 to 5 is the customer's satisfaction."""

    notes: str = ""
    satisfaction_rating: int | None = None
    duration_minutes: int | None = None
    follow_up_at: datetime | None = None


_FIELDS = ", ".join(Task.__dataclass_fields__)


def task_id(run_id: str, step: str, occurrence: int) -> str:
    """The same for every attempt at the same step of the same run."""
    return str(uuid.uuid5(NAMESPACE, f"task/{run_id}/{step}/{occurrence}"))


def _task(row: Any) -> Task:
    fields = dict(row._mapping)
    for name in ("id", "run_id", "customer_id", "follows"):
        fields[name] = str(fields[name]) if fields[name] else None
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
        raise NotFoundError(f"{task[:60]!r} is not a task id.") from error
    row = (
        await connection.execute(
            text(f"SELECT {_FIELDS} FROM tasks WHERE id = :id" + (" FOR UPDATE" if lock else "")),
            {"id": task},
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no task {task}.")
    return _task(row)


def check_not_too_far(moment: datetime | None, now: datetime) -> None:
    """Raises InputError for a moment that nobody can have meant."""
    if moment is not None and moment > now + FURTHEST:
        raise InputError("That is more than five years ahead.", remedy="Check the year.")


async def complete_task(
    database: Database,
    task: str,
    outcome: str,
    *,
    notes: str = "",
    by: str,
    report: Report | None = None,
    actor: Principal | None = None,
) -> Task:
    """A person says how it went; the run that waits hears of it. Completing it again with the same outcome, and no notes
    that aren't kept already, changes nothing. A follow-up is put on the same person's list, due when it was said; no run
    waits for that. `actor`: whom the audit log names, where that isn't `by` itself.

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
        said = report or Report(notes=notes)
        if found.state == "done" and found.outcome == outcome and _is_kept(found, said):
            return found
        if found.state != "open":
            told = found.outcome.replace("_", " ") if found.outcome else ""
            raise ConflictError(
                f"This {found.kind} is closed ({found.state}{': ' + told if told else ''}).",
                remedy="Somebody else was faster: what you noted of it isn't kept."
                if said != Report()
                else "Nothing is left to do for it.",
            )
        if said.follow_up_at is not None and said.follow_up_at <= now:
            raise InputError("The follow-up lies in the past.", remedy="Name a moment to come.")
        check_not_too_far(said.follow_up_at, now)
        await close_task(connection, task, "done", now, outcome=outcome, notes=said.notes, by=by)
        await connection.execute(
            text(
                "UPDATE tasks SET satisfaction_rating = :rating, duration_minutes = :minutes WHERE id = :id"
            ),
            {"id": task, "rating": said.satisfaction_rating, "minutes": said.duration_minutes},
        )
        if said.follow_up_at is not None:
            await open_task(connection, _follow_up(found, said, now))
        if found.run_id is not None:
            await run_steps.record_step(
                connection, found.run_id, found.step, found.occurrence, found.kind, outcome, now, found.title,
                {"assignee": found.holder},
            )  # fmt: skip
            # The notes stay here: what a run reads ends up in its history.
            await inbox.post(
                connection, found.run_id, "task", now, step=found.step, occurrence=found.occurrence, outcome=outcome,
            )  # fmt: skip
        done = await load_task(connection, task)
        await note_task(connection, actor or actor_called(by), "completed", found, done)
        return done


async def note_task(
    connection: AsyncConnection, actor: Principal, what: str, before: Task, after: Task
) -> None:
    """Write down what somebody did with work (`taken`, `completed` …), as far as it changed."""
    was, is_ = _state_of(before), _state_of(after)
    if was != is_:
        await record_change(
            connection, actor, f"task.{what}", object_kind="task", object_id=after.id, before=was, after=is_
        )


def _state_of(task: Task) -> dict[str, Any]:
    told = {
        "state": task.state,
        "holder": task.holder,
        "due_at": task.due_at,
        "starts_at": task.starts_at,
        "outcome": task.outcome,
        "notes_length": len(task.notes) or None,
        "satisfaction_rating": task.satisfaction_rating,
        "duration_minutes": task.duration_minutes,
    }
    return {name: value for name, value in told.items() if value is not None}


def _is_kept(done: Task, said: Report) -> bool:
    """Whether nothing is said that isn't kept; a follow-up, being work of its own, is told apart by the notes alone."""
    return (
        said.notes in ("", done.notes)
        and said.satisfaction_rating in (None, done.satisfaction_rating)
        and said.duration_minutes in (None, done.duration_minutes)
    )


def _follow_up(task: Task, report: Report, now: datetime) -> Task:
    assert report.follow_up_at is not None
    return Task(
        id=str(uuid.uuid5(NAMESPACE, f"follow-up/{task.id}")),
        run_id=None,
        customer_id=task.customer_id,
        step="follow-up",
        occurrence=0,
        kind=task.kind,
        title=task.title,
        about=report.notes or task.about,
        assignee=task.holder,
        escalated_to=None,
        outcomes=task.outcomes,
        state="open",
        outcome=None,
        notes="",
        created_at=now,
        due_at=report.follow_up_at,
        escalate_at=None,
        give_up_at=report.follow_up_at + UNATTENDED,
        closed_at=None,
        team=task.team,
        assigned_because="follow-up of what they did before",
        remind_at=max(now, report.follow_up_at - FOLLOW_UP_REMINDED),
        follows=task.id,
    )


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
            "UPDATE tasks SET escalated_to = :to, taken_by = NULL, taken_at = NULL "
            "WHERE id = :id AND state = 'open' AND escalated_to IS DISTINCT FROM :to"
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
