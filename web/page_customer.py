"""One customer: how they stand and why, what happened, what they agreed to, and which playbook could help now."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.requests import Request

from rules.ages import units_elapsed
from rules.consent import MESSAGE_CHANNELS, consented
from rules.urgent_actions import urgent_actions
from schemas.catalogue import Signal, load_catalogue
from schemas.errors import InputError, NotFoundError, UnavailableError
from store.addresses import address_of, hashes_by_channel
from store.consent_history import ConsentEvent, load_consent_history
from store.contact import Word, load_words
from store.customer_events import find_event, load_last_corrections
from store.customers import Customer, find_customer
from store.database import Connection
from store.erasing import find_erasure
from store.keyset import Place
from store.overview_rows import read_rows
from store.playbooks import load_policy
from store.reading_customer import KINDS, Kind, KnownSignal, TimelinePlace, list_timeline, load_signals
from store.reading_playbooks import list_startable
from store.reading_runs import list_runs
from store.reading_tasks import list_tasks
from store.suppressions import Suppression, list_suppressions, load_suppressions
from web.cohorts import CohortCounter
from web.customer_score import RANGES, assess, read_sheet
from web.edge import EdgeHere, Reader
from web.rendering import render

router = APIRouter(include_in_schema=False)
ROWS = 30
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Key = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$", max_length=600)]
OPEN_RUNS = 50
SAID = 100
Tab = Literal["", "signals", "consent", "playbooks", "correct"]
TABS: Mapping[Tab, str] = {
    "": "Summary",
    "signals": "Signals",
    "consent": "Consent",
    "playbooks": "Playbooks",
}
# What each kind of happening is called in the filter.
KIND_NAMES: Mapping[Kind, str] = {
    "event": "Events", "message": "Messages", "run": "Runs", "step": "Steps", "task": "Tasks", "consent": "Consent",
    "level": "Levels",
}  # fmt: skip
DAY_SECONDS = 86400
CHANNEL_NAMES: Mapping[str, str] = {
    "email": "E-mail", "sms": "SMS", "whatsapp": "WhatsApp", "push": "Push", "voice": "Automatic calls",
    "in_app": "In-app",
}  # fmt: skip


@dataclass(frozen=True)
class SignalLine:
    """One signal as it is known: what it is, its value, and since when."""

    name: str
    signal: Signal | None
    known: KnownSignal


@dataclass(frozen=True)
class ChannelConsent:
    """One channel: whether a message without a topic may go there and which word decides that, what the customer said
    of it and of topics on it, whether there is an address, and what keeps that from being used.
    """

    channel: str
    title: str
    allowed: bool
    because: str
    words: Sequence[tuple[str, Word]]
    has_address: bool
    suppressions: Sequence[Suppression]


@router.get("/customers/{user_id:path}")
async def customer(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    user_id: str,
    tab: Tab = "",
    days: Annotated[int, Query()] = 30,
    kind: Annotated[str, Query(pattern=rf"^({'|'.join(KINDS)})?$")] = "",
    before: Annotated[str, Query(max_length=1000)] = "",
    event: Annotated[str, Query(max_length=1000, pattern=r"^[^\x00]*$")] = "",
) -> Response:
    """The customer's page, as one of its tabs."""
    if days not in RANGES:
        raise InputError("That is no range of days.", remedy=f"Use one of {', '.join(map(str, RANGES))}.")
    frame = await _frame(edge, user_id)
    found: Customer = frame["customer"]
    now: datetime = frame["at"]
    if tab == "signals":
        async with edge.database.transaction() as connection:
            known, changed_at = await load_signals(connection, found.id, now)
        parts: dict[str, Any] = {"groups": _group(found, known, now), "changed_at": changed_at}
    elif tab == "consent":
        async with edge.database.transaction() as connection:
            parts = await _read_consent(connection, found)
    elif tab == "correct":
        async with edge.database.transaction() as connection:
            sent = await find_event(connection, found.id, event)
        if sent is None:
            raise NotFoundError(
                "There is no such event of this customer.", remedy="Choose one of their line."
            )
        written = json.dumps(sent.believed, indent=2, ensure_ascii=False, default=str)
        parts = {"event": sent, "key": event, "written": written}
    elif tab == "playbooks":
        if edge.explain is None:
            raise UnavailableError(
                "This process can't explain entries.", remedy="Run `holdfast web`, which can."
            )
        outlooks = await edge.explain(found.external_id)
        parts = {"outlooks": sorted(outlooks, key=lambda one: (not one.enters, not one.can_be_asked))}
    else:
        assessed = await assess(edge, found.external_id)
        counts = await cast(CohortCounter, request.app.state.cohorts).read()
        place = _read_place(before) if before else None
        kinds = [cast(Kind, kind)] if kind else KINDS
        async with edge.database.transaction() as connection:
            sheet = await read_sheet(connection, assessed, counts, days)
            rows = await list_timeline(connection, found.id, now, kinds=kinds, limit=ROWS + 1, before=place)
            tasks = await list_tasks(connection, customer=found.external_id, state="open", limit=20)
            corrected = await load_last_corrections(connection, found.id)
        parts = {
            "sheet": sheet, "timeline": rows[:ROWS], "kind": kind, "kinds": KIND_NAMES, "before": before,
            "tasks": tasks, "most_runs": OPEN_RUNS, "corrected": corrected,
            "older": _write_place(rows[ROWS - 1].place) if len(rows) > ROWS else "", "ranges": RANGES,
        }  # fmt: skip
    return render(request, "customer.html", tab=tab, tabs=TABS, **frame, **parts)


async def _frame(edge: EdgeHere, user_id: str) -> dict[str, Any]:
    """What stands above every tab."""
    async with edge.database.transaction() as connection:
        found = await find_customer(connection, user_id.replace("\x00", ""))
        if found is None:
            erased = await find_erasure(connection, user_id.replace("\x00", ""))
            raise NotFoundError(
                f"There is no customer {user_id[:200]!r}.",
                remedy="They were erased." if erased else "Ids are the userId of the events.",
            )
        now = await edge.database.clock.read(connection)
        [row] = await read_rows(connection, [Place(None, found.id)], now)
        policy = await load_policy(connection)
        return {
            "customer": found,
            "user_id": found.external_id,
            "here": path_of(found),
            "row": row,
            "urgent": urgent_actions(row.situation, now=now),
            "runs": await list_runs(connection, customer=found.external_id, state="open", limit=OPEN_RUNS),
            "startable": await list_startable(connection),
            "erasure": await find_erasure(connection, found.external_id),
            "policy": policy,
            "people": sorted({person for team in policy.teams.values() for person in team.members}),
            "call_id": str(uuid4()),
            "at": now,
        }


def path_of(customer: Customer) -> str:
    """Where the page of a customer is; ids may hold anything, slashes too."""
    return f"/customers/{quote(customer.external_id, safe='')}"


def _group(
    customer: Customer, known: Mapping[str, KnownSignal], now: datetime
) -> list[tuple[str, list[SignalLine]]]:
    """Everything that is known, in the catalogue's order; what isn't in the catalogue comes last."""
    catalogue = load_catalogue()
    groups: dict[str, list[SignalLine]] = {}
    for name, signal in catalogue.signals.items():
        value = known.get(name)
        since = known.get(signal.age_of) if signal.age_of else None
        if signal.personal or (name in ("timezone", "locale") and name in customer.profile):
            value = KnownSignal(customer.profile[name]) if name in customer.profile else None
        elif value is None and since is not None and isinstance(since.value, datetime):
            value = KnownSignal(units_elapsed(since.value, DAY_SECONDS, now), set_at=since.value)
        if value is not None:
            groups.setdefault(signal.group, []).append(SignalLine(name, signal, value))
    others = [SignalLine(name, None, value) for name, value in known.items() if name not in catalogue.signals]
    if others:
        groups.setdefault("other", []).extend(others)
    return list(groups.items())


async def _read_consent(connection: Connection, customer: Customer) -> dict[str, Any]:
    words = await load_words(connection, customer.id)
    suppressed = (await load_suppressions(connection, {customer.id: customer.profile})).get(customer.id, {})
    hashes = hashes_by_channel(customer.profile)
    standing = await list_suppressions(connection, address_hashes=sorted({hashed for _, hashed in hashes}))
    history = (await load_consent_history(connection, [customer.id], limit=SAID)).get(customer.id, [])
    policy = await load_policy(connection)
    stands = {name: word.granted for name, word in words.items()}
    channels = []
    for channel in MESSAGE_CHANNELS:
        allowed, because = consented(policy, stands, channel)
        said = [(name, word) for name, word in sorted(words.items()) if name.partition(":")[0] == channel]
        address = address_of(channel, customer.profile) is not None or channel == "in_app"
        if channel in suppressed:
            allowed, because = False, f"the address is suppressed: {suppressed[channel].replace('_', ' ')}"
        elif not address:
            allowed, because = False, "there is no address"
        channels.append(
            ChannelConsent(
                channel,
                CHANNEL_NAMES[channel],
                allowed,
                because,
                said,
                address,
                [
                    one
                    for one in standing
                    if (one.channel, one.address_hash) in hashes and one.channel == channel
                ],
            )
        )
    elsewhere = [
        (name, word) for name, word in sorted(words.items()) if name.partition(":")[0] not in MESSAGE_CHANNELS
    ]
    newest: list[ConsentEvent] = list(reversed(history))
    return {
        "channels": channels,
        "topics_said": elsewhere,
        "history": newest,
        "topics": policy.topics,
        "titles": CHANNEL_NAMES,
    }


def _write_place(place: TimelinePlace) -> str:
    written = msgspec.json.encode([place.at, place.key])
    return base64.urlsafe_b64encode(written).decode().rstrip("=")


def _read_place(written: str) -> TimelinePlace:
    try:
        plain = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True)
        at, key = msgspec.json.decode(plain, type=tuple[Moment, Key])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InputError(
            "That place in the timeline is none of ours.", remedy="Open the page anew."
        ) from None
    return TimelinePlace(at, key)
