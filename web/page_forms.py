"""What pages post: completing a task, commanding a run."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.errors import ConflictError, InputError
from schemas.run import Command
from store.reading_runs import read_run
from store.reading_tasks import list_tasks
from store.tasks import complete_task
from web.api_runs import Word
from web.edge import EdgeHere, Poster, reader_of
from web.forms import read_form
from web.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/tasks", dependencies=[Depends(reader_of)])
async def tasks(request: Request, edge: EdgeHere, assignee: Word = None, told: Word = None) -> HTMLResponse:
    """Calls and tasks, each with the ways it may go."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_tasks(connection, assignee=assignee or None, limit=200)
    return render(request, "tasks.html", tasks=rows, assignee=assignee, now=now, told=told)


@router.post("/tasks/{task_id}/complete")
async def complete(request: Request, edge: EdgeHere, poster: Poster, task_id: str) -> RedirectResponse:
    """Somebody says how it went."""
    fields = await read_form(request)
    try:
        done = await complete_task(
            edge.database,
            task_id,
            fields.get("outcome", ""),
            notes=fields.get("notes", "")[:5000],
            by=fields.get("by", "").strip()[:200] or poster,
        )
    except (InputError, ConflictError) as error:
        return _back("/tasks", error.message)
    edge.bell.ring()
    return _back("/tasks", f"Noted: {done.title}: {(done.outcome or '').replace('_', ' ')}.")


@router.post("/runs/{run_id}/{verb}")
async def command(
    request: Request, edge: EdgeHere, poster: Poster, run_id: str, verb: Literal["pause", "resume", "stop"]
) -> RedirectResponse:
    """Somebody pauses, resumes or stops a run."""
    fields = await read_form(request)
    async with edge.database.transaction() as connection:
        run = await read_run(connection, run_id)
    try:
        answer = await edge.executions.command(
            run,
            verb,
            Command(by=fields.get("by", "").strip()[:200] or poster, reason=fields.get("reason", "")[:200]),
        )
    except ConflictError as error:
        answer = error.message
    return _back(f"/runs/{run.id}", answer)


def _back(path: str, told: str) -> RedirectResponse:
    # See Other: the browser gets the page anew, and loading it again posts nothing.
    return RedirectResponse(f"{path}?{urlencode({'told': told[:200]})}", status_code=303)
