"""`/api/tasks`: the lists of calls and tasks; taking, handing on, moving and completing one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from store.database import Connection
from store.reading_tasks import read_task
from store.sharing import reassign_task, release_task, take_task
from store.tasks import Report, Task, complete_task, load_task, note_task
from web.answers import Answer, TaskDone
from web.api_runs import Customer, Limit, Text, Word
from web.asked import Asked
from web.calls import reschedule
from web.cursors import read_offset_cursor, write_cursor
from web.edge import Actor, EdgeHere, caller_of
from web.moments import WrittenMoment
from web.work_list import TaskItem, describe_task, read_work_list

router = APIRouter(prefix="/api/tasks", tags=["tasks"], dependencies=[Depends(caller_of)])
Person = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class WorkList(Answer):
    """Tasks, the most pressing first."""

    tasks: list[TaskItem]
    next_cursor: str | None


class TaskAnswer(Answer):
    """One task as it is now."""

    task: TaskItem


class Completion(Asked):
    """How it went; `outcome` is one of the task's outcomes, `followUpAt` when whoever did it is to look again."""

    outcome: Text
    notes: Annotated[str, Field(max_length=5000, pattern=r"^[^\x00]*$")] = ""
    by: Text = ""
    satisfaction_rating: Annotated[int | None, Field(ge=1, le=5)] = None
    duration_minutes: Annotated[int | None, Field(ge=0, le=1440)] = None
    follow_up_at: WrittenMoment | None = None


class Taking(Asked):
    """Who takes it, or gives it back; the name of whoever calls where that is left out."""

    by: Text = ""


class Handing(Asked):
    """Whom it goes to, and who says so."""

    to: Person
    by: Text = ""


class Moving(Asked):
    """When it happens (an appointment of 30 minutes), or by when it is due instead."""

    starts_at: WrittenMoment | None = None
    due_at: WrittenMoment | None = None


@router.get("", summary="List tasks")
async def list_(
    edge: EdgeHere,
    customer: Customer,
    assignee: Word = None,
    mine: Word = None,
    team: Word = None,
    due: Literal["overdue", "today"] | None = None,
    state: Literal["open", "done", "overdue", "cancelled"] | None = None,
    limit: Limit = 100,
    cursor: Word = None,
) -> WorkList:
    """The most pressing first. `assignee`: given to, escalated to or taken by them; `mine`: what they have now; `team`:
    all that is its own, taken or not.
    """
    told = read_offset_cursor(cursor)
    now = await edge.time.read()
    async with edge.database.reading() as source:
        rows = await read_work_list(
            source, now, assignee=assignee, holder=mine, team=team, due=due, state=state, customer=customer,
            limit=told + limit + 1,
        )  # fmt: skip
    more = len(rows) > told + limit
    return WorkList(tasks=rows[told : told + limit], next_cursor=write_cursor(told + limit) if more else None)


@router.post("/{id}/complete", summary="Complete a task")
async def complete(edge: EdgeHere, caller: Actor, id: str, completion: Completion) -> TaskDone:  # noqa: A002
    """The run goes on with this outcome. Completing it again with the same outcome changes nothing."""
    report = Report(
        notes=completion.notes,
        satisfaction_rating=completion.satisfaction_rating,
        duration_minutes=completion.duration_minutes,
        follow_up_at=completion.follow_up_at,
    )
    done = await complete_task(
        edge.database, id, completion.outcome, by=completion.by or caller.name, report=report, actor=caller
    )
    edge.bell.ring()
    return TaskDone(task_id=done.id, state=done.state, outcome=done.outcome)


@router.post("/{id}/take", summary="Take a task from a team's list")
async def take(edge: EdgeHere, caller: Actor, id: str, taking: Taking | None = None) -> TaskAnswer:  # noqa: A002
    """409 where somebody else has it; taking one's own again changes nothing."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        before = await load_task(connection, id, lock=False)
        task = await take_task(connection, id, (taking or Taking()).by or caller.name, now)
        await note_task(connection, caller, "taken", before, task)
        return await _answer(connection, task, now)


@router.post("/{id}/release", summary="Give a taken task back")
async def release(edge: EdgeHere, caller: Actor, id: str) -> TaskAnswer:  # noqa: A002
    """To where it was taken from; 409 where nobody took it."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        before = await load_task(connection, id, lock=False)
        task = await release_task(connection, id, now)
        await note_task(connection, caller, "released", before, task)
        return await _answer(connection, task, now)


@router.post("/{id}/reassign", summary="Hand a task to somebody else")
async def reassign(edge: EdgeHere, caller: Actor, id: str, handing: Handing) -> TaskAnswer:  # noqa: A002
    """Whoever has it; why it is whose it is says who did that."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        before = await load_task(connection, id, lock=False)
        task = await reassign_task(connection, id, handing.to, handing.by or caller.name, now)
        await note_task(connection, caller, "reassigned", before, task)
        return await _answer(connection, task, now)


@router.post("/{id}/reschedule", summary="Agree on another time for a task")
async def move(edge: EdgeHere, caller: Actor, id: str, moving: Moving) -> TaskAnswer:  # noqa: A002
    """Its run goes on waiting for it; 409 where whoever has it has another appointment then."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        before = await load_task(connection, id, lock=False)
        task = await reschedule(connection, id, now, starts_at=moving.starts_at, due_at=moving.due_at)
        await note_task(connection, caller, "rescheduled", before, task)
        return await _answer(connection, task, now)


async def _answer(connection: Connection, task: Task, now: datetime) -> TaskAnswer:
    return TaskAnswer(task=describe_task(await read_task(connection, task.id), now))
