"""Asking a provider, because somebody wants to know now, what became of a message of which nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from activities.messages import make_message
from channels.outcome import Channel, ChannelError, OutgoingMessage, Receipt
from channels.pool import providers_of
from schemas.access import Principal
from schemas.errors import ConflictError, NotFoundError, UnavailableError
from store import claiming, deliveries, run_steps
from store.addresses import address_of, hash_address
from store.audit import record_change
from store.customers import load_customers
from store.database import Connection, Database
from store.deliveries import Delivery
from store.playbooks import load_policy

# A provider's list of messages may begin a little before our claim: clocks differ.
BEFORE = timedelta(minutes=2)


@dataclass(frozen=True)
class LookedUp:
    """What a provider said: taken, absent (it never got it), silent (it can't say); `told` is that in words."""

    answer: Literal["taken", "absent", "silent"]
    told: str


async def look_up_delivery(
    database: Database, channels: Mapping[str, Channel], delivery: str, actor: Principal
) -> LookedUp:
    """Ask the provider of an unknown message, and write down what it says.

    What its run went on with stays as it was: one that still waits for the answer finds it on record.
    Raises NotFoundError; ConflictError where the message isn't unknown; UnavailableError where the provider can't be
    asked now.
    """
    row, message, now = await _prepare(database, delivery)
    since = (row.claimed_at or row.settled_at or now) - BEFORE
    pool = providers_of(channels[row.channel]) if row.channel in channels else ()
    provider = next((one for one in pool if one.name == row.provider), None)
    if provider is None and row.provider is None and len(pool) == 1:
        provider = pool[0]
    if provider is None:
        named = row.provider or "any provider"
        return LookedUp(
            "silent", f"This process has no settings for {named} ({row.channel}), so it can't be asked."
        )
    if message is None:
        return LookedUp("silent", "The customer's address is no longer the one that the message went to.")
    try:
        found = await provider.channel.look_up(message, since)
    except ChannelError as error:
        raise UnavailableError(
            f"{provider.name} can't be asked now: {error.message}", remedy="Try again in a minute."
        ) from error
    if isinstance(found, Receipt):
        return await _note_taken(database, row, found, actor)
    if found is None:
        return await _note_absent(database, row, provider.name, actor)
    return LookedUp("silent", f"{provider.name} can't say what became of a message.")


async def _prepare(database: Database, delivery: str) -> tuple[Delivery, OutgoingMessage | None, datetime]:
    async with database.transaction() as connection:
        row = await deliveries.lock_delivery(connection, delivery)
        if row is None:
            raise NotFoundError(
                f"There is no message {delivery[:60]!r}.", remedy="The outbox lists messages."
            )
        if row.state != "unknown":
            raise ConflictError(f"The message is {row.state}.", remedy="Only what is unknown is looked up.")
        customers = await load_customers(connection, [row.customer_id])
        now = await database.clock.read(connection)
    customer = customers.get(row.customer_id)
    address = address_of(row.channel, customer.profile) if customer else None
    if address is None or hash_address(row.channel, address) != row.address_hash:
        return row, None, now
    return row, make_message(row, address), now


async def _note_taken(database: Database, row: Delivery, found: Receipt, actor: Principal) -> LookedUp:
    async with database.transaction() as connection:
        if await deliveries.is_anothers(connection, found.provider, found.provider_id, row.id):
            return LookedUp(
                "silent", "What the provider has is known to be another message with the same text."
            )
        cost = (await load_policy(connection)).costs.get(row.channel, 0.0)
        now = await database.clock.read(connection)
        settled = await claiming.settle(
            connection, row.id, row.attempt, "accepted", now, provider=found.provider,
            provider_id=found.provider_id, cost=cost, reconciled=True,
        )  # fmt: skip
        if settled:
            await _record(connection, actor, row, "accepted")
    return LookedUp("taken", f"{found.provider} took it.")


async def _note_absent(database: Database, row: Delivery, provider: str, actor: Principal) -> LookedUp:
    async with database.transaction() as connection:
        outcome = await run_steps.load_outcome(connection, row.run_id, row.step, row.occurrence)
        if outcome is None:
            return LookedUp("absent", f"{provider} never got it; its run goes on by itself.")
        now = await database.clock.read(connection)
        settled = await claiming.settle(
            connection, row.id, row.attempt, "failed", now, error=f"{provider} never got it", error_code="absent",
            reconciled=True,
        )  # fmt: skip
        if settled:
            await _record(connection, actor, row, "failed")
    return LookedUp("absent", f"{provider} never got it: it is failed now. Its run has gone on without it.")


async def _record(connection: Connection, actor: Principal, row: Delivery, state: str) -> None:
    await record_change(
        connection, actor, "message.looked_up", object_kind="message", object_id=row.id,
        before={"state": row.state}, after={"state": state},
    )  # fmt: skip
