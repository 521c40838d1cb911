"""`/api/playbooks`: what is live, since when and by whom; versions beside each other; files with errors; rollback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from rules.differences import differences
from rules.textual import Written, diff
from schemas.errors import UnavailableError
from store.publications import (
    FileProblemsRow,
    PublicationRow,
    VersionRow,
    list_file_problems,
    list_publications,
    list_versions,
    load_last_publications,
    load_written,
)
from store.reading_decisions import list_playbooks
from store.reading_rows import PlaybookRow, Row
from web.answers import Answer
from web.api_editing import Name, SourceAnswer, bench_of, change_if, read_source
from web.api_runs import MOST_AT_ONCE, Limit, Text, Word
from web.asked import Asked
from web.audit import acting
from web.cursors import cut, read_offset_cursor, write_cursor
from web.edge import EdgeHere, Editor, caller_of
from web.preconditions import Conditions

router = APIRouter(prefix="/api/playbooks", tags=["playbooks"], dependencies=[Depends(caller_of)])
DIGEST = r"^[0-9a-f]{1,64}$"


class LivePlaybook(PlaybookRow):
    """One published playbook, with the last thing that was published of it."""

    last_publication: PublicationRow | None


class PlaybookList(Answer):
    """Published playbooks, retired ones last, and the files that can't be used as they stand: so many of each."""

    playbooks: list[LivePlaybook]
    file_problems: list[FileProblemsRow]
    next_cursor: str | None


class Versions(Answer):
    """A playbook's versions, the one published last first, and what was published of it, the latest first: so many of
    each.
    """

    versions: list[VersionRow]
    publications: list[PublicationRow]
    next_cursor: str | None


class DifferenceRow(Row):
    """One thing that two versions have otherwise."""

    what: str
    told: str


class VersionDiff(Answer):
    """Two versions beside each other: in words, and as lines of a unified diff."""

    first: str
    second: str
    differences: list[DifferenceRow]
    lines: list[str]


class FileProblems(Answer):
    """Files that can't be used as they stand; what was live stays live."""

    files: list[FileProblemsRow]
    next_cursor: str | None


class Rollback(Asked):
    """The version to make live again (the beginning of its digest will do), and who asks."""

    version: Annotated[str, Field(pattern=DIGEST)]
    by: Text = ""


class RolledBack(Answer):
    """What the rollback came to; `kept` says why no file was written."""

    playbook: str
    version: str
    was: str
    changed: bool
    written: str | None
    kept: str


@router.get("", summary="List playbooks")
async def list_(edge: EdgeHere, limit: Limit = MOST_AT_ONCE, cursor: Word = None) -> PlaybookList:
    """What is published, with its status, counts, and who published it last."""
    told = read_offset_cursor(cursor)
    async with edge.database.transaction() as connection:
        last = await load_last_publications(connection)
        rows = await list_playbooks(connection)
        noted = await list_file_problems(connection)
    shown, further = cut(rows, told, limit)
    problems, more_problems = cut(noted, told, limit)
    return PlaybookList(
        playbooks=[
            LivePlaybook(**row.model_dump(by_alias=False), last_publication=last.get(row.name))
            for row in shown
        ],
        file_problems=problems,
        next_cursor=further or more_problems,
    )


@router.get("/problems", summary="Files with errors")
async def problems(edge: EdgeHere, limit: Limit = MOST_AT_ONCE, cursor: Word = None) -> FileProblems:
    """What is wrong with files that somebody saved or published; a file that is mended leaves."""
    async with edge.database.transaction() as connection:
        files, further = cut(await list_file_problems(connection), read_offset_cursor(cursor), limit)
    return FileProblems(files=files, next_cursor=further)


@router.get("/{name}", summary="A playbook as it is now")
async def read(edge: EdgeHere, name: Name, response: Response) -> SourceAnswer:
    """The same as its source: what PUT to the same address replaces. Send its ETag there as If-Match."""
    return await read_source(edge, name, response)


@router.get("/{name}/versions", summary="Versions of a playbook")
async def versions(edge: EdgeHere, name: str, limit: Limit = 50, cursor: Word = None) -> Versions:
    """Every version, how many runs go by it, and the history; `policy` has a history alone."""
    told = read_offset_cursor(cursor)
    async with edge.database.transaction() as connection:
        known = [] if name == "policy" else await list_versions(connection, name)
        history = await list_publications(connection, name=name, limit=limit + 1, offset=told)
    shown, further = cut(known, told, limit)
    more = further or (write_cursor(told + limit) if len(history) > limit else None)
    return Versions(versions=shown, publications=history[:limit], next_cursor=more)


@router.get("/{name}/diff", summary="Two versions beside each other")
async def compare(
    edge: EdgeHere,
    name: str,
    first: Annotated[str, Query(alias="from", pattern=DIGEST)],
    second: Annotated[str | None, Query(alias="to", pattern=DIGEST)] = None,
) -> VersionDiff:
    """Version `from` against version `to`, the live one where left out; beginnings of digests will do."""
    async with edge.database.transaction() as connection:
        old, new = [Written(*await load_written(connection, name, version)) for version in (first, second)]
    return VersionDiff(
        first=old.version,
        second=new.version,
        differences=[
            DifferenceRow(what=one.what, told=one.told) for one in differences(old.playbook, new.playbook)
        ],
        lines=diff(old, new),
    )


@router.post("/{name}/rollback", summary="Make an earlier version live again")
async def roll_back(
    edge: EdgeHere, caller: Editor, name: str, rollback: Rollback, conditions: Conditions
) -> RolledBack:
    """Publish that version's text again, by the same checks; runs inside follow its `on_change`. 412 where the playbook
    isn't as If-Match says.
    """
    put_back = edge.roll_back
    if put_back is None:
        raise UnavailableError("This process can't publish.", remedy="Use `holdfast rollback`.")

    async def publish(based_on: str | None) -> Mapping[str, Any]:
        return await put_back(name, rollback.version, rollback.by or caller.name, based_on)

    async with acting(caller):
        if conditions.asked:
            done = await change_if(bench_of(edge), f"{name}.yaml", conditions, publish)
        else:
            done = await publish(None)
    return RolledBack.model_validate(dict(done))
