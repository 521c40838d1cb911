"""Whether and where a customer may be reached: consent per channel and topic, and suppressed addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.customers import load_customers, lock_customers
from store.deliveries import hash_address

# Which trait of the profile a channel's address is.
ADDRESS_TRAITS = {"email": "email", "sms": "phone", "whatsapp": "phone", "push": "push_token"}


def address_of(channel: str, profile: Mapping[str, object]) -> str | None:
    """Where `channel` reaches the customer of this profile; None where nothing is known."""
    address = profile.get(ADDRESS_TRAITS.get(channel, ""))
    return address.strip() or None if isinstance(address, str) else None


async def load_consents(
    connection: AsyncConnection, customer_ids: Sequence[str]
) -> dict[str, dict[str, bool]]:
    """customer id -> {"email": true, "email:tips": false, …}."""
    rows = await connection.execute(
        text(
            "SELECT customer_id, channel, topic, granted FROM consents WHERE customer_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(customer_ids)},
    )
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        found[str(row.customer_id)][f"{row.channel}:{row.topic}" if row.topic else row.channel] = row.granted
    return found


async def record_consent(
    connection: AsyncConnection,
    customer_id: str,
    channel: str,
    topic: str,
    *,
    granted: bool,
    source: str,
    at: datetime,
) -> None:
    """Note a yes or a no, unless something later is known; at one instant a no wins."""
    await connection.execute(
        text(
            "INSERT INTO consents AS c (customer_id, channel, topic, granted, source, at) "
            "VALUES (:customer, :channel, :topic, :granted, :source, :at) "
            "ON CONFLICT (customer_id, channel, topic) DO UPDATE SET granted = excluded.granted, "
            "source = excluded.source, at = excluded.at "
            "WHERE excluded.at > c.at OR (excluded.at = c.at AND NOT excluded.granted)"
        ),
        {
            "customer": customer_id,
            "channel": channel,
            "topic": topic,
            "granted": granted,
            "source": source,
            "at": at,
        },
    )


async def declare_consents(
    connection: AsyncConnection,
    customer_id: str,
    words: Mapping[tuple[str, str], bool],
    *,
    source: str,
    now: datetime,
) -> None:
    """Note what the customer says now: (channel, topic or empty) -> yes or no. Raises NotFoundError.

    It stands over every earlier word, also one of a clock that was ahead; what was so already keeps its source and
    time. The customer is locked, so that no message is claimed after the commit on what held before it.
    """
    await lock_customers(connection, [customer_id])
    if not await load_customers(connection, [customer_id]):
        raise NotFoundError("There is no such customer any more.", remedy="Nothing is sent to them.")
    for (channel, topic), granted in words.items():
        await connection.execute(
            text(
                "INSERT INTO consents AS c (customer_id, channel, topic, granted, source, at) "
                "VALUES (:customer, :channel, :topic, :granted, :source, :at) "
                "ON CONFLICT (customer_id, channel, topic) DO UPDATE SET granted = excluded.granted, "
                "source = excluded.source, at = greatest(excluded.at, c.at) WHERE c.granted <> excluded.granted"
            ),
            {
                "customer": customer_id,
                "channel": channel,
                "topic": topic,
                "granted": granted,
                "source": source,
                "at": now,
            },
        )


async def load_suppressions(
    connection: AsyncConnection, profiles: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, str]]:
    """customer id -> {channel: reason} for the addresses in these profiles that must not be used."""
    wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for customer_id, profile in profiles.items():
        for channel, trait in ADDRESS_TRAITS.items():
            address = profile.get(trait)
            if isinstance(address, str) and address:
                wanted[(channel, hash_address(channel, address))].append(customer_id)
    if not wanted:
        return {}
    rows = await connection.execute(
        text("SELECT channel, address_hash, reason FROM suppressions WHERE address_hash = ANY(:hashes)"),
        {"hashes": sorted({hashed for _, hashed in wanted})},
    )
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        for customer_id in wanted.get((row.channel, row.address_hash), ()):
            found[customer_id][row.channel] = row.reason
    return found


async def suppress(
    connection: AsyncConnection, channel: str, address_hash: str, reason: str, at: datetime
) -> None:
    """Never use this address on this channel again; the first reason stays."""
    await connection.execute(
        text(
            "INSERT INTO suppressions (channel, address_hash, reason, at) VALUES (:channel, :hash, :reason, :at) "
            "ON CONFLICT DO NOTHING"
        ),
        {"channel": channel, "hash": address_hash, "reason": reason, "at": at},
    )
