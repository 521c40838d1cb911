"""What a customer's page posts about being written to: their word on it, and addresses out of use."""

from __future__ import annotations

import re

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.requests import Request

from rules.consent import MESSAGE_CHANNELS
from schemas.errors import ConflictError, HoldfastError, InputError
from schemas.message_part import NAME_PATTERN
from store.addresses import address_of, find_by_address, hash_address, hashes_of
from store.audit import record_change
from store.contact import declare_consents
from store.suppressions import lift, suppress
from web.consent_standing import read_standing
from web.customer_answers import answer_done, answer_refused, find_posted
from web.edge import EdgeHere, EditorPoster, Poster
from web.forms import read_form
from web.page_customer import CHANNEL_NAMES

router = APIRouter(include_in_schema=False)
# How somebody of ours may have heard it.
HEARD = {
    "phone": "on the phone",
    "mail": "by mail",
    "in_person": "in person",
    "form": "by a form",
    "other": "otherwise",
}
BY_HAND = "manual"
LONGEST_NOTE = 2000


@router.post("/customers/{user_id:path}/consent")
async def consent(request: Request, edge: EdgeHere, me: Poster, user_id: str) -> Response:
    """Somebody writes down what the customer said of being written to."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
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
        if note := fields.get("note", "").strip()[:LONGEST_NOTE]:
            evidence["note"] = note
        async with edge.database.transaction() as connection:
            now = await edge.database.clock.read(connection)
            before = await read_standing(connection, found.id, [(channel, topic)])
            await declare_consents(
                connection, found.id, {(channel, topic): word == "yes"}, source=f"csm_{source}", now=now,
                evidence=evidence,
            )  # fmt: skip
            await record_change(
                connection, me, "consent.declared", object_kind="customer", object_id=found.id, before=before,
                after={"source": f"csm_{source}", "note_length": len(note),
                       "consents": [{"channel": channel, "topic": topic, "granted": word == "yes"}]},
            )  # fmt: skip
    except HoldfastError as error:
        return answer_refused(found, error, tab="consent")
    about = f"{CHANNEL_NAMES[channel]}{', ' + topic if topic else ''}"
    return answer_done(found, f"Noted: {about}: {word}.", tab="consent")


@router.post("/customers/{user_id:path}/suppress")
async def change_suppression(request: Request, edge: EdgeHere, me: EditorPoster, user_id: str) -> Response:
    """Ops take an address out of use by hand, or take that back; complaints and bounces aren't theirs to lift here."""
    fields = await read_form(request)
    found = await find_posted(edge, user_id)
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
        return answer_refused(found, error, tab="consent")
    told = "is used again, as far as consent goes" if lifting else "isn't used any more"
    return answer_done(found, f"The address for {CHANNEL_NAMES.get(channel, channel)} {told}.", tab="consent")


def _is_name(topic: str) -> bool:
    return len(topic) <= 64 and re.fullmatch(NAME_PATTERN, topic) is not None
