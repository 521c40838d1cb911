"""`/api/playbooks`: editing from afar: what is wrong with a text, what it would do, and publishing it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from rules.textual import diff_texts
from schemas.draft import EditedMeanwhileError, Opened, PublishedDraft
from schemas.errors import InputError, NotFoundError, UnavailableError
from store.reading_rows import Row
from web.answers import Answer
from web.asked import Asked
from web.completing import Suggestion, signal_names, suggest
from web.edge import Caller, Edge, EdgeHere, Editor, caller_of
from web.moments import LocalMoment
from web.preconditions import Conditions, PreconditionError, Preconditions, tag_answer
from web.workbench import Draft, Trial, Workbench, kind_of

router = APIRouter(prefix="/api/playbooks", tags=["playbooks"])
FILE = r"^((templates|health)/)?[a-z0-9][a-z0-9_-]{0,63}\.yaml$"
Name = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="The playbook's name, or `policy`.")
]
# A file has at most 1 MB; what is a little longer is told so by the check.
Source = Annotated[str, Field(max_length=1_100_000, description="The whole text of the file.")]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
# With `If-Match: *` whoever was quicker is no reason to refuse; so often it is looked what is there by now.
ATTEMPTS = 3
Done = TypeVar("Done")


class Check(Asked):
    """A text as the file of that name in the directory of playbooks."""

    file: Annotated[str, Field(pattern=FILE, examples=["win-back.yaml"])]
    source: Source


class FoundProblem(Row):
    """One problem, as `holdfast validate --format json` prints it. `here`: it stands in the text that was sent."""

    file: str
    line: int
    column: int
    code: str
    path: str
    message: str
    hint: str
    severity: Literal["error", "warning"]
    here: bool


class CheckAnswer(Answer):
    """Every problem of the text, and what it breaks elsewhere; `valid`: it could be published."""

    valid: bool
    problems: list[FoundProblem]


class Complete(Check):
    """A place in a text, from line 1 and column 1."""

    line: Annotated[int, Field(ge=1, le=1_000_000)]
    column: Annotated[int, Field(ge=1, le=1_000_000)]


class Completed(Answer):
    """What may be written between `column` and the place that was asked about."""

    column: int
    suggestions: list[Suggestion]


class Simulate(Asked):
    """Whom the text is tried out with: a customer by `userId`, or `facts`; see `holdfast simulate`."""

    source: Source
    user_id: Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")] = None
    facts: dict[str, Any] | None = None
    events: Annotated[Sequence[Mapping[str, Any]], Field(max_length=2000)] = ()
    start: LocalMoment | None = None


class Simulated(Answer):
    """What would happen, in order of time, as `holdfast simulate` prints it."""

    lines: list[Mapping[str, Any]]


class PlanWanted(Asked):
    """The text that would be published."""

    source: Source


class Planned(Answer):
    """What publishing the text would change now, as `holdfast plan --format json` prints it."""

    plan: dict[str, Any]


class Put(Asked):
    """The text to publish. `basedOn` is that of the source that it was made from; empty for a new playbook, and where
    If-Match says it.
    """

    source: Source
    note: Note = ""
    based_on: Annotated[str, Field(max_length=100, pattern=r"^[0-9a-f.]*$")] = ""


class SourceAnswer(Answer):
    """The text of a file as it is now; `basedOn` changes whenever the file or what is live does, and is its ETag."""

    file: str
    source: str
    based_on: str
    unpublished: bool
    author: str
    published_at: datetime | None


class ChangeMade(Row):
    """One thing that is live now, and how it is another."""

    name: str
    told: str


class PutAnswer(Answer):
    """What was published; `kept` says why no file was written."""

    changes: list[ChangeMade]
    written: str | None
    kept: str
    based_on: str


def bench_of(edge: Edge) -> Workbench:
    """The editor's tools. Raises UnavailableError where this process has none."""
    if edge.workbench is None:
        raise UnavailableError(
            "This process has no playbook files to work with.", remedy="Use the command line where they are."
        )
    return edge.workbench


@router.post("/check", summary="Check a text", dependencies=[Depends(caller_of)])
async def check(edge: EdgeHere, wanted: Check) -> CheckAnswer:
    """Every problem with line, column, code and what to write instead; nothing is written."""
    checked = await bench_of(edge).check(Draft(wanted.file, wanted.source))
    return CheckAnswer(
        valid=not checked.errors,
        problems=[
            FoundProblem(**problem.to_json(), here=problem.file.endswith(f"/{wanted.file}"))
            for problem in checked.problems
        ],
    )


@router.post("/complete", summary="What may be written at a place", dependencies=[Depends(caller_of)])
async def complete(edge: EdgeHere, wanted: Complete) -> Completed:
    """Words of the language, signals and templates that fit the place; none where nothing is known of it."""
    bench = bench_of(edge)
    draft = Draft(wanted.file, wanted.source)
    # A text may be long, and nobody else waits for it.
    found = await asyncio.to_thread(
        suggest,
        wanted.source,
        wanted.line,
        wanted.column,
        bench.schemas[draft.kind],
        known_names(bench, bench.list_files()),
    )
    return Completed(
        column=found.column if found else wanted.column, suggestions=found.items if found else []
    )


@router.get("/{name}/source", summary="The text of a playbook's file", dependencies=[Depends(caller_of)])
async def read_source(edge: EdgeHere, name: Name, response: Response) -> SourceAnswer:
    """The file as it lies in the directory of playbooks, else as it was published last. Its ETag is what PUT and
    rollback take as If-Match.
    """
    opened = await bench_of(edge).open(f"{name}.yaml")
    tag_answer(response, opened.based_on)
    return SourceAnswer(
        file=opened.file,
        source=opened.text,
        based_on=opened.based_on,
        unpublished=opened.unpublished,
        author=opened.author,
        published_at=opened.published_at,
    )


@router.post("/{name}/simulate", summary="Try a text out with one customer")
async def simulate(edge: EdgeHere, caller: Caller, name: Name, wanted: Simulate) -> Simulated:
    """One customer played through the playbook on virtual time; nothing is sent."""
    bench, draft = bench_of(edge), Draft(f"{name}.yaml", wanted.source)
    if (wanted.user_id is None) == (wanted.facts is None):
        raise InputError("Give either `userId` or `facts`.")
    facts = (
        json.dumps(wanted.facts)
        if wanted.facts is not None
        else await bench.facts_of(wanted.user_id or "", draft)
    )
    events = "".join(f"{json.dumps(event)}\n" for event in wanted.events)
    return Simulated(lines=await bench.simulate(draft, Trial(facts, events, wanted.start)))


@router.post("/{name}/plan", summary="What publishing a text would change")
async def plan(edge: EdgeHere, editor: Editor, name: Name, wanted: PlanWanted) -> Planned:
    """Who would enter, where the runs inside would go on, and what those mean for CSMs; nothing is changed."""
    return Planned(plan=await bench_of(edge).plan(Draft(f"{name}.yaml", wanted.source)))


@router.put("/{name}", summary="Publish a text")
async def put(edge: EdgeHere, editor: Editor, name: Name, wanted: Put, conditions: Conditions) -> PutAnswer:
    """Write the file and make it live, unless somebody changed either since: 412 where that isn't as If-Match or
    If-None-Match says, 409 where it isn't `basedOn`, each with the difference.
    """
    bench, draft = bench_of(edge), Draft(f"{name}.yaml", wanted.source)

    async def publish(based_on: str | None) -> PublishedDraft:
        return await bench.publish(draft, editor, wanted.note, wanted.based_on or based_on or "")

    try:
        done = await change_if(bench, draft.file, conditions, publish, text=draft.text)
    except EditedMeanwhileError as error:
        # A problem has no place for lines of its own: they follow what happened.
        error.message = "\n".join([error.message, *error.lines])
        raise
    opened = await bench.open(draft.file)
    return PutAnswer(
        changes=[ChangeMade(name=what, told=told) for what, told in done.changes],
        written=done.written,
        kept=done.kept,
        based_on=opened.based_on,
    )


async def change_if(
    bench: Workbench,
    file: str,
    conditions: Preconditions,
    change: Callable[[str | None], Awaitable[Done]],
    *,
    text: str | None = None,
) -> Done:
    """Call `change` with the `based_on` that `conditions` hold for; None where they ask for nothing.

    `change` raises EditedMeanwhileError where that isn't the present one any more: then it is looked anew. Raises
    PreconditionError, with the difference to `text` where there is one.
    """
    if not conditions.asked:
        return await change(None)
    for attempt in range(ATTEMPTS):
        now = await _find(bench, file)
        try:
            conditions.check(file, now.based_on if now else None)
        except PreconditionError as error:
            if now is not None and text is not None:
                lines = diff_texts(file, ("as it is now", now.text), ("as you have it", text))
                error.message = "\n".join([error.message, *lines])
            raise
        try:
            return await change(now.based_on if now else "")
        except EditedMeanwhileError:
            if attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def _find(bench: Workbench, file: str) -> Opened | None:
    try:
        return await bench.open(file)
    except NotFoundError:
        return None


def known_names(bench: Workbench, files: Sequence[str]) -> dict[str, Sequence[str]]:
    """What may stand for some keys beyond what a schema can say."""
    templates = [file[len("templates/") : -len(".yaml")] for file in files if file.startswith("templates/")]
    playbooks = [file.removesuffix(".yaml") for file in files if kind_of(file) == "playbook"]
    channels = ("email", "sms", "whatsapp", "push", "in_app", "voice", "template")
    return {
        **dict.fromkeys(channels, templates),
        "start": playbooks,
        "signals": signal_names(bench.schemas["playbook"]),
    }
