"""Alerts, how the system itself is, and what couldn't be taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.requests import Request

from schemas.errors import ConflictError, NotFoundError
from store.audit import record_change
from store.dead_letters import list_dead_letters
from store.providers import load_providers, unpark_providers
from store.reading_alerts import (
    AlertRow,
    NamedRun,
    Severity,
    Untaken,
    acknowledge_alert,
    list_alerts,
    list_named_runs,
    list_untaken,
)
from store.reading_changes import CHANNEL
from store.standing_alerts import lift_parking, parking_kind
from web.api_runs import Word
from web.api_system import watch_of
from web.cursors import read_number_cursor, write_cursor
from web.edge import EdgeHere, EditorPoster, Poster, Reader
from web.forms import answer_form
from web.redacting import redact_text
from web.rendering import render
from web.system_state import read_system_health

router = APIRouter(include_in_schema=False)
PAGE = 50
OPEN_SHOWN = 200
# Kinds (their beginnings) and where what they are about is shown.
_PLACES = (
    ("provider:", "/alerts#providers", "Providers"),
    (parking_kind(""), "/alerts#providers", "Providers"),
    ("model_", "/churn", "Churn model"),
    ("scoring_stale", "/alerts#scoring", "Scoring"),
    ("runs:", "/runs?state=running", "Runs under way"),
    ("queue:hooks", "/log?direction=out", "Requests to other systems"),
    ("queue:sends_", "/outbox", "Outbox"),
    ("queue:", "/alerts#queues", "Queues"),
    ("channel_down:", "/alerts#providers", "Providers"),
    ("delivery_delay", "/outbox", "Outbox"),
    ("intervention_success", "/runs?state=ended", "Runs that ended"),
    ("population_stale", "/alerts#scoring", "Scoring"),
    ("churn_accuracy", "/churn", "Churn model"),
    ("comparison", "/playbooks", "Playbooks"),
)


@dataclass(frozen=True)
class ListedAlert:
    """One alert with where what it is about is shown; `href` is empty where there is no such page.

    `runs` are those that it names, each with why; `untaken` says how its webhook hasn't taken it.
    """

    alert: AlertRow
    href: str
    label: str
    runs: Sequence[tuple[NamedRun, str]] = ()
    untaken: Untaken | None = None


def place_of(alert: AlertRow) -> ListedAlert:
    """Where to look."""
    channel = alert.detail.get("channel")
    if alert.kind.startswith(("complaints:", "sender_blocked:")) and isinstance(channel, str):
        return ListedAlert(alert, f"/outbox?channel={quote(channel)}", f"Messages by {channel}")
    for beginning, href, label in _PLACES:
        if alert.kind.startswith(beginning):
            return ListedAlert(alert, href, label)
    return ListedAlert(alert, "", "")


def _causes(alert: AlertRow) -> Mapping[str, str]:
    """Why each workflow that the alert names can't go on."""
    named = alert.detail.get("workflows")
    return {str(name): str(cause) for name, cause in named.items()} if isinstance(named, Mapping) else {}


@router.get("/alerts")
async def alerts(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    severity: Severity | Literal[""] | None = None,
    cursor: Word = None,
) -> HTMLResponse:
    """What is open, how every part of the system is, and what is over."""
    async with edge.database.transaction() as connection:
        standing = await list_alerts(connection, state="open", severity=severity or None, limit=OPEN_SHOWN)
        past = await list_alerts(
            connection,
            state="past",
            severity=severity or None,
            limit=PAGE + 1,
            before=read_number_cursor(cursor),
        )
        untaken = await list_untaken(connection)
        causes: dict[str, str] = {}
        for one in standing:
            causes |= _causes(one)
        runs = await list_named_runs(connection, list(causes)) if causes else []
    last = past[PAGE - 1] if len(past) > PAGE else None
    return render(
        request, "alerts.html", standing=[
            replace(
                place_of(one), untaken=untaken.get(one.id),
                runs=[(run, causes[run.workflow_id]) for run in runs if run.workflow_id in _causes(one)],
            )
            for one in standing
        ],
        past=[place_of(one) for one in past[:PAGE]], health=await read_system_health(edge, watch_of(request)),
        severity=severity or None, first_page=cursor is None,
        next_cursor=write_cursor(last.id) if last else None,
    )  # fmt: skip


@router.post("/alerts/{alert}/acknowledge")
async def acknowledge(edge: EdgeHere, poster: Poster, alert: int) -> RedirectResponse:
    """Somebody looks after it."""
    if not 0 < alert < 2**63:
        raise NotFoundError("There is no such alert.", remedy="The alerts are listed on /alerts.")
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            await acknowledge_alert(connection, poster, alert, now)
    except ConflictError as error:
        return _back(f"{error.message} {error.remedy}", refused=True)
    await edge.database.notify(CHANNEL)
    return _back("Acknowledged: it is yours to look after.")


@router.post("/alerts/providers/{channel}/{provider}/resume")
async def resume_provider(
    edge: EdgeHere, poster: EditorPoster, channel: str, provider: str
) -> RedirectResponse:
    """Its account is in order again: what waits for it goes out."""
    channel, provider = channel.replace("\x00", ""), provider.replace("\x00", "")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        freed = await unpark_providers(connection, provider, channel, now)
        for state in freed:
            await record_change(
                connection, poster, "provider.unparked", object_kind="provider",
                object_id=f"{state.channel}/{state.provider}", before={"state": state.state, "code": state.code},
                after={"state": "ok"},
            )  # fmt: skip
        known = freed or [
            one
            for one in await load_providers(connection)
            if (one.channel, one.provider) == (channel, provider)
        ]
    if not freed:
        return _back(
            f"{provider} ({channel}) is in use: nothing is to be resumed." if known
            else f"No worker has used {provider} for {channel}.",
            refused=True,
        )  # fmt: skip
    await edge.database.notify(CHANNEL)
    return _back(f"{provider} ({channel}) is used again; what waits for it goes out within a minute.")


@router.post("/alerts/channels/{channel}/resume")
async def resume_channel(edge: EdgeHere, poster: EditorPoster, channel: str) -> RedirectResponse:
    """Marketing may leave by this channel again; complaints count afresh."""
    channel = channel.replace("\x00", "")
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        lifted = await lift_parking(connection, channel, poster.name, now)
        if lifted:
            await record_change(
                connection, poster, "channel.unparked", object_kind="channel", object_id=channel,
                before={"parked": True}, after={"parked": False},
            )  # fmt: skip
    if not lifted:
        return _back(f"Nothing is parked by {channel}.", refused=True)
    await edge.database.notify(CHANNEL)
    return _back(f"Messages leave by {channel} again; complaints count afresh from now on.")


@router.get("/dead-letters")
async def dead_letters(request: Request, edge: EdgeHere, me: Reader, cursor: Word = None) -> HTMLResponse:
    """What came in and couldn't be taken, with why; addresses and numbers in it are masked."""
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        rows = await list_dead_letters(connection, limit=PAGE + 1, before=read_number_cursor(cursor))
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return render(
        request, "dead_letters.html", letters=[(row, redact_text(row.body[:20_000])) for row in rows[:PAGE]], at=now,
        first_page=cursor is None, next_cursor=write_cursor(last.id) if last else None,
    )  # fmt: skip


def _back(told: str, *, refused: bool = False) -> RedirectResponse:
    return answer_form("/alerts", told, refused=refused)
