"""Where a customer gets notifications: apps by their FCM tokens, browsers by their subscriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.addresses import hash_address
from store.customers import find_customer, lock_customers
from store.database import encode

# The traits by which apps tell their token, and the one by which everybody else knows where push goes.
TOKEN_TRAITS = ("push_token", "pushToken")
TRAIT = "push_token"
# A notification goes to no more places than these, those seen last.
LIMIT = 10


@dataclass(frozen=True, slots=True)
class PushToken:
    """One app (`fcm`) or browser (`web`: the token is its endpoint, `keys` are p256dh and auth)."""

    kind: str
    token: str = field(repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    device: str = ""


def address_of_token(token: PushToken) -> str:
    """What stands in the profile for it: an app's token itself, or a word for a browser's endpoint."""
    return token.token if token.kind == "fcm" else f"web:{hash_address('push', token.token)}"


async def add_token(connection: AsyncConnection, customer_id: str, token: PushToken, now: datetime) -> None:
    """Note that it is in use now; it is no longer gone. Where the profile names no other, this one becomes its push_token.

    The caller holds the customer's lock.
    """
    await connection.execute(
        text(
            "INSERT INTO push_tokens AS t (customer_id, token_hash, kind, token, keys, device, created_at, seen_at) "
            "VALUES (:customer, :hash, :kind, :token, CAST(:keys AS jsonb), :device, :now, :now) "
            "ON CONFLICT (customer_id, token_hash) DO UPDATE SET keys = excluded.keys, seen_at = excluded.seen_at, "
            "device = CASE WHEN excluded.device = '' THEN t.device ELSE excluded.device END, gone_at = NULL"
        ),
        {
            "customer": customer_id,
            "hash": hash_address("push", token.token),
            "kind": token.kind,
            "token": token.token,
            "keys": encode(dict(token.keys)),
            "device": token.device,
            "now": now,
        },
    )
    await connection.execute(
        text(
            f"UPDATE customers SET traits = traits || jsonb_build_object('{TRAIT}', CAST(:address AS text)) "
            f"WHERE id = :customer AND coalesce(traits ->> '{TRAIT}', '') = ''"
        ),
        {"customer": customer_id, "address": address_of_token(token)},
    )


async def register_token(connection: AsyncConnection, external_id: str, token: PushToken) -> None:
    """As `add_token`, for the customer whom the caller calls so. Raises NotFoundError."""
    customer = await find_customer(connection, external_id)
    if customer is None:
        raise NotFoundError(
            f"There is no customer {external_id!r}.", remedy="Send an identify call for them first."
        )
    await lock_customers(connection, [customer.id])
    now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    await add_token(connection, customer.id, token, now)


async def forget_token(connection: AsyncConnection, external_id: str, token: str) -> bool:
    """The customer wants nothing more there; False where it wasn't known."""
    customer = await find_customer(connection, external_id)
    if customer is None:
        return False
    await lock_customers(connection, [customer.id])
    now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return await mark_gone(connection, customer.id, [token], now) > 0


async def take_traits(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Add the tokens among traits just taken in (rows of `id` and `traits`), whose customers are locked.

    A token that is null or empty means that no app of the customer's gets notifications any more, until it tells its
    token again.
    """
    for row in rows:
        for name in TOKEN_TRAITS:
            if name not in row["traits"]:
                continue
            token = row["traits"][name]
            if isinstance(token, str) and token.strip():
                if not token.startswith("web:"):
                    await add_token(connection, row["id"], PushToken("fcm", token.strip()), now)
            elif token in (None, ""):
                apps = [one.token for one in await load_tokens(connection, row["id"]) if one.kind == "fcm"]
                await mark_gone(connection, row["id"], apps, now)


async def load_tokens(connection: AsyncConnection, customer_id: str) -> list[PushToken]:
    """Those in use, the one seen last first."""
    rows = await connection.execute(
        text(
            "SELECT kind, token, keys, device FROM push_tokens WHERE customer_id = :customer AND gone_at IS NULL "
            "ORDER BY seen_at DESC, token_hash LIMIT :limit"
        ),
        {"customer": customer_id, "limit": LIMIT},
    )
    return [PushToken(row.kind, row.token, row.keys, row.device) for row in rows]


async def find_devices(
    connection: AsyncConnection, customer_id: str, address: str, now: datetime
) -> list[PushToken]:
    """Where push reaches a customer whose profile says `address`, which is noted where it is new."""
    known = await connection.execute(
        text("SELECT 1 FROM push_tokens WHERE customer_id = :customer AND token_hash = :hash"),
        {"customer": customer_id, "hash": hash_address("push", address)},
    )
    if not address.startswith("web:") and known.first() is None:
        await add_token(connection, customer_id, PushToken("fcm", address), now)
    return await load_tokens(connection, customer_id)


async def mark_gone(
    connection: AsyncConnection, customer_id: str, tokens: Sequence[str], now: datetime
) -> int:
    """These aren't used any more; where the profile names one of them, it names the next in use. Returns how many."""
    hashes = [hash_address("push", token) for token in tokens]
    done = await connection.execute(
        text(
            "UPDATE push_tokens SET gone_at = :now WHERE customer_id = :customer AND token_hash = ANY(:hashes) "
            "AND gone_at IS NULL"
        ),
        {"customer": customer_id, "hashes": hashes, "now": now},
    )
    left = await load_tokens(connection, customer_id)
    if left:
        named = ["", *tokens, *(f"web:{digest}" for digest in hashes)]
        await connection.execute(
            text(
                f"UPDATE customers SET traits = traits || jsonb_build_object('{TRAIT}', CAST(:address AS text)) "
                f"WHERE id = :customer AND coalesce(traits ->> '{TRAIT}', '') = ANY(:named)"
            ),
            {"customer": customer_id, "address": address_of_token(left[0]), "named": named},
        )
    return int(done.rowcount)
