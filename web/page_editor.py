"""The editor of playbooks, of the policy, of templates and health models: a form that works as it is, and better with
its script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.draft import EditedMeanwhileError, Opened
from schemas.errors import HoldfastError, InputError, NotFoundError, PlaybookError, Problem
from schemas.message_part import NAME_PATTERN
from schemas.step_lines import find_lines
from store.reading import list_customers
from web.api_editing import bench_of
from web.edge import Edge, EdgeHere, EditorPoster, Poster, Reader, reader_of
from web.flow import make_flow
from web.flow_boxes import Flow
from web.playbook_frame import STANDS
from web.rendering import render
from web.workbench import Draft, Kind, Trial, kind_of

# A file may have 1 MB, and in a form each of its characters may take nine.
LARGEST_FORM_BYTES = 10_000_000
LONGEST_NAME = 64
FOUND_CUSTOMERS = 20


async def read_large_form(request: Request) -> None:
    """Take the form in, whoever looks at its token afterwards. Raises InputError where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM_BYTES:
            raise InputError("The text is too large.", remedy="A file has at most 1 MB; divide it.")
    request.state.form = bytes(body)


router = APIRouter(include_in_schema=False)
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Home = Literal["templates", "health"]
Word = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
# Strangers are refused before anything of theirs is read.
LargeForm = [Depends(reader_of), Depends(read_large_form)]

# What is called how on the page, by the kind of file.
TITLES: Mapping[Kind, str] = {
    "playbook": "Playbook", "policy": "Policy", "template": "Template", "health": "Health model",
    "milestones": "Milestones",
}  # fmt: skip


@dataclass
class Desk:
    """The editor as it is to be shown: the text, what it is based on, and what was found out about it."""

    file: str
    text: str
    based_on: str
    opened: Opened | None = None
    problems: Sequence[Problem] = ()
    checked: bool = False
    flow: Flow | None = None
    lines: Sequence[Mapping[str, Any]] | None = None
    plan: Mapping[str, Any] | None = None
    conflict: EditedMeanwhileError | None = None
    refused: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    found: Sequence[Any] | None = None

    @property
    def draft(self) -> Draft:
        """The text as it stands."""
        return Draft(self.file, self.text)


@router.get("/playbooks/new")
async def new(request: Request, edge: EdgeHere, reader: Reader, name: Word = "") -> HTMLResponse:
    """A playbook that isn't there yet: first its name, then a commented starting point."""
    bench, refused = bench_of(edge), ""
    if name:
        refused = await _refuse_name(edge, name)
    if not name or refused:
        return render(request, "playbook_new.html", name=name, refused=refused)
    text = bench.begin(name)
    desk = Desk(f"{name}.yaml", text, "")
    await _look(edge, desk)
    return _show(request, edge, desk)


@router.get("/playbooks/{name}/edit")
async def edit(request: Request, edge: EdgeHere, reader: Reader, name: Name) -> HTMLResponse:
    """The file of a playbook, or policy.yaml."""
    return await _edit(request, edge, f"{name}.yaml")


@router.get("/playbooks/{home}/{name}/edit")
async def edit_other(
    request: Request, edge: EdgeHere, reader: Reader, home: Home, name: Name
) -> HTMLResponse:
    """A template or a health model."""
    return await _edit(request, edge, f"{home}/{name}.yaml")


@router.post("/playbooks/{name}/try", dependencies=LargeForm)
async def try_out(request: Request, edge: EdgeHere, poster: Poster, name: Name) -> HTMLResponse:
    """What the text comes to: its problems, and whatever else the form asks for; nothing is published."""
    return await _try(request, edge, f"{name}.yaml", may_plan=poster.may("edit"))


@router.post("/playbooks/{home}/{name}/try", dependencies=LargeForm)
async def try_out_other(
    request: Request, edge: EdgeHere, poster: Poster, home: Home, name: Name
) -> HTMLResponse:
    """The same of a template or a health model."""
    return await _try(request, edge, f"{home}/{name}.yaml", may_plan=poster.may("edit"))


@router.post("/playbooks/{name}/publish", dependencies=LargeForm)
async def publish(request: Request, edge: EdgeHere, poster: EditorPoster, name: Name) -> Any:
    """Make the text live, unless somebody was quicker."""
    return await _publish(request, edge, poster, f"{name}.yaml")


@router.post("/playbooks/{home}/{name}/publish", dependencies=LargeForm)
async def publish_other(
    request: Request, edge: EdgeHere, poster: EditorPoster, home: Home, name: Name
) -> Any:
    """The same of a template or a health model."""
    return await _publish(request, edge, poster, f"{home}/{name}.yaml")


async def _edit(request: Request, edge: Edge, file: str) -> HTMLResponse:
    opened = await bench_of(edge).open(file)
    desk = Desk(file, opened.text, opened.based_on, opened)
    await _look(edge, desk)
    return _show(request, edge, desk)


async def _try(request: Request, edge: Edge, file: str, *, may_plan: bool) -> HTMLResponse:
    bench, desk = bench_of(edge), _read(request, file)
    await _look(edge, desk)
    what = desk.fields.get("action", "check")
    try:
        match what:
            case "simulate" if kind_of(file) == "playbook":
                desk.lines = await bench.simulate(desk.draft, await _trial(edge, desk))
            case "plan" if may_plan:
                desk.plan = await bench.plan(desk.draft)
            case "find":
                async with edge.database.transaction() as connection:
                    desk.found = await list_customers(
                        connection, search=desk.fields.get("search", "")[:200] or None, limit=FOUND_CUSTOMERS
                    )
            case "plan":
                desk.refused = "A plan takes one of the roles ops, admin."
    except PlaybookError:
        desk.refused = "It has errors: mend those first."
    except HoldfastError as error:
        desk.refused = f"{error.message} {error.remedy}"
    return _show(request, edge, desk)


async def _publish(request: Request, edge: Edge, poster: Any, file: str) -> HTMLResponse | RedirectResponse:
    bench, desk = bench_of(edge), _read(request, file)
    try:
        done = await bench.publish(desk.draft, poster, desk.fields.get("note", "").strip(), desk.based_on)
    except EditedMeanwhileError as error:
        desk.conflict = error
        # Whoever has seen what the others did may publish over it.
        desk.based_on = error.based_on
        await _look(edge, desk)
        return _show(request, edge, desk, 409)
    except PlaybookError:
        await _look(edge, desk)
        desk.refused = "It has errors, so nothing was published."
        return _show(request, edge, desk, 400)
    except HoldfastError as error:
        await _look(edge, desk)
        desk.refused = f"{error.message} {error.remedy}"
        return _show(request, edge, desk, 400)
    told = "; ".join(f"{what}: {how}" for what, how in done.changes) or "nothing is another than before"
    written = "" if done.written else f" No file was written: {done.kept}."
    query = urlencode({"told": f"Published. {told}.{written}"[:400]})
    versioned = kind_of(file) in ("playbook", "policy", "milestones")
    where = f"/playbooks/{quote(desk.draft.name)}/versions" if versioned else "/playbooks"
    return RedirectResponse(f"{where}?{query}", status_code=303)


def _read(request: Request, file: str) -> Desk:
    """The form as it was posted. Raises InputError."""
    try:
        pairs = parse_qsl(
            request.state.form.decode("ascii"), keep_blank_values=True, max_num_fields=30, errors="strict"
        )
    except ValueError:
        raise InputError("The form can't be read.", remedy="Open the page again.") from None
    fields = dict(pairs)
    text = fields.pop("source", "").replace("\r\n", "\n")
    if any("\x00" in value for value in fields.values()):
        raise InputError("The form holds a character that can't be stored.", remedy="Remove it.")
    based_on = fields.get("based_on", "")
    if not re.fullmatch(r"[0-9a-f.]{0,100}", based_on):
        raise InputError("The form doesn't say what the text is based on.", remedy="Open the page again.")
    return Desk(file, text, based_on, fields=fields)


async def _look(edge: Edge, desk: Desk) -> None:
    """Find out what is wrong with the text, and what picture it makes."""
    checked = await bench_of(edge).check(desk.draft)
    desk.problems, desk.checked = checked.problems, True
    if checked.playbook is not None:
        desk.flow = make_flow(checked.playbook, find_lines(desk.text))
    if desk.opened is None:
        try:
            desk.opened = await bench_of(edge).open(desk.file)
        except NotFoundError:
            desk.opened = None


async def _trial(edge: Edge, desk: Desk) -> Trial:
    """Whom the form wants the playbook tried out with."""
    fields, start = desk.fields, None
    if written := fields.get("start", "").strip():
        try:
            start = datetime.fromisoformat(written)
        except ValueError:
            raise InputError("The start can't be read.", remedy="Write it like 2026-03-02T09:00.") from None
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start
    if fields.get("with") == "customer":
        customer = fields.get("customer", "").strip()
        if not customer:
            raise InputError("Say which customer.", remedy="Write the id, or find one by name.")
        facts = await bench_of(edge).facts_of(customer, desk.draft)
    else:
        facts = fields.get("facts", "")
    return Trial(facts, fields.get("events", ""), start)


def _show(request: Request, edge: Edge, desk: Desk, status: int = 200) -> HTMLResponse:
    bench, kind, name = bench_of(edge), desk.draft.kind, desk.draft.name
    home = desk.file.rpartition("/")[0]
    base = f"/playbooks/{f'{home}/' if home else ''}{quote(name)}"
    here = [problem for problem in desk.problems if problem.file.endswith(f"/{desk.file}")]
    diff = list(desk.conflict.lines) if desk.conflict else []
    return render(
        request, "editor.html", status, desk=desk, kind=kind, kind_title=TITLES[kind], name=name, base=base, here=here,
        elsewhere=[problem for problem in desk.problems if problem not in here], diff=diff,
        errors=sum(problem.severity == "error" for problem in desk.problems),
        sample=desk.fields.get("facts") or bench.sample(desk.draft) if kind == "playbook" else "",
        stands_by=STANDS, size=max(12, min(40, desk.text.count("\n") + 3)),
    )  # fmt: skip


async def _refuse_name(edge: Edge, name: str) -> str:
    """Why a new playbook can't be called so; empty where it can."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > LONGEST_NAME:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME]
        return f"Names are lower-case words with dashes{f', such as {near}' if near else ''}."
    if name in ("policy", "milestones", "new"):
        return f"{name} is no name for a playbook. Choose another."
    try:
        await bench_of(edge).open(f"{name}.yaml")
    except NotFoundError:
        return ""
    return f"There is a playbook {name} already. Edit that one, or choose another name."
