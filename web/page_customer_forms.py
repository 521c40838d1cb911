"""What a customer's page posts: starting and commanding runs, calls, consent, suppression, scoring, export, erasure."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.requests import Request

from rules.consent import MESSAGE_CHANNELS
from rules.zones import instant_at, zone_or_default
from schemas.errors import ConflictError, HoldfastError, InputError, NotFoundError, UnavailableError
from schemas.message_part import NAME_PATTERN
from schemas.run import Command
from store.addresses import address_of, find_by_address, hash_address, hashes_of
from store.audit import record_change
from store.contact import declare_consents
from store.customers import Customer, find_customer
from store.database import Connection
from store.entry_requests import EntryRequest, request_entry
from store.erasing import request_erasure
from store.exporting import export_and_record
from store.playbooks import load_policy
from store.reading_runs import read_run
from store.suppressions import lift, suppress
from web.api_interventions import Customization
from web.commands import command_run
from web.customer_score import assess
from web.edge import EdgeHere, EditorPoster, ManagerPoster, Poster
from web.forms import read_form
from web.page_customer import CHANNEL_NAMES, path_of
from web.rendering import percent, render
from web.scheduling import CallWish, schedule_call

router = APIRouter(include_in_schema=False)
PRIORITIES = ("low", "medium", "high", "critical")
# How somebody of ours may have heard it.
HEARD = {
    "phone": "on the phone",
    "mail": "by mail",
    "in_person": "in person",
    "form": "by a form",
    "other": "otherwise",
}
DONE = {"pause": "Paused.", "resume": "It goes on.", "stop": "Stopped."}
BY_HAND = "manual"
LONGEST = 2000


@router.post("/customers/{user_id:path}/start/preview")
async def preview(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """What would stop this customer from entering a playbook now, and what would be said; nothing is started."""
    fields = await read_form(request)
    playbook = fields.get("playbook", "")
    if not playbook:
        raise InputError("No playbook is chosen.", remedy="Go back and choose one.")
    wishes = _read_wishes(fields)
    if edge.explain is None:
        raise UnavailableError("This process can't look ahead.", remedy="Run `holdfast web`, which can.")
    found = await _find(edge, user_id)
    outlooks = {one.playbook: one for one in await edge.explain(found.external_id)}
    if playbook not in outlooks:
        raise NotFoundError(
            f"There is no published playbook {playbook[:200]!r}.",
            remedy="Go back and choose one of the list.",
        )
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
    return render(
        request, "customer_start.html", customer=found, here=path_of(found), name=_name(found),
        outlook=outlooks[playbook], reason=_short(fields, "reason"), priority=_priority(fields), wishes=wishes, at=now,
    )  # fmt: skip


@router.post("/customers/{user_id:path}/start")
async def start(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody starts a playbook for this customer; its entry rules are asked, its trigger isn't."""
    fields = await read_form(request)
    playbook, reason, priority = fields.get("playbook", ""), _short(fields, "reason"), _priority(fields)
    found = await _find(edge, user_id)
    try:
        wishes = _read_wishes(fields)

        async def note(connection: Connection, asked: EntryRequest) -> None:
            await record_change(
                connection, me, "intervention.triggered", object_kind="customer", object_id=asked.customer_id,
                after={"request_id": asked.id, "playbook": playbook, "priority": priority,
                       "reason_length": len(reason), "customized": sorted(wishes)},
            )  # fmt: skip

        await request_entry(
            edge.database, playbook, found.external_id, reason or f"asked for by {me.name}", priority=priority,
            customization=wishes, asked_by=me.name, note=note,
        )  # fmt: skip
    except HoldfastError as error:
        return _refused(found, error)
    return _back(found, f"{playbook} was started.")


@router.post("/customers/{user_id:path}/runs/{run_id}/{verb}")
async def command(
    request: Request,
    edge: EdgeHere,
    me: Poster,
    user_id: str,
    run_id: str,
    verb: Literal["pause", "resume", "stop"],
) -> Response:
    """Somebody pauses, resumes or stops one of the customer's runs."""
    fields = await read_form(request)
    found = await _find(edge, user_id)
    try:
        async with edge.database.transaction() as connection:
            run = await read_run(connection, run_id)
        if run.user_id != found.external_id:
            raise NotFoundError("That run is another customer's.", remedy="Open the page anew.")
        asked = Command(by=me.name, reason=_short(fields, "reason"))
        _, answer = await command_run(edge, me, run_id, verb, asked)
    except HoldfastError as error:
        return _refused(found, error)
    return _back(found, f"{run.playbook}: {answer or DONE[verb]}")


@router.post("/customers/{user_id:path}/call")
async def call(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody puts a call on a list."""
    fields = await read_form(request)
    found = await _find(edge, user_id)
    try:
        id_ = str(uuid.UUID(fields.get("id", "")))
    except ValueError:
        id_ = str(uuid.uuid4())
    try:
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            policy = await load_policy(connection)
            wish = CallWish(
                id_,
                _short(fields, "who").strip(),
                fields.get("about", "").strip()[:LONGEST],
                _moment(fields.get("at", "").strip(), policy.default_zone),
            )
            task = await schedule_call(connection, found, wish, policy, me, now)
    except HoldfastError as error:
        return _refused(found, error)
    edge.bell.ring()
    return _back(found, f"{task.title} is on the list of {task.holder}.")


@router.post("/customers/{user_id:path}/consent")
async def consent(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody writes down what the customer said of being written to."""
    fields = await read_form(request)
    found = await _find(edge, user_id)
    try:
        channel, topic = fields.get("channel", ""), fields.get("topic", "").strip()
        if channel not in MESSAGE_CHANNELS:
            raise InputError("Choose a channel.")
        word = fields.get("word", "")
        if word not in ("yes", "no"):
            raise InputError("Say whether they said yes or no.")
        if topic and not _is_name(topic):
            raise InputError(f"{topic[:64]!r} is no topic.", remedy="Lower-case letters, digits, - and _.")
        source = fields.get("source", "")
        if source not in HEARD:
            raise InputError("Say how the customer said it.")
        evidence: dict[str, object] = {"declared_by": me.name, "heard": HEARD[source]}
        if note := fields.get("note", "").strip()[:LONGEST]:
            evidence["note"] = note
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            await declare_consents(
                connection, found.id, {(channel, topic): word == "yes"}, source=f"csm_{source}", now=now,
                evidence=evidence,
            )  # fmt: skip
            await record_change(
                connection, me, "consent.declared", object_kind="customer", object_id=found.id,
                after={"source": f"csm_{source}", "note_length": len(note),
                       "consents": [{"channel": channel, "topic": topic, "granted": word == "yes"}]},
            )  # fmt: skip
    except HoldfastError as error:
        return _refused(found, error, tab="consent")
    about = f"{CHANNEL_NAMES[channel]}{', ' + topic if topic else ''}"
    return _back(found, f"Noted: {about}: {word}.", tab="consent")


@router.post("/customers/{user_id:path}/suppress")
async def change_suppression(request: Request, edge: EdgeHere, me: EditorPoster, user_id: str) -> Response:
    """Ops take an address out of use by hand, or take that back; complaints and bounces aren't theirs to lift here."""
    fields = await read_form(request)
    found = await _find(edge, user_id)
    channel, lifting = fields.get("channel", ""), fields.get("do") == "lift"
    try:
        address = address_of(channel, found.profile)
        if address is None:
            raise InputError("There is no address to take out of use.", remedy="Choose another channel.")
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            hashed = hash_address(channel, address)
            if lifting:
                lifted = await lift(
                    connection, channel, hashes_of(channel, address), BY_HAND, by=f"page, {me.name}", at=now
                )
                if not lifted:
                    raise ConflictError(
                        "Nobody took that address out of use by hand.", remedy="Load the page anew."
                    )
                await record_change(
                    connection, me, "address.suppression_lifted", object_kind="address", object_id=hashed,
                    before={"channel": channel, "reasons": lifted},
                )  # fmt: skip
            else:
                having = await find_by_address(connection, channel, address)
                new = await suppress(
                    connection, channel, hashed, BY_HAND, now, source=f"page, {me.name}", customers=having
                )
                if not new:
                    raise ConflictError(
                        "That address is out of use already.", remedy="Nothing is left to do."
                    )
                await record_change(
                    connection, me, "address.suppressed", object_kind="address", object_id=hashed,
                    after={"channel": channel, "reason": BY_HAND, "customers": len(having)},
                )  # fmt: skip
    except HoldfastError as error:
        return _refused(found, error, tab="consent")
    told = "is used again, as far as consent goes" if lifting else "isn't used any more"
    return _back(found, f"The address for {CHANNEL_NAMES.get(channel, channel)} {told}.", tab="consent")


@router.post("/customers/{user_id:path}/score")
async def score(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Score the customer now, and write it down as the day's latest; playbooks hear of what changed."""
    await read_form(request)
    found = await _find(edge, user_id)
    try:
        assessed = await assess(edge, found.external_id, record=True)
    except HoldfastError as error:
        return _refused(found, error)
    health = assessed.health.score if assessed.health.score is not None else "not known"
    risk = assessed.prediction
    told = f", churn probability {percent(risk.probability)} ({risk.level})" if risk else ""
    return _back(found, f"Scored: health {health}{told}.")


@router.post("/customers/{user_id:path}/export")
async def export(request: Request, edge: EdgeHere, me: ManagerPoster, user_id: str) -> Response:
    """Everything known of the customer, as a file."""
    await read_form(request)
    found = await _find(edge, user_id)
    document = await export_and_record(edge.database, found.external_id, me)
    return Response(
        json.dumps(document, indent=2, ensure_ascii=False, default=str),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="customer.json"', "Cache-Control": "no-store"},
    )


@router.post("/customers/{user_id:path}/erasure")
async def erase(request: Request, edge: EdgeHere, me: ManagerPoster, user_id: str) -> Response:
    """Forget the customer for good, once their id was typed."""
    fields = await read_form(request)
    found = await _find(edge, user_id)
    try:
        if fields.get("confirm", "").strip() != found.external_id:
            raise InputError(
                "The id that was typed isn't this customer's: nothing was erased.",
                remedy="Type it exactly as it is shown.",
            )
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            await request_erasure(
                connection, found.external_id, me, reason=fields.get("reason", "")[:1000], now=now
            )
    except HoldfastError as error:
        return _refused(found, error)
    edge.bell.ring()
    return _back(
        found, "The erasure has begun: nothing is taken in or sent any more, the rest goes within minutes."
    )


async def _find(edge: EdgeHere, user_id: str) -> Customer:
    async with edge.database.transaction() as connection:
        found = await find_customer(connection, user_id.replace("\x00", ""))
    if found is None:
        raise NotFoundError(
            f"There is no customer {user_id[:200]!r}.", remedy="Ids are the userId of the events."
        )
    return found


def _read_wishes(fields: Mapping[str, str]) -> dict[str, object]:
    try:
        asked = Customization(message=fields.get("message", "").strip().replace("\r\n", "\n"))
    except ValidationError:
        raise InputError(
            "The message can't be used.",
            remedy="At most 1,000 characters, line breaks but no other control characters.",
        ) from None
    return {name: value for name, value in asked.model_dump(by_alias=False).items() if value}


def _priority(fields: Mapping[str, str]) -> str:
    return priority if (priority := fields.get("priority", "")) in PRIORITIES else "medium"


def _short(fields: Mapping[str, str], name: str) -> str:
    return fields.get(name, "").strip()[:200]


def _is_name(topic: str) -> bool:
    return len(topic) <= 64 and re.fullmatch(NAME_PATTERN, topic) is not None


def _moment(written: str, zone: str) -> datetime | None:
    if not written:
        return None
    try:
        at = datetime.fromisoformat(written)
        return instant_at(at.replace(tzinfo=None), zone_or_default(None, zone))
    except (ValueError, OverflowError):
        raise InputError("That time can't be read.", remedy="Write it like 2026-03-02T09:30.") from None


def _name(customer: Customer) -> str:
    profile = customer.profile
    return str(profile.get("business_name") or profile.get("first_name") or customer.external_id)


def _refused(customer: Customer, error: HoldfastError, tab: str = "") -> RedirectResponse:
    return _back(customer, f"{error.message} {error.remedy}".strip(), tab)


def _back(customer: Customer, told: str, tab: str = "") -> RedirectResponse:
    # See Other: the browser gets the page anew, and loading it again posts nothing.
    query = {**({"tab": tab} if tab else {}), "told": told[:490]}
    return RedirectResponse(f"{path_of(customer)}?{urlencode(query)}", 303)
