"""The pages of playbooks: the list, and of each how it goes, what it came to, its versions, and backtests of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from rules.differences import differences
from rules.textual import Written, diff
from schemas.errors import HoldfastError, InputError, NotFoundError, UnavailableError
from schemas.plan import CompiledPlaybook
from scoring.arms import share_of
from scoring.effect import compare_arms
from store.database import Connection
from store.executions import load_arms
from store.playbooks import load_version
from store.publications import (
    list_file_problems,
    list_publications,
    list_versions,
    load_last_publications,
    load_written,
)
from store.reading_playbooks import (
    FiguresRow,
    list_arms,
    list_figures,
    list_reasons,
    list_step_figures,
    read_shadow,
)
from store.reading_runs import list_runs
from web.audit import acting
from web.bars import bar_chart
from web.edge import Edge, EdgeHere, EditorPoster, reader_of
from web.flow import make_flow
from web.flow_boxes import walk_nodes
from web.forms import answer_form, read_form
from web.playbook_frame import STANDS, load_frame
from web.rendering import render
from web.workbench import kind_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(reader_of)])
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,80}$")]
Digest = Annotated[str | None, Query(pattern=r"^[0-9a-f]{0,64}$")]
Search = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
Status = Literal["draft", "shadow", "live", "paused", "retired", "problems", "unpublished", ""]
SORTS = ("title", "status", "open", "entered", "held_out", "goal", "messages", "published")
INSIDE = 25


@router.get("/playbooks")
async def playbooks(
    request: Request,
    edge: EdgeHere,
    state: Status = "",
    q: Search = "",
    sort: Annotated[str, Query(pattern=rf"^-?({'|'.join(SORTS)})?$")] = "",
) -> HTMLResponse:
    """Playbooks with how they go, and problems of the files."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_figures(connection, now)
        published = await load_last_publications(connection)
        noted = await list_file_problems(connection)
    problems: list[Mapping[str, Any]] = [
        {**problem.to_json(), "at": None} for problem in await asyncio.to_thread(edge.find_problems)
    ]
    # What somebody couldn't publish from elsewhere; what lies here has just been looked at.
    found = {problem["file"].rpartition("/")[2] for problem in problems}
    problems += [p for file in noted if file.file.rpartition("/")[2] not in found for p in file.problems]
    faulty = {_stem(str(problem["file"])) for problem in problems if problem.get("severity") == "error"}
    files = await asyncio.to_thread(edge.workbench.list_files) if edge.workbench else []
    names = {row.name for row in rows}
    unpublished = [file.removesuffix(".yaml") for file in files if kind_of(file) == "playbook"]
    unpublished = [name for name in unpublished if name not in names and _matches(q, name)]
    counts = {
        one: sum(row.status == one for row in rows)
        for one in ("live", "shadow", "paused", "draft", "retired")
    }
    shown = [row for row in rows if _matches(q, row.name, row.title, row.owner) and _has(row, state, faulty)]
    return render(
        request, "playbooks.html", playbooks=_sorted(shown, sort), published=published, problems=problems, state=state,
        q=q, sort=sort, counts=counts, faulty=faulty, total=len(rows), computed_at=now,
        unpublished=unpublished if state in ("", "unpublished", "problems") else [],
        others=[(file, _edit_path(file)) for file in files if kind_of(file) != "playbook"],
        editable=edge.workbench is not None,
    )  # fmt: skip


@router.get("/playbooks/{name}")
async def playbook(request: Request, edge: EdgeHere, name: Name) -> Response:
    """How one playbook goes: its figures, its steps with theirs, who is in it."""
    if kind_of(f"{name}.yaml") != "playbook":
        where = "edit" if edge.workbench else "versions"
        return RedirectResponse(f"/playbooks/{name}/{where}", status_code=303)
    frame = await load_frame(edge, request, name)
    async with edge.database.transaction() as connection:
        figures = await list_step_figures(connection, name, frame["computed_at"])
        inside = await list_runs(connection, playbook=name, state="open", limit=INSIDE + 1)
        compiled = await _compiled(edge, connection, frame)
    flow = make_flow(compiled, frame["lines"], figures) if compiled else None
    known = {node.step for node in walk_nodes(flow.nodes)} if flow else set()
    # Steps of earlier versions, where somebody still stands or that somebody got something from.
    elsewhere = sorted(
        (row for step, row in figures.items() if step not in known and row.open), key=lambda r: r.step
    )
    return render(
        request, "playbook.html", tab="", flow=flow, steps=figures, elsewhere=elsewhere, inside=inside[:INSIDE],
        more=len(inside) > INSIDE, **frame,
    )  # fmt: skip


@router.get("/playbooks/{name}/results")
async def results(request: Request, edge: EdgeHere, name: Name) -> HTMLResponse:
    """What it came to: the goal against the holdout, the arms, the shadow, and why others didn't enter."""
    frame = await load_frame(edge, request, name)
    now = frame["computed_at"]
    async with edge.database.transaction() as connection:
        arms = await list_arms(connection, name)
        shadow = await read_shadow(connection, name, now)
        reasons = await list_reasons(connection, name, now.date())
        spent = {row["arm"]: row for row in await load_arms(connection, name)}.get("treated")
    row: FiguresRow | None = frame["figures"]
    effect = (
        compare_arms(row.succeeded, row.ended, row.held_out_succeeded, row.held_out_ended)
        if row and row.held_out_ended
        else None
    )
    by_reason: dict[str, int] = {}
    for reason in reasons:
        by_reason[reason.reason] = by_reason.get(reason.reason, 0) + reason.count
    chart = None
    if shadow.by_day:
        days = {day.isoformat(): count for day, count in shadow.by_day.items()}
        chart = bar_chart({"would have entered": days}, min(shadow.by_day), now.date())
    return render(
        request, "playbook_results.html", tab="results", effect=effect, spent=spent, shadow=shadow, shadow_chart=chart,
        arms=[(arm, share_of(arm.succeeded, arm.ended)) for arm in arms], reasons=reasons,
        by_reason=sorted(by_reason.items(), key=lambda item: -item[1]), **frame,
    )  # fmt: skip


@router.get("/playbooks/{name}/versions")
async def versions(
    request: Request,
    edge: EdgeHere,
    name: Name,
    first: Annotated[Digest, Query(alias="from")] = None,
    second: Annotated[Digest, Query(alias="to")] = None,
) -> HTMLResponse:
    """Every version, and two of them beside each other."""
    frame = await load_frame(edge, request, name)
    compared = None
    async with edge.database.transaction() as connection:
        rows = await list_versions(connection, name) if frame["figures"] else []
        history = await list_publications(connection, name=name, limit=50)
        if first or second:
            old, new = [
                Written(*await load_written(connection, name, one or None)) for one in (first, second)
            ]
            compared = {
                "first": old.version,
                "second": new.version,
                "differences": differences(old.playbook, new.playbook),
                "lines": diff(old, new),
            }
    return render(
        request, "playbook_versions.html", tab="versions", versions=rows, history=history, compared=compared,
        can_roll_back=edge.roll_back is not None, stands_by=STANDS, **frame,
    )  # fmt: skip


@router.post("/playbooks/{name}/rollback")
async def roll_back(request: Request, edge: EdgeHere, poster: EditorPoster, name: Name) -> RedirectResponse:
    """Somebody makes an earlier version live again."""
    fields = await read_form(request)
    version = fields.get("version", "")
    if not re.fullmatch(r"[0-9a-f]{4,64}", version):
        raise InputError("Say which version.", remedy="Choose one of the list.")
    if edge.roll_back is None:
        raise UnavailableError("This process can't publish.", remedy="Use `holdfast rollback`.")
    try:
        async with acting(poster):
            done = await edge.roll_back(name, version, poster.name, None)
    except HoldfastError as error:
        return answer_form(f"/playbooks/{name}/versions", f"{error.message} {error.remedy}", refused=True)
    async with edge.database.transaction() as connection:
        [now] = [row for row in await list_versions(connection, name) if row.live]
    stands = "live" if now.status in ("live", "") else f"published again, as {now.status}"
    told = f"It was {stands} already."
    if done["changed"]:
        told = (
            f"Version {done['version']} is {'live again' if stands == 'live' else stands}, was {done['was']}."
        )
    if done.get("kept"):
        told += f" No file was written: {done['kept']}."
    return answer_form(f"/playbooks/{name}/versions", told)


async def _compiled(edge: Edge, connection: Connection, frame: Mapping[str, Any]) -> CompiledPlaybook | None:
    row: FiguresRow | None = frame["figures"]
    if row is not None:
        try:
            return await load_version(connection, row.name, row.version)
        except (NotFoundError, ValueError):
            return None
    draft: CompiledPlaybook | None = frame["draft"]
    return draft


def _has(row: FiguresRow, status: str, faulty: set[str]) -> bool:
    if status in ("", "unpublished"):
        return not status
    return row.name in faulty if status == "problems" else row.status == status


def _matches(wanted: str, *told: str) -> bool:
    return all(any(word in one.lower() for one in told) for word in wanted.lower().split())


def _sorted(rows: list[FiguresRow], sort: str) -> list[FiguresRow]:
    keys: dict[str, Any] = {
        "title": lambda row: row.title.lower(),
        "status": lambda row: row.status,
        "open": lambda row: row.open,
        "entered": lambda row: row.entered_30_days,
        "held_out": lambda row: row.held_out,
        "goal": lambda row: row.succeeded / row.ended if row.ended else -1,
        "messages": lambda row: row.messages,
        "published": lambda row: row.updated_at,
    }
    key = keys.get(sort.removeprefix("-"))
    return sorted(rows, key=key, reverse=sort.startswith("-")) if key else rows


def _edit_path(file: str) -> str:
    return f"/playbooks/{file.removesuffix('.yaml')}/edit"


def _stem(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".yaml")
