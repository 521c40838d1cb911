"""`/api/runs`: looking at runs, and pausing, resuming and stopping them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from schemas.errors import InputError
from schemas.run import Command
from store.reading_messages import list_messages
from store.reading_runs import State, list_runs, list_steps, list_waits, read_run
from store.reading_tasks import list_tasks
from web.answers import Commanded, RunDetail, RunList
from web.asked import Asked
from web.commands import command_run
from web.cursors import cut, read_moment_cursor, read_offset_cursor, write_cursor
from web.edge import Actor, EdgeHere, caller_of
from web.executions import Verb
from web.moments import WrittenMoment

router = APIRouter(prefix="/api/runs", tags=["runs"], dependencies=[Depends(caller_of)])
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
MOST_AT_ONCE = 500
Limit = Annotated[int, Query(ge=1, le=MOST_AT_ONCE)]
# Texts that PostgreSQL can hold.
Word = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


async def named_customer(
    user_id: Annotated[str | None, Query(alias="userId", max_length=200, pattern=r"^[^\x00]*$")] = None,
    customer_id: Annotated[
        str | None, Query(alias="customerId", max_length=200, pattern=r"^[^\x00]*$")
    ] = None,
    customer: Word = None,
) -> str | None:
    """The customer that a list is to be about, by whichever of its three names. Raises InputError for two customers."""
    named = {one for one in (user_id, customer_id, customer) if one is not None}
    if len(named) > 1:
        raise InputError(
            "`userId`, `customerId` and `customer` are one filter, and name several customers.",
            remedy="Give one of them.",
        )
    return named.pop() if named else None


Customer = Annotated[str | None, Depends(named_customer)]
RunId = Annotated[str, Path(description="The run's id, a UUID.")]


class Request(Asked):
    """Who asks, and why; `outcome` is for stop, `until` for snooze."""

    by: Text = ""
    reason: Text = ""
    outcome: Literal["success", "stopped", "lost"] | None = None
    until: WrittenMoment | None = None


@router.get("", summary="List runs")
async def list_(
    edge: EdgeHere,
    customer: Customer,
    playbook: Word = None,
    state: State | None = None,
    limit: Limit = 50,
    cursor: Word = None,
) -> RunList:
    """Newest first. `userId`, `customerId`, `customer` are one filter; state `open` is all not ended."""
    async with edge.database.reading() as source:
        rows = await list_runs(
            source,
            playbook=playbook,
            customer=customer,
            state=state,
            limit=limit + 1,
            before=read_moment_cursor(cursor),
        )
    last = rows[limit - 1] if len(rows) > limit else None
    return RunList(runs=rows[:limit], next_cursor=write_cursor(last.entered_at, last.id) if last else None)


@router.get("/{id}", summary="One run with its trace")
async def read(
    edge: EdgeHere,
    id: RunId,  # noqa: A002
    limit: Limit = MOST_AT_ONCE,
    cursor: Word = None,
) -> RunDetail:
    """The run, what each step came to, its messages, its tasks, and what it listens for. One with many rounds goes on
    with `cursor`.
    """
    told = read_offset_cursor(cursor)
    until = told + limit + 1
    async with edge.database.reading() as source:
        run = await read_run(source, id)
        trace, more_steps = cut(await list_steps(source, run.id, limit=until), told, limit)
        sent, more_sent = cut(await list_messages(source, run_id=run.id, limit=until), told, limit)
        tasks, more_tasks = cut(await list_tasks(source, run_id=run.id, limit=until), told, limit)
        return RunDetail(
            run=run,
            trace=trace,
            deliveries=sent,
            tasks=tasks,
            waits=await list_waits(source, run.id),
            temporal_url=edge.settings.link_workflow(run.workflow_id, run.execution_id),
            next_cursor=more_steps or more_sent or more_tasks,
        )


@router.post("/{id}/{verb}", summary="Pause, resume, stop or put off a run")
async def command(
    edge: EdgeHere,
    caller: Actor,
    id: RunId,  # noqa: A002
    verb: Verb,
    request: Request | None = None,
) -> Commanded:
    """Ask the run's workflow; 409 when its state forbids it, 503 when no worker answers. snooze: what it waits for now
    lasts at least until `until`.
    """
    asked = request or Request()
    if verb == "snooze" and asked.until is None:
        raise InputError("Until when is it to be put off?", remedy="Give `until`, a moment that lies ahead.")
    sent = Command(
        by=asked.by or caller.name,
        reason=asked.reason,
        outcome=asked.outcome if verb == "stop" else None,
        until=asked.until if verb == "snooze" else None,
    )
    run, answer = await command_run(edge, caller, id, verb, sent)
    return Commanded(run_id=run.id, answer=answer)
