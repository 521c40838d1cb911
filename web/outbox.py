"""Messages as they were sent and what came back; under `holdfast dev`, playing the provider of one."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from channels.sinks import ask_for_report
from schemas.errors import InputError, NotFoundError
from store.reading_messages import list_messages, read_message
from web.api_records import MessageState
from web.api_runs import Word
from web.cursors import read_moment_cursor, write_cursor
from web.edge import EdgeHere, Poster
from web.forms import read_form
from web.headers import MESSAGE
from web.rendering import render

router = APIRouter()
PAGE = 50
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
    channel: Word = None,
    state: MessageState | None = None,
    cursor: Word = None,
    told: Word = None,
) -> HTMLResponse:
    """Messages, newest first."""
    async with edge.database.transaction() as connection:
        rows = await list_messages(
            connection,
            channel=channel or None,
            state=state,
            limit=PAGE + 1,
            before=read_moment_cursor(cursor),
        )
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return render(
        request,
        "outbox.html",
        played=PLAYED,
        told=told,
        playable=edge.settings.sinks_url is not None,
        messages=rows[:PAGE],
        channel=channel,
        state=state,
        next_cursor=write_cursor(last.created_at, last.id) if last else None,
    )


@router.get("/outbox/{message_id}")
async def message(request: Request, edge: EdgeHere, message_id: str, told: Word = None) -> HTMLResponse:
    """One message as it was sent, what came back, and why it went this way."""
    async with edge.database.transaction() as connection:
        found = await read_message(connection, message_id)
    playable = edge.settings.sinks_url is not None
    return render(request, "message.html", message=found, played=PLAYED, told=told, playable=playable)


@router.get("/outbox/{message_id}/html")
async def message_html(edge: EdgeHere, message_id: str) -> HTMLResponse:
    """The HTML part alone, for a frame in which nothing runs and nothing is fetched."""
    async with edge.database.transaction() as connection:
        found = await read_message(connection, message_id)
    return HTMLResponse(str(found.content.get("html") or ""), headers={"Content-Security-Policy": MESSAGE})


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
    where = f"/outbox/{found.id}" if fields.get("back") != "list" else "/outbox"
    return RedirectResponse(f"{where}?{urlencode({'told': told})}", status_code=303)
