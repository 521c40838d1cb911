"""Messages as they were sent and what came back; looking up, or saying by hand, what became of an unknown one.

Under `holdfast dev` the provider of one can be played.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from channels.sinks import ask_for_report
from schemas.errors import ConflictError, InputError, NotFoundError, UnavailableError
from store.audit import record_change
from store.playbooks import load_policy
from store.reading_changes import CHANNEL
from store.reading_decisions import list_playbook_names
from store.reading_messages import list_messages, read_message
from store.reading_outbox import read_ledger_entry, settle_unknown
from web.api_records import MessageState
from web.api_runs import Word
from web.cursors import read_moment_cursor, write_cursor
from web.edge import EdgeHere, Poster, Reader
from web.forms import answer_form, read_form
from web.headers import MESSAGE
from web.message_history import explain_reason, trace_message
from web.page_runs import read_day
from web.redacting import redact
from web.rendering import render
from web.shared_pages import share_page

router = APIRouter(include_in_schema=False)
PAGE = 50
CHANNELS = ("email", "sms", "whatsapp", "push", "in_app", "voice", "webhook")
STATUSES = (
    "delivered",
    "opened",
    "clicked",
    "replied",
    "bounced",
    "undelivered",
    "complained",
    "unsubscribed",
)
Kind = Literal["critical", "ordinary", ""]
# What its provider may be played to say of a message, by channel.
PLAYED = {
    "email": ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "reply"),
    "sms": ("delivered", "undelivered", "bounced", "reply"),
    "whatsapp": ("delivered", "opened", "undelivered", "reply"),
    "push": ("delivered", "opened", "clicked"),
    "voice": ("delivered", "undelivered"),
}


@router.get("/outbox")
async def outbox(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    channel: Word = None,
    state: MessageState | Literal[""] | None = None,
    status: Word = None,
    playbook: Word = None,
    customer: Word = None,
    kind: Kind | None = None,
    since: Word = None,
    cursor: Word = None,
) -> HTMLResponse:
    """Messages, newest first, narrowed by how they went, how they stand, and whose they are."""

    async def read() -> Mapping[str, Any]:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            rows = await list_messages(
                connection, channel=channel or None, state=state or None, status=status or None,
                playbook=playbook or None, customer=customer or None,
                critical=kind == "critical" if kind else None, since=read_day(since), limit=PAGE + 1,
                before=read_moment_cursor(cursor),
            )  # fmt: skip
            playbooks = await list_playbook_names(connection)
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        return {
            "played": PLAYED, "playable": edge.settings.sinks_url is not None, "messages": rows[:PAGE],
            "channels": CHANNELS, "statuses": STATUSES, "playbooks": playbooks, "channel": channel or "",
            "state": state or None, "reported": status or "", "playbook": playbook or "",
            "customer": customer or "", "kind": kind or "", "since": since or "", "at": now,
            "first_page": cursor is None,
            "next_cursor": write_cursor(last.created_at, last.id) if last else None,
        }  # fmt: skip

    return await share_page(request, me, "outbox.html", read)


@router.get("/outbox/{message_id}")
async def message(request: Request, edge: EdgeHere, me: Reader, message_id: str) -> HTMLResponse:
    """One message as it was sent, what came back, and why it went this way."""
    async with edge.database.transaction() as connection:
        entry = await read_ledger_entry(connection, message_id)
        now = await edge.database.clock.read(connection)
    return render(
        request, "message.html", message=entry.message, entry=entry, history=trace_message(entry),
        reason=explain_reason(entry.message.error_code),
        reports=[(report, redact(report.detail)) for report in entry.reports],
        played=PLAYED, at=now, playable=edge.settings.sinks_url is not None,
        can_look_up=edge.look_up is not None,
    )  # fmt: skip


@router.get("/outbox/{message_id}/html")
async def message_html(edge: EdgeHere, me: Reader, message_id: str) -> HTMLResponse:
    """The HTML part alone, for a frame in which nothing runs and nothing is fetched."""
    async with edge.database.transaction() as connection:
        found = await read_message(connection, message_id)
    return HTMLResponse(str(found.content.get("html") or ""), headers={"Content-Security-Policy": MESSAGE})


@router.post("/outbox/{message_id}/look-up")
async def look_up(edge: EdgeHere, poster: Poster, message_id: str) -> RedirectResponse:
    """Ask the provider now what became of a message of which nobody knows."""
    async with edge.database.transaction() as connection:
        found = await read_message(connection, message_id)
    if edge.look_up is None:
        return _back(
            found.id, "This web process can't ask providers. Say by hand what you know of it.", refused=True
        )
    try:
        told = await edge.look_up(found.id, poster)
    except (ConflictError, UnavailableError) as error:
        return _back(found.id, f"{error.message} {error.remedy}", refused=True)
    await edge.database.notify(CHANNEL)
    return _back(found.id, told)


@router.post("/outbox/{message_id}/mark")
async def mark(request: Request, edge: EdgeHere, poster: Poster, message_id: str) -> RedirectResponse:
    """Somebody knows what became of it."""
    fields = await read_form(request)
    state, reason = fields.get("state", ""), fields.get("reason", "").strip()[:200]
    if state not in ("accepted", "failed"):
        raise InputError("A message is marked as accepted or failed.")
    if not reason:
        return _back(message_id, "Say how you know: the reason stays with the message.", refused=True)
    try:
        async with edge.database.transaction() as connection:
            found = await read_message(connection, message_id)
            now = await edge.database.clock.read(connection)
            policy = await load_policy(connection)
            await settle_unknown(
                connection, found.id, state, now, told=f"{poster.name}: {reason}",
                cost=policy.costs.get(found.channel, 0.0),
            )  # fmt: skip
            await record_change(
                connection, poster, "message.marked", object_kind="message", object_id=found.id,
                before={"state": "unknown"}, after={"state": state, "reason_length": len(reason)},
            )  # fmt: skip
    except ConflictError as error:
        return _back(message_id, f"{error.message} {error.remedy}", refused=True)
    await edge.database.notify(CHANNEL)
    return _back(found.id, f"Noted: {state}. What its run went on with stays as it was.")


@router.post("/outbox/{message_id}/report")
async def report(request: Request, edge: EdgeHere, poster: Poster, message_id: str) -> RedirectResponse:
    """Have the sinks of `holdfast dev` report on a message, signed, as its provider would."""
    if edge.settings.sinks_url is None:
        raise NotFoundError(
            "Only under `holdfast dev` can providers be played.", remedy="Elsewhere they report themselves."
        )
    fields = await read_form(request)
    async with edge.database.transaction() as connection:
        found = await read_message(connection, message_id)
    kind, text = fields.get("kind", ""), fields.get("text", "").strip()[:1000]
    if kind not in PLAYED.get(found.channel, ()):
        raise InputError(f"Nobody reports {kind[:40]!r} of a message by {found.channel}.")
    told = await ask_for_report(
        edge.settings.sinks_url, found.id, kind, text or ("STOP" if kind == "reply" else "")
    )
    if fields.get("back") == "list":
        return answer_form("/outbox", told)
    return _back(found.id, told)


def _back(message_id: str, told: str, *, refused: bool = False) -> RedirectResponse:
    return answer_form(f"/outbox/{message_id}", told, refused=refused)
