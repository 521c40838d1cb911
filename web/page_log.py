"""What passed between this system and others, and who changed what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from schemas.access import Principal
from schemas.errors import ConflictError
from store.audit import AuditRow, list_changes
from store.database import Connection
from store.people import list_people
from store.reading_log import Direction, Passage, list_log, retry_request
from web.access import reader
from web.api_runs import Word
from web.audit_diff import differ
from web.csv_export import answer_csv, write_line
from web.cursors import read_moment_cursor, read_number_cursor, write_cursor
from web.edge import EdgeHere, EditorPoster, Reader
from web.forms import answer_form
from web.page_runs import read_day
from web.rendering import render
from web.session_words import PREFIX, tell_action, tell_object, tell_session

router = APIRouter(include_in_schema=False)
PAGE = 50
EXPORT_ROWS = 1000
Auditor = Annotated[Principal, Depends(reader("audit"))]
EXPORTED = (
    "at", "actorKind", "actorId", "actorName", "action", "objectKind", "objectId", "userId", "before", "after",
    "requestId",
)  # fmt: skip
# Where an object of the audit log is shown.
_PLACES = {
    "run": "/runs/{}", "message": "/outbox/{}", "playbook": "/playbooks/{}", "alert": "/alerts",
    "provider": "/alerts", "channel": "/alerts", "person": "/people", "hook_request": "/log?direction=in",
}  # fmt: skip


@dataclass(frozen=True)
class AuditQuery:
    """Which changes, as the page's fields say it; `since` and `until` are days (UTC), both included. Empty: any."""

    actor: str
    action: str
    object_kind: str
    object_id: str
    customer: str
    since: str
    until: str

    async def find(self, connection: Connection, *, limit: int, before: int | None) -> list[AuditRow]:
        """At most so many changes, the latest first, after the one with the id `before`. Raises InputError."""
        return await list_changes(
            connection, actor=self.actor or None, action=self.action or None, object_kind=self.object_kind or None,
            object_id=self.object_id or None, customer=self.customer or None, since=read_day(self.since),
            until=_end_of(self.until), limit=limit, before=before,
        )  # fmt: skip


async def read_audit_query(
    actor: Word = None,
    action: Word = None,
    object_kind: Word = None,
    object_id: Word = None,
    customer: Word = None,
    since: Word = None,
    until: Word = None,
) -> AuditQuery:
    """What a query asks for. Raises InputError where a day can't be read."""
    for day in (since, until):
        read_day(day)
    given = (actor, action, object_kind, object_id, customer, since, until)
    return AuditQuery(*(one or "" for one in given))


Asked = Annotated[AuditQuery, Depends(read_audit_query)]


@router.get("/log")
async def log(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    direction: Direction | Literal[""] | None = None,
    state: Passage | Literal[""] | None = None,
    source: Word = None,
    since: Word = None,
    cursor: Word = None,
) -> HTMLResponse:
    """Webhooks that went out and requests that came in, newest first."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_log(
            connection, direction=direction or None, state=state or None, source=source or None,
            since=read_day(since), limit=PAGE + 1, before=read_moment_cursor(cursor),
        )  # fmt: skip
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return render(
        request, "log.html", rows=rows[:PAGE], direction=direction or None, state=state or None,
        source=source or "", sources=sorted(edge.hooks), since=since or "", at=now,
        first_page=cursor is None, next_cursor=write_cursor(last.at, last.id) if last else None,
    )  # fmt: skip


@router.post("/log/{key}/retry")
async def retry(edge: EdgeHere, poster: EditorPoster, key: str) -> RedirectResponse:
    """Take up a request again that was given up."""
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            source = await retry_request(connection, poster, key, now)
    except ConflictError as error:
        return answer_form("/log", f"{error.message} {error.remedy}", refused=True)
    edge.hook_bell.ring()
    return answer_form("/log", f"The request of {source} is taken up again.")


@router.get("/audit")
async def audit(
    request: Request, edge: EdgeHere, me: Auditor, query: Asked, cursor: Word = None
) -> HTMLResponse:
    """Who changed what, the latest first, with what is different since."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await query.find(connection, limit=PAGE + 1, before=read_number_cursor(cursor))
        names = {person.id: person.name for person in await list_people(connection)}
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    changes = [
        (row, differ(row.before, tell_session(row.action, row.after)), _place(row), _name(row, names))
        for row in rows[:PAGE]
    ]
    return render(
        request, "audit.html", changes=changes, tell_action=tell_action, sign_ins=PREFIX,
        **asdict(query), at=now, first_page=cursor is None, next_cursor=write_cursor(last.id) if last else None,
    )  # fmt: skip


@router.get("/audit.csv")
async def export(edge: EdgeHere, me: Auditor, query: Asked) -> Response:
    """All changes of the same query, as a table for other programs."""

    async def write() -> AsyncIterator[bytes]:
        yield write_line(EXPORTED)
        before: int | None = None
        while True:
            async with edge.database.transaction() as connection:
                rows = await query.find(connection, limit=EXPORT_ROWS, before=before)
            yield b"".join(write_line(_cells(row)) for row in rows)
            if len(rows) < EXPORT_ROWS:
                return
            before = rows[-1].id

    return answer_csv(write(), "audit.csv")


def _cells(row: AuditRow) -> Sequence[object]:
    return (
        row.at.isoformat(timespec="milliseconds"), row.actor_kind, row.actor_id, row.actor_name, row.action,
        row.object_kind, row.object_id, row.user_id, _json(row.before), _json(row.after), row.request_id,
    )  # fmt: skip


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _place(row: AuditRow) -> str:
    if row.user_id is not None:
        return f"/customers/{quote(row.user_id, safe='')}"
    place = _PLACES.get(row.object_kind, "")
    return place.format(quote(row.object_id, safe=""))


def _name(row: AuditRow, names: Mapping[str, str]) -> str:
    """What people call that of which a row is; empty where its id is all there is."""
    if row.object_kind == "person":
        return names.get(row.object_id, "")
    return row.user_id or tell_object(row.object_kind, row.object_id, row.after)


def _end_of(written: str) -> datetime | None:
    """The midnight (UTC) at which a day ends; None where no day is later."""
    day = read_day(written)
    try:
        return None if day is None else day + timedelta(days=1)
    except OverflowError:
        return None
