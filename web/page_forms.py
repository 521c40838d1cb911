"""What pages post: taking, moving and completing tasks, commanding a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from rules.zones import instant_at, zone_or_default
from schemas.errors import ConflictError, InputError
from schemas.run import Command
from store.playbooks import load_policy
from store.reading_runs import read_run
from store.sharing import reassign_task, release_task, take_task
from store.tasks import Report, complete_task
from web.api_runs import Word
from web.calls import reschedule
from web.edge import Edge, EdgeHere, Poster, reader_of
from web.forms import read_form
from web.rendering import render
from web.work_list import read_work_list

router = APIRouter(include_in_schema=False)
DONE = {
    "take": "It is yours.", "release": "Given back.", "reassign": "Handed on.", "reschedule": "Moved.",
}  # fmt: skip


@router.get("/tasks", dependencies=[Depends(reader_of)])
async def tasks(
    request: Request,
    edge: EdgeHere,
    assignee: Word = None,
    mine: Word = None,
    team: Word = None,
    due: Literal["overdue", "today", ""] | None = None,
    told: Word = None,
) -> HTMLResponse:
    """Calls and tasks, each with how it stands, what is known of the customer, and the ways it may go."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        policy = await load_policy(connection)
        rows = await read_work_list(
            connection, now, assignee=assignee or None, holder=mine or None, team=team or None, due=due or None,
            limit=200,
        )  # fmt: skip
    people = sorted({person for one in policy.teams.values() for person in one.members})
    return render(
        request, "tasks.html", tasks=rows, assignee=assignee or "", mine=mine or "", team=team or "", due=due or "",
        teams=policy.teams, people=people, zone=policy.default_zone, me=mine or assignee or "", told=told,
    )  # fmt: skip


@router.post("/tasks/{task_id}/complete")
async def complete(request: Request, edge: EdgeHere, poster: Poster, task_id: str) -> RedirectResponse:
    """Somebody says how it went."""
    fields = await read_form(request)
    who = _who(fields)
    try:
        report = Report(
            notes=fields.get("notes", "")[:5000],
            satisfaction_rating=_whole(fields, "rating", 1, 5),
            duration_minutes=_whole(fields, "minutes", 0, 1440),
            follow_up_at=await _local(edge, fields, "follow_up"),
        )
        done = await complete_task(
            edge.database, task_id, fields.get("outcome", ""), by=who or poster, report=report
        )
    except (InputError, ConflictError) as error:
        return _back("/tasks", error.message, who)
    edge.bell.ring()
    return _back("/tasks", f"Noted: {done.title}: {(done.outcome or '').replace('_', ' ')}.", who)


@router.post("/tasks/{task_id}/{verb}")
async def change(
    request: Request,
    edge: EdgeHere,
    poster: Poster,
    task_id: str,
    verb: Literal["take", "release", "reassign", "reschedule"],
) -> RedirectResponse:
    """Somebody takes work, gives it back, hands it on, or agrees on another time."""
    fields = await read_form(request)
    who = _who(fields)
    try:
        starts_at = await _local(edge, fields, "starts_at")
        due_at = await _local(edge, fields, "due_at")
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            match verb:
                case "take":
                    await take_task(connection, task_id, _needed(who, "Say who you are to take it."), now)
                case "release":
                    await release_task(connection, task_id, now)
                case "reassign":
                    to = _needed(fields.get("to", "").strip()[:200], "Say to whom it goes.")
                    await reassign_task(connection, task_id, to, who or poster, now)
                case "reschedule":
                    await reschedule(connection, task_id, now, starts_at=starts_at, due_at=due_at)
    except (InputError, ConflictError) as error:
        return _back("/tasks", error.message, who)
    return _back("/tasks", DONE[verb], who)


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


def _who(fields: Mapping[str, str]) -> str:
    return fields.get("by", "").strip()[:200]


def _needed(written: str, otherwise: str) -> str:
    if not written:
        raise InputError(otherwise)
    return written


def _whole(fields: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    written = fields.get(name, "").strip()
    if not written:
        return None
    if not written.isascii() or not written.isdigit() or not least <= int(written[:9]) <= most:
        raise InputError(f"The {name} must be a whole number from {least} to {most}.")
    return int(written)


async def _local(edge: Edge, fields: Mapping[str, str], name: str) -> datetime | None:
    """A moment as browsers write it, by the team's clock."""
    written = fields.get(name, "").strip()
    if not written:
        return None
    async with edge.database.transaction() as connection:
        policy = await load_policy(connection)
    try:
        at = datetime.fromisoformat(written)
        return instant_at(at.replace(tzinfo=None), zone_or_default(None, policy.default_zone))
    except (ValueError, OverflowError) as error:
        raise InputError("That time can't be read.", remedy="Write it like 2026-03-02T09:30.") from error


def _back(path: str, told: str, who: str = "") -> RedirectResponse:
    # See Other: the browser gets the page anew, and loading it again posts nothing.
    query = {"told": told[:200], **({"mine": who} if who else {})}
    return RedirectResponse(f"{path}?{urlencode(query)}", status_code=303)
