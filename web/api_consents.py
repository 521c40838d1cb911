"""`/api/customers/{userId}/consents`: what a customer agreed to, where it stands, and every word of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from rules.consent import CONSENT_CHANNELS, consented
from schemas.access import Principal
from schemas.errors import InputError
from schemas.message_part import NAME_PATTERN
from store.audit import record_change
from store.consent_history import load_consent_history
from store.contact import declare_consents, load_words, record_consent
from store.customers import Customer, need_customer
from store.database import Connection
from store.playbooks import load_policy
from store.reading_rows import Row
from store.suppressions import load_suppressions
from web.answers import Answer
from web.api_customers import UserId
from web.api_runs import Limit, Word
from web.asked import Asked
from web.consent_standing import read_standing
from web.cursors import read_number_cursor, write_cursor
from web.edge import EdgeHere, own_or
from web.moments import WrittenMoment

router = APIRouter(prefix="/api/customers", tags=["consents"])
ConsentChannel = Literal["email", "sms", "whatsapp", "push", "voice", "in_app"]
EvidenceName = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
EvidenceText = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
# Nobody agreed to anything that we send before that, and PostgreSQL's calendar is longer than ours.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER = timedelta(days=1)
# What tells how the customer said it fits into a line or two; what doesn't belongs elsewhere.
MOST_EVIDENCE = 20


class Consent(Row):
    """Where one channel, or one topic on it (`topic` empty: all of it), stands; who said so, and when."""

    channel: str
    topic: str
    granted: bool
    source: str
    at: datetime


class ConsentSaid(Consent):
    """One yes or no as it was said at `at` and known from `received_at` on, with what shows it."""

    evidence: dict[str, Any]
    received_at: datetime


class ConsentList(Answer):
    """A customer's consent. `allowed`: whether a message without a topic may go by each channel that needs consent,
    policy and suppression looked at, too; `suppressed`: why an address isn't used, by channel; `history`: newest first,
    gone on with by `nextCursor`.
    """

    user_id: str
    allowed: dict[str, bool]
    consents: list[Consent]
    suppressed: dict[str, str]
    history: list[ConsentSaid]
    next_cursor: str | None


class ConsentWord(Asked):
    """One yes or no. `at`: when the customer said it, where that wasn't now; a later word stands over it, and at one
    instant a no. `evidence`: what shows it, such as the form's version and the address it was sent from.
    """

    channel: ConsentChannel
    topic: Annotated[str, Field(pattern=f"^$|{NAME_PATTERN}", max_length=64)] = ""
    granted: bool
    at: Annotated[WrittenMoment, Field(ge=EARLIEST)] | None = None
    evidence: Annotated[
        Mapping[EvidenceName, EvidenceText | int | Annotated[float, Field(allow_inf_nan=False)] | bool],
        Field(max_length=MOST_EVIDENCE),
    ] = {}


class ConsentWords(Asked):
    """What a customer said; `source` is a word of yours for where (`api` where left out)."""

    consents: Annotated[Sequence[ConsentWord], Field(min_length=1, max_length=100)]
    source: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")] = "api"


@router.get(
    "/{userId:path}/consents",
    summary="A customer's consent and its history",
    dependencies=[Depends(own_or("read"))],
)
async def read(edge: EdgeHere, user_id: UserId, limit: Limit = 50, cursor: Word = None) -> ConsentList:
    """Where each channel and topic stands, and every yes and no with source, evidence and both times; `limit` and
    `cursor` are those of the history.
    """
    async with edge.database.transaction() as connection:
        customer = await need_customer(connection, user_id)
        return await _read(connection, customer, limit, before=read_number_cursor(cursor))


@router.put("/{userId:path}/consents", summary="Declare what a customer said")
@router.post("/{userId:path}/consents", summary="Declare what a customer said (as PUT)")
async def declare(
    edge: EdgeHere,
    user_id: UserId,
    said: ConsentWords,
    caller: Annotated[Principal, Depends(own_or("act"))],
) -> ConsentList:
    """Words without `at` are said now, and stand over every earlier one. Nothing is sent after a no was answered.

    404 for a customer whom nobody identified. Repeating a word is harmless.
    """
    async with edge.database.transaction() as connection:
        customer = await need_customer(connection, user_id)
        now = await edge.database.clock.read(connection)
        named = [(word.channel, word.topic) for word in said.consents]
        before = await read_standing(connection, customer.id, named)
        for word in said.consents:
            evidence = {**word.evidence, "declared_by": caller.name}
            if word.at is None:
                await declare_consents(
                    connection, customer.id, {(word.channel, word.topic): word.granted},
                    source=said.source, now=now, evidence=evidence,
                )  # fmt: skip
            elif word.granted and word.at > now + CLOCKS_DIFFER:
                # A no is taken, whatever the date beside it.
                raise InputError(
                    f"`at` lies ahead: {word.at.isoformat()}.",
                    remedy="Give when they said it; check the year.",
                )
            else:
                # Nobody can have said it later than now.
                await record_consent(
                    connection, customer.id, word.channel, word.topic, granted=word.granted, source=said.source,
                    at=min(word.at, now), evidence=evidence, received_at=now,
                )  # fmt: skip
        await record_change(
            connection, caller, "consent.declared", object_kind="customer", object_id=customer.id, before=before,
            after={
                "source": said.source,
                "consents": [
                    {"channel": word.channel, "topic": word.topic, "granted": word.granted, "at": word.at}
                    for word in said.consents
                ],
            },
        )  # fmt: skip
        return await _read(connection, customer, 50)


async def _read(
    connection: Connection, customer: Customer, limit: int, *, before: int | None = None
) -> ConsentList:
    words = await load_words(connection, customer.id)
    suppressed = (await load_suppressions(connection, {customer.id: customer.profile})).get(customer.id, {})
    found = await load_consent_history(connection, [customer.id], limit=limit + 1, before=before)
    # The latest first, and one more than asked for where there are more.
    history = found.get(customer.id, [])[::-1]
    policy = await load_policy(connection)
    stands = {name: word.granted for name, word in words.items()}
    return ConsentList(
        user_id=customer.external_id,
        allowed={
            channel: channel not in suppressed and consented(policy, stands, channel)[0]
            for channel in CONSENT_CHANNELS
        },
        consents=[
            Consent(
                channel=name.partition(":")[0], topic=name.partition(":")[2],
                granted=word.granted, source=word.source, at=word.at,
            )
            for name, word in sorted(words.items())
        ],
        suppressed=suppressed,
        history=[
            ConsentSaid.model_validate(event, from_attributes=True) for event in history[:limit]
        ],
        next_cursor=write_cursor(history[limit - 1].id) if len(history) > limit else None,
    )  # fmt: skip
