"""What customers wrote to us: kept here and nowhere else, found to them by address."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.delivery_report import InboundMessage
from store.addresses import address_of, find_by_address, hash_address, hashes_of
from store.customers import load_customers
from store.runs import NAMESPACE

# An answer to something that was sent longer ago is none.
ANSWERED_WITHIN = timedelta(days=30)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ANSWERED = (
    "SELECT d.customer_id::text AS customer_id, c.external_id, d.id::text AS delivery FROM deliveries d "
    "JOIN customers c ON c.id = d.customer_id WHERE "
)


@dataclass(frozen=True, slots=True)
class Concerned:
    """A customer who has the address that something came from."""

    customer_id: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Answered(Concerned):
    """The customer to whom the delivery went that a message answers."""

    delivery: str


async def find_concerned(connection: AsyncConnection, channel: str, address: str) -> list[Concerned]:
    """Everybody whose address this is now, in order of id; where it is nobody's, whom it was written to last."""
    ids = await find_by_address(connection, channel, address)
    if not ids:
        rows = await connection.execute(
            text(
                "SELECT customer_id::text AS id FROM deliveries WHERE channel = :channel AND address_hash = ANY(:hashes) "
                "AND claimed_at IS NOT NULL ORDER BY claimed_at DESC LIMIT 1"
            ),
            {"channel": channel, "hashes": list(hashes_of(channel, address))},
        )
        ids = [row.id for row in rows]
    rows = await connection.execute(
        text(
            "SELECT id::text AS id, external_id FROM customers WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"
        ),
        {"ids": ids},
    )
    return [Concerned(row.id, row.external_id) for row in rows]


async def find_answered(
    connection: AsyncConnection, message: InboundMessage, customer_ids: Sequence[str], since: datetime
) -> Answered | None:
    """The delivery that a message answers: the one that it names, else the last to this address since then."""
    for reference in message.references:
        local = reference.partition("@")[0]
        row = (
            await connection.execute(
                text(
                    _ANSWERED
                    + (
                        "d.id = CAST(:local AS uuid)"
                        if _UUID.fullmatch(local)
                        else "d.provider = :provider AND d.provider_id IN (:local, :whole)"
                    )
                    + " LIMIT 1"
                ),
                {"local": local, "whole": reference, "provider": message.provider},
            )
        ).first()
        if row:
            return Answered(**row._mapping)
    row = (
        await connection.execute(
            text(
                _ANSWERED + "d.customer_id = ANY(CAST(:ids AS uuid[])) "
                "AND claimed_at >= :since AND claimed_at <= :at AND channel = :channel AND address_hash = ANY(:hashes) "
                "AND state IN ('claimed', 'accepted', 'unknown') ORDER BY claimed_at DESC LIMIT 1"
            ),
            {
                "ids": list(customer_ids),
                "since": since,
                "at": message.at,
                "channel": message.channel,
                "hashes": list(hashes_of(message.channel, message.address)),
            },
        )
    ).first()
    return Answered(**row._mapping) if row else None


async def is_recorded(connection: AsyncConnection, provider: str, provider_id: str) -> bool:
    """Whether this message was taken before."""
    row = await connection.execute(
        text("SELECT 1 FROM inbound_messages WHERE provider = :provider AND provider_id = :message"),
        {"provider": provider, "message": provider_id},
    )
    return row.first() is not None


async def record_message(
    connection: AsyncConnection,
    message: InboundMessage,
    *,
    customer_id: str | None,
    delivery: str | None,
    keyword: str | None,
    now: datetime,
) -> bool:
    """Keep a message; False if it came before."""
    key = uuid.uuid5(NAMESPACE, f"inbound/{message.provider}/{message.provider_id}")
    done = await connection.execute(
        text(
            "INSERT INTO inbound_messages (id, channel, provider, provider_id, customer_id, delivery_id, address_hash, "
            "text, keyword, at, received_at) VALUES (:id, :channel, :provider, :message, CAST(:customer AS uuid), "
            # Whoever was erased isn't known by what they write afterwards; a STOP of theirs counts all the same.
            "CAST(:delivery AS uuid), :hash, CASE WHEN CAST(:customer AS uuid) IS NULL AND EXISTS (SELECT FROM suppressions "
            "WHERE channel = :channel AND address_hash = :hash AND reason = 'erased') THEN '' ELSE :text END, :keyword, :at, "
            ":now) ON CONFLICT DO NOTHING"
        ),
        {
            "id": str(key), "channel": message.channel, "provider": message.provider,
            "message": message.provider_id, "customer": customer_id, "delivery": delivery,
            "hash": hash_address(message.channel, message.address), "text": message.text, "keyword": keyword,
            "at": message.at, "now": now,
        },
    )  # fmt: skip
    return bool(done.rowcount)


async def said_since(
    connection: AsyncConnection, channel: str, address_hash: str, keyword: str, since: datetime
) -> bool:
    """Whether a message with this keyword came from this address after `since`."""
    row = await connection.execute(
        text(
            "SELECT 1 FROM inbound_messages WHERE channel = :channel AND address_hash = :hash AND at > :since "
            "AND keyword = :keyword LIMIT 1"
        ),
        {"channel": channel, "hash": address_hash, "since": since, "keyword": keyword},
    )
    return row.first() is not None


async def last_inbound_at(connection: AsyncConnection, customer_id: str, channel: str) -> datetime | None:
    """When this customer (or somebody with the same address) last wrote on this channel.

    What the 24 hours of WhatsApp, and silence while somebody is in contact, are counted from.
    """
    customers = await load_customers(connection, [customer_id])
    address = address_of(channel, customers[customer_id].profile) if customers else None
    found = await connection.execute(
        text(
            "SELECT max(at) FROM (SELECT at FROM inbound_messages WHERE customer_id = CAST(:id AS uuid) "
            "AND channel = :channel UNION ALL SELECT at FROM inbound_messages WHERE channel = :channel "
            "AND address_hash = ANY(:hashes)) found"
        ),
        {
            "id": customer_id,
            "channel": channel,
            "hashes": list(hashes_of(channel, address)) if address else [],
        },
    )
    at: datetime | None = found.scalar()
    return at
