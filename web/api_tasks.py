"""`/api/tasks`: the lists of calls and tasks, and completing one."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from store.reading_rows import Row
from store.reading_tasks import list_tasks
from store.tasks import complete_task
from web.answers import TaskDone, TaskList
from web.api_runs import Customer, Limit, Text, Word
from web.edge import Caller, EdgeHere, caller_of

router = APIRouter(prefix="/api/tasks", tags=["tasks"], dependencies=[Depends(caller_of)])


class Completion(Row):
    """How it went; `outcome` is one of the task's outcomes."""

    outcome: Text
    notes: Annotated[str, Field(max_length=5000, pattern=r"^[^\x00]*$")] = ""
    by: Text = ""


@router.get("", summary="List tasks")
async def list_(
    edge: EdgeHere,
    customer: Customer,
    assignee: Word = None,
    state: Literal["open", "done", "overdue", "cancelled"] | None = None,
    limit: Limit = 100,
) -> TaskList:
    """The most pressing first; an assignee's list holds what was escalated to them, too."""
    async with edge.database.transaction() as connection:
        rows = await list_tasks(connection, assignee=assignee, state=state, customer=customer, limit=limit)
    return TaskList(tasks=rows)


@router.post("/{id}/complete", summary="Complete a task")
async def complete(edge: EdgeHere, caller: Caller, id: str, completion: Completion) -> TaskDone:  # noqa: A002
    """The run goes on with this outcome. Completing it again with the same outcome changes nothing."""
    done = await complete_task(
        edge.database, id, completion.outcome, notes=completion.notes, by=completion.by or caller
    )
    edge.bell.ring()
    return TaskDone(task_id=done.id, state=done.state, outcome=done.outcome)
