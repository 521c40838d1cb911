"""The pages that show things: how the whole stands, customers, runs, messages, playbooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from store.publications import list_file_problems, load_last_publications
from store.reading import list_customers, read_customer, read_totals
from store.reading_decisions import list_decisions, list_playbooks
from store.reading_messages import list_messages
from store.reading_runs import State, count_open, list_runs, list_steps, list_waits, read_run
from store.reading_tasks import list_tasks
from web import outbox
from web.api_runs import Word
from web.cursors import read_moment_cursor, write_cursor
from web.edge import EdgeHere, reader_of
from web.rendering import render
from web.timelines import make_timeline

router = APIRouter(include_in_schema=False, dependencies=[Depends(reader_of)])
router.include_router(outbox.router)
PAGE = 50
Risk = Literal["critical", "at_risk", "healthy", "unscored"]
Search = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


@router.get("/")
async def overview(request: Request, edge: EdgeHere) -> HTMLResponse:
    """Customers by risk, open runs by playbook, the last decisions."""
    async with edge.database.transaction() as connection:
        return render(
            request,
            "overview.html",
            totals=await read_totals(connection),
            open_runs=await count_open(connection),
            decisions=await list_decisions(connection, limit=12),
            runs=await list_runs(connection, limit=8),
            temporal_ui=edge.settings.temporal_ui,
        )


@router.get("/customers")
async def customers(
    request: Request, edge: EdgeHere, risk: Risk | None = None, search: Search = None
) -> HTMLResponse:
    """Customers, the least healthy first."""
    async with edge.database.transaction() as connection:
        rows = await list_customers(connection, risk=risk, search=search, limit=100)
    return render(request, "customers.html", customers=rows, risk=risk, search=search or "")


@router.get("/customers/{user_id:path}")
async def customer(request: Request, edge: EdgeHere, user_id: str) -> HTMLResponse:
    """One customer: signals, runs, messages, decisions."""
    async with edge.database.transaction() as connection:
        return render(
            request,
            "customer.html",
            customer=await read_customer(connection, user_id.replace("\x00", "")),
            runs=await list_runs(connection, customer=user_id, limit=20),
            messages=await list_messages(connection, customer=user_id, limit=20),
            decisions=await list_decisions(connection, customer=user_id, limit=20),
        )


@router.get("/runs")
async def runs(
    request: Request,
    edge: EdgeHere,
    playbook: Word = None,
    customer: Word = None,
    state: State | None = None,
    cursor: Word = None,
) -> HTMLResponse:
    """Runs, newest first."""
    async with edge.database.transaction() as connection:
        rows = await list_runs(
            connection,
            playbook=playbook or None,
            customer=customer or None,
            state=state,
            limit=PAGE + 1,
            before=read_moment_cursor(cursor),
        )
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return render(
        request,
        "runs.html",
        runs=rows[:PAGE],
        playbook=playbook,
        customer=customer,
        state=state,
        next_cursor=write_cursor(last.entered_at, last.id) if last else None,
    )


@router.get("/runs/{run_id}")
async def run(request: Request, edge: EdgeHere, run_id: str, told: Search = None) -> HTMLResponse:
    """One run as a timeline."""
    async with edge.database.transaction() as connection:
        found = await read_run(connection, run_id)
        entry = await list_decisions(connection, customer=found.user_id, run_id=found.id, limit=1)
        timeline = make_timeline(
            found,
            await list_steps(connection, found.id),
            await list_messages(connection, run_id=found.id, limit=500),
            await list_tasks(connection, run_id=found.id),
            await list_waits(connection, found.id),
        )
    link = edge.settings.link_workflow(found.workflow_id, found.execution_id)
    checks = entry[0].checks if entry else ()
    return render(
        request, "run.html", run=found, timeline=timeline, checks=checks, temporal_url=link, told=told
    )


@router.get("/playbooks")
async def playbooks(request: Request, edge: EdgeHere) -> HTMLResponse:
    """Published playbooks with what came of them, and problems of the files."""
    async with edge.database.transaction() as connection:
        rows = await list_playbooks(connection)
        published = await load_last_publications(connection)
        noted = await list_file_problems(connection)
    problems: list[Mapping[str, Any]] = [
        problem.to_json() for problem in await asyncio.to_thread(edge.find_problems)
    ]
    # What somebody couldn't publish from elsewhere; what lies here has just been looked at.
    found = {problem["file"].rpartition("/")[2] for problem in problems}
    problems += [p for file in noted if file.file.rpartition("/")[2] not in found for p in file.problems]
    return render(request, "playbooks.html", playbooks=rows, published=published, problems=problems)
