"""Where the links in messages lead: unsubscribing with one click (RFC 8058), and choosing what one gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from rules.consent import CONSENT_CHANNELS
from schemas.catalogue import load_catalogue
from schemas.errors import NotFoundError
from schemas.link_token import LinkToken
from scoring.moving import make_mover
from store.contact import declare_consents, load_consents
from store.customers import load_customers, lock_customers
from store.database import Connection
from store.delivery_reports import lock_reported
from store.message_events import tell_event
from store.playbooks import load_policy
from store.suppressions import load_suppressions
from web.edge import Edge, EdgeHere
from web.forms import read_form
from web.rendering import render
from web.signed_links import link_key, read_link
from web.wishes import Section, find_changes, list_sections, refuse_all

# Whoever has the link may: mail programs press it for people, without a key, a cookie or an Origin.
router = APIRouter(include_in_schema=False)
# A policy may have many topics; a form that names more is none of ours.
MOST_FIELDS = 1000
WHAT = {
    "email": "e-mails", "sms": "text messages", "whatsapp": "WhatsApp messages", "push": "notifications on your phone",
    "voice": "automatic calls", "in_app": "messages inside the product", "": "messages",
}  # fmt: skip


@router.api_route("/u/{written}", methods=["GET", "HEAD"])
async def ask(request: Request, edge: EdgeHere, written: str) -> HTMLResponse:
    """A page with one button. It changes nothing: scanners of mails open every link."""
    token = read_link(edge, written, "unsubscribe")
    return render(request, "unsubscribe.html", done=False, what=_what(token), topic=token.topic)


@router.post("/u/{written}")
async def unsubscribe(request: Request, edge: EdgeHere, written: str) -> HTMLResponse:
    """Withdraw consent to what the message was, at once and without a redirect; again and again is the same."""
    key, token = link_key(edge), read_link(edge, written, "unsubscribe")
    channels = (token.channel,) if token.channel else CONSENT_CHANNELS
    words = {(channel, token.topic): False for channel in channels}
    async with edge.database.transaction() as connection:
        await _declare(connection, edge, token, words)
    edge.bell.ring()
    preferences = key.sign(replace(token, purpose="preferences", channel="", topic=""))
    return render(
        request,
        "unsubscribe.html",
        done=True,
        what=_what(token),
        topic=token.topic,
        preferences=preferences,
    )


@router.api_route("/preferences/{written}", methods=["GET", "HEAD"])
async def preferences(
    request: Request, edge: EdgeHere, written: str, saved: str | None = None
) -> HTMLResponse:
    """A switch for each channel and topic."""
    token = read_link(edge, written, "preferences")
    async with edge.database.transaction() as connection:
        sections, _ = await _load(connection, token.customer_id)
    shown = [switch.word for section in sections for switch in section.switches if switch.on]
    return render(request, "preferences.html", sections=sections, shown=shown, saved=saved)


@router.post("/preferences/{written}")
async def save(request: Request, edge: EdgeHere, written: str) -> RedirectResponse:
    """Note what was turned on or off."""
    token = read_link(edge, written, "preferences")
    fields = await read_form(request, most=MOST_FIELDS)
    async with edge.database.transaction() as connection:
        await lock_customers(connection, [token.customer_id])
        sections, consent = await _load(connection, token.customer_id)
        if fields.get("do") == "nothing":
            changes = refuse_all(sections)
        else:
            changes = find_changes(sections, fields.get("shown", "").split(), fields, consent)
        await _declare(connection, edge, token, changes)
    edge.bell.ring()
    # See Other, and to the same place whatever path the proxy gives it: loading the page again posts nothing.
    return RedirectResponse(f"?{urlencode({'saved': 'yes'})}", status_code=303)


async def _declare(
    connection: Connection, edge: Edge, token: LinkToken, words: Mapping[tuple[str, str], bool]
) -> None:
    """Note what the customer says, and tell the runs that wait for it of what is refused from now on."""
    await lock_customers(connection, [token.customer_id])
    before = (await load_consents(connection, [token.customer_id])).get(token.customer_id, {})
    now = await edge.database.clock.read(connection)
    await declare_consents(connection, token.customer_id, words, source=_source(token), now=now)
    refused = [
        (channel, topic)
        for (channel, topic), granted in words.items()
        if not granted and before.get(f"{channel}:{topic}" if topic else channel) is not False
    ]
    if not refused:
        return
    delivery = await lock_reported(connection, token.delivery_id, lock=False) if token.delivery_id else None
    about = (
        {"playbook": delivery.playbook, "step": delivery.step, "template": delivery.template}
        if delivery
        else {}
    )
    named = {channel for channel, _ in refused}, {topic for _, topic in refused}
    channel, topic = (found.pop() if len(found) == 1 else "" for found in named)
    await tell_event(
        connection,
        token.customer_id,
        "unsubscribed",
        # It may be refused again after it was allowed again.
        key=f"{token.customer_id}/{now.isoformat()}",
        at=now,
        now=now,
        properties=about
        | {
            "channel": channel or "several",
            "topic": topic,
            "delivery": token.delivery_id,
            "source": token.purpose,
        },
        move=make_mover(load_catalogue()),
    )


async def _load(connection: Connection, customer_id: str) -> tuple[list[Section], dict[str, bool]]:
    """The switches as they stand, and the consents behind them. Raises NotFoundError."""
    customers = await load_customers(connection, [customer_id])
    if not customers:
        raise NotFoundError("There is no such customer any more.", remedy="Nothing is sent to you by us.")
    profile = customers[customer_id].profile
    consent = (await load_consents(connection, [customer_id])).get(customer_id, {})
    suppressed = (await load_suppressions(connection, {customer_id: profile})).get(customer_id, {})
    return list_sections(await load_policy(connection), profile, consent, suppressed), consent


def _what(token: LinkToken) -> str:
    return WHAT.get(token.channel, token.channel)


def _source(token: LinkToken) -> str:
    """What a consent's row says of where it comes from: the link, and the message that it stood in."""
    name = "unsubscribe link" if token.purpose == "unsubscribe" else "preferences page"
    return f"{name}, delivery {token.delivery_id}" if token.delivery_id else name
