"""Runs: the list of them, one of them step by step, and what people ask of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.errors import ConflictError, HoldfastError, InputError, NotFoundError, UnavailableError
from schemas.run import RUN_QUEUE, Command
from store.executions import find_execution
from store.playbooks import load_policy
from store.reading_decisions import list_decisions, list_playbook_names
from store.reading_messages import list_messages
from store.reading_rows import RunRow
from store.reading_run_page import read_run_page
from store.reading_runs import State, list_runs, list_steps, list_waits, read_run
from store.reading_tasks import list_tasks
from store.run_steps import UNFINISHED
from store.tasks import Report, complete_task
from web.api_runs import Word
from web.api_system import watch_of
from web.commands import command_run
from web.cursors import read_moment_cursor, write_cursor
from web.drawing import explain_draws
from web.edge import EdgeHere, Poster, Reader
from web.executions import Verb
from web.forms import answer_form, read_form, read_local
from web.hindrances import find_hindrances
from web.rendering import render
from web.shared_pages import share_page
from web.temporal_state import TemporalState
from web.timelines import make_timeline, read_meanings

router = APIRouter(include_in_schema=False)
PAGE = 50
# A page waits no longer for a worker.
AT_ONCE_SECONDS = 1.0
OUTCOMES = ("success", "completed", "expired", "stopped", "lost", "failed")
Arm = Literal["treated", "held_out", "shadow", ""]


@router.get("/runs")
async def runs(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    playbook: Word = None,
    customer: Word = None,
    state: State | Literal[""] | None = None,
    outcome: Word = None,
    variant: Word = None,
    arm: Arm | None = None,
    since: Word = None,
    cursor: Word = None,
) -> HTMLResponse:
    """Runs, newest first, narrowed by what they are of and how they stand."""

    async def read() -> Mapping[str, Any]:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            rows = await list_runs(
                connection, playbook=playbook or None, customer=customer or None, state=state or None,
                outcome=outcome or None, variant=variant or None, arm=arm or None, since=read_day(since),
                limit=PAGE + 1, before=read_moment_cursor(cursor),
            )  # fmt: skip
            playbooks = await list_playbook_names(connection)
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        return {
            "runs": rows[:PAGE], "playbooks": playbooks, "playbook": playbook or "", "customer": customer or "",
            "state": state or None, "outcome": outcome or "", "variant": variant or "", "arm": arm or "",
            "since": since or "", "outcomes": OUTCOMES, "at": now, "first_page": cursor is None,
            "next_cursor": write_cursor(last.entered_at, last.id) if last else None,
        }  # fmt: skip

    return await share_page(request, me, "runs.html", read)


@router.get("/runs/{run_id}")
async def run(request: Request, edge: EdgeHere, me: Reader, run_id: str, trace: Word = None) -> HTMLResponse:
    """One run as a timeline; `trace` asks its workflow, too."""
    async with edge.database.transaction() as connection:
        found = await read_run(connection, run_id)
        now = await edge.database.clock.read(connection)
        entry = await list_decisions(connection, customer=found.user_id, run_id=found.id, limit=1)
        page = await read_run_page(connection, found.id, found.playbook, found.version)
        tasks = await list_tasks(connection, run_id=found.id)
        waits = await list_waits(connection, found.id)
        execution = await find_execution(connection, found.id) if found.ended_at else None
        zone = (await load_policy(connection)).default_zone
        meanings = read_meanings(page.playbook)
        timeline = make_timeline(
            found, await list_steps(connection, found.id),
            await list_messages(connection, run_id=found.id, limit=500), tasks, waits, page.changes, meanings,
        )  # fmt: skip
    state = await watch_of(request).look() if found.state == "running" else None
    standing, hindrances = await asyncio.gather(
        _standing(edge, state, found), find_hindrances(edge.executions, state, found, now)
    )
    raw, refused = await _trace(edge, found) if trace else ("", "")
    return render(
        request, "run.html", run=found, timeline=timeline, decision=entry[0] if entry else None,
        draws=explain_draws(page.playbook, found.variants, page.exposures, found.user_id, found.id),
        waits=waits, meanings=meanings, open_tasks=[task for task in tasks if task.state == "open"],
        execution=execution, interruption=page.interruption, standing=standing, hindrances=hindrances, at=now, raw=raw,
        refused=refused, zone=zone,
        temporal_url=edge.settings.link_workflow(found.workflow_id, found.execution_id)
        if found.arm != "held_out" else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """Where the workflow itself says that it stands."""

    step: str
    kind: str
    outcome: str
    detail: str
    at: datetime


async def _standing(edge: EdgeHere, state: TemporalState | None, run: RunRow) -> Standing | None:
    """Where the run stands now, if a worker can be asked and answers at once: timers are on record nowhere else."""
    if state is None or not state.pollers.get(RUN_QUEUE):
        return None
    try:
        told = await edge.executions.trace(run, AT_ONCE_SECONDS)
    except HoldfastError:
        return None
    lines = [line for line in told.get("lines", ()) if line.get("step") != "run"]
    if not lines or lines[-1].get("outcome") not in UNFINISHED:
        return None
    last = lines[-1]
    return Standing(
        last["step"],
        last["kind"],
        last["outcome"],
        last.get("detail", ""),
        datetime.fromisoformat(last["at"]),
    )


async def _trace(edge: EdgeHere, run: RunRow) -> tuple[str, str]:
    """(what the workflow says, why it can't be asked), one of them empty."""
    if run.arm == "held_out":
        return "", "The customer is held out: no workflow runs for it."
    try:
        return json.dumps(await edge.executions.trace(run), indent=2, ensure_ascii=False), ""
    except HoldfastError as error:
        return "", f"{error.message} {error.remedy}".strip()


@router.post("/runs/{run_id}/tasks/{task_id}")
async def complete(
    request: Request, edge: EdgeHere, poster: Poster, run_id: str, task_id: str
) -> RedirectResponse:
    """Somebody says how the call or task went that the run waits for."""
    fields = await read_form(request)
    try:
        async with edge.database.transaction() as connection:
            found = await read_run(connection, run_id)
            tasks = await list_tasks(connection, run_id=found.id)
        _check_task(task_id, {task.id for task in tasks})
        done = await complete_task(
            edge.database, task_id, fields.get("outcome", ""), by=_by(fields, poster.name), actor=poster,
            report=Report(notes=fields.get("notes", "")[:5000]),
        )  # fmt: skip
    except (InputError, ConflictError) as error:
        return _back(run_id, f"{error.message} {error.remedy}", refused=True)
    edge.bell.ring()
    return _back(run_id, f"Noted: {done.title}: {(done.outcome or '').replace('_', ' ')}.")


@router.post("/runs/{run_id}/{verb}")
async def command(
    request: Request, edge: EdgeHere, poster: Poster, run_id: str, verb: Verb
) -> RedirectResponse:
    """Somebody pauses, resumes, stops or puts off a run; what refuses it says why."""
    fields = await read_form(request)
    outcome = fields.get("outcome") or None
    if verb == "stop" and outcome not in (None, "success", "stopped", "lost"):
        raise InputError("A run ends as success, stopped or lost.")
    try:
        until = await _read_until(edge, fields.get("until", "")) if verb == "snooze" else None
        asked = Command(
            by=_by(fields, poster.name),
            reason=fields.get("reason", "").strip()[:200],
            outcome=outcome if verb == "stop" else None,
            until=until,
        )
        _, answer = await command_run(edge, poster, run_id, verb, asked)
    except (ConflictError, InputError, UnavailableError) as error:
        return _back(run_id, f"{error.message} {error.remedy}", refused=True)
    return _back(run_id, f"The run is {answer}.")


def _check_task(task_id: str, known: Set[str]) -> None:
    if task_id not in known:
        raise NotFoundError("The run has no such task.", remedy="Open the run's page again.")


async def _read_until(edge: EdgeHere, written: str) -> datetime:
    async with edge.database.transaction() as connection:
        policy = await load_policy(connection)
    until = read_local(written, policy.default_zone)
    if until is None:
        raise InputError("Until when is it to be put off?", remedy="Give a moment that lies ahead.")
    return until


def read_day(written: str | None) -> datetime | None:
    """The midnight (UTC) at which a day of a form begins. Raises InputError."""
    if not written:
        return None
    try:
        return datetime.fromisoformat(f"{written[:10]}T00:00:00+00:00")
    except ValueError as error:
        raise InputError("That day can't be read.", remedy="Write it like 2026-03-02.") from error


def _by(fields: Mapping[str, Any], otherwise: str) -> str:
    return str(fields.get("by", "")).strip()[:200] or otherwise


def _back(run_id: str, told: str, *, refused: bool = False) -> RedirectResponse:
    return answer_form(f"/runs/{run_id}", told, refused=refused)
