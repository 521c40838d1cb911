"""Suppressions: addresses that must not be used, each for its reasons, and who lifted what.

Suppression is by the address's hash, so that it outlives the customer (docs/decisions/0011).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.addresses import hashes_by_channel
from store.customers import lock_customers


async def load_suppressions(
    connection: AsyncConnection, profiles: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, str]]:
    """customer id -> {channel: reasons} for the addresses in these profiles that must not be used.

    Of several reasons all are named, as `complaint, stop`: one that is lifted leaves the others.
    """
    reasons: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for customer_id, channel, reason, _ in await find_suppressions(connection, profiles):
        reasons[customer_id][channel][reason] = None
    return {
        customer_id: {channel: ", ".join(names) for channel, names in theirs.items()}
        for customer_id, theirs in reasons.items()
    }


async def find_suppressions(
    connection: AsyncConnection, profiles: Mapping[str, Mapping[str, object]]
) -> list[tuple[str, str, str, datetime]]:
    """(customer id, channel, reason, since) for the addresses in these profiles, in order of reason."""
    wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for customer_id, profile in profiles.items():
        for place in hashes_by_channel(profile):
            wanted[place].append(customer_id)
    if not wanted:
        return []
    rows = await connection.execute(
        text(
            "SELECT channel, address_hash, reason, at FROM suppressions WHERE address_hash = ANY(:hashes) "
            "ORDER BY reason, at"
        ),
        {"hashes": sorted({hashed for _, hashed in wanted})},
    )
    return [
        (customer_id, row.channel, row.reason, row.at)
        for row in rows
        for customer_id in wanted.get((row.channel, row.address_hash), ())
    ]


async def suppress(
    connection: AsyncConnection,
    channel: str,
    address_hash: str,
    reason: str,
    at: datetime,
    *,
    source: str = "",
    customers: Iterable[str] = (),
) -> bool:
    """Don't use this address on this channel; False if that was so, for the same reason.

    customers: who has the address. They are locked, so that no message to it is claimed after the commit.
    """
    await lock_customers(connection, list(customers))
    done = await connection.execute(
        text(
            "INSERT INTO suppressions (channel, address_hash, reason, source, at) "
            "VALUES (:channel, :hash, :reason, :source, :at) ON CONFLICT DO NOTHING"
        ),
        {"channel": channel, "hash": address_hash, "reason": reason, "source": source, "at": at},
    )
    return bool(done.rowcount)


async def lift(
    connection: AsyncConnection,
    channel: str,
    address_hashes: Sequence[str],
    reason: str | None,
    *,
    by: str,
    at: datetime,
) -> list[str]:
    """Take this reason back (None: all); the reasons that stood. What else stands stays; who lifted what is kept."""
    rows = await connection.execute(
        text(
            "WITH gone AS (DELETE FROM suppressions WHERE channel = :channel AND address_hash = ANY(:hashes) "
            "AND (CAST(:reason AS text) IS NULL OR reason = :reason) RETURNING channel, address_hash, reason, source, at), "
            "kept AS (INSERT INTO suppression_lifts (channel, address_hash, reason, source, at, lifted_at, lifted_by) "
            "SELECT channel, address_hash, reason, source, at, :lifted_at, :by FROM gone) SELECT reason FROM gone"
        ),
        {"channel": channel, "hashes": list(address_hashes), "reason": reason, "by": by, "lifted_at": at},
    )
    return sorted({row.reason for row in rows})


@dataclass(frozen=True, slots=True)
class Suppression:
    """One reason why an address isn't used; `address_hash` is all that is kept of it."""

    channel: str
    address_hash: str
    reason: str
    source: str
    at: datetime


async def list_suppressions(
    connection: AsyncConnection,
    *,
    channel: str | None = None,
    reason: str | None = None,
    address_hashes: Sequence[str] | None = None,
    limit: int = 1000,
) -> list[Suppression]:
    """Suppressions, the latest first."""
    rows = await connection.execute(
        text(
            "SELECT channel, address_hash, reason, source, at FROM suppressions "
            "WHERE (CAST(:channel AS text) IS NULL OR channel = :channel) "
            "AND (CAST(:reason AS text) IS NULL OR reason = :reason) "
            "AND (CAST(:hashes AS text[]) IS NULL OR address_hash = ANY(CAST(:hashes AS text[]))) "
            "ORDER BY at DESC, channel, address_hash, reason LIMIT :limit"
        ),
        {
            "channel": channel, "reason": reason, "limit": limit,
            "hashes": None if address_hashes is None else list(address_hashes),
        },
    )  # fmt: skip
    return [Suppression(**row._mapping) for row in rows]


@dataclass(frozen=True, slots=True)
class Lift:
    """A suppression that was taken back: what had stood since `at`, and who ended it when."""

    channel: str
    address_hash: str
    reason: str
    source: str
    at: datetime
    lifted_at: datetime
    lifted_by: str


async def list_lifts(
    connection: AsyncConnection,
    *,
    channel: str | None = None,
    address_hashes: Sequence[str] | None = None,
    limit: int = 1000,
) -> list[Lift]:
    """Suppressions that were lifted, the latest first."""
    rows = await connection.execute(
        text(
            "SELECT channel, address_hash, reason, source, at, lifted_at, lifted_by FROM suppression_lifts "
            "WHERE (CAST(:channel AS text) IS NULL OR channel = :channel) "
            "AND (CAST(:hashes AS text[]) IS NULL OR address_hash = ANY(CAST(:hashes AS text[]))) "
            "ORDER BY lifted_at DESC, id DESC LIMIT :limit"
        ),
        {
            "channel": channel, "limit": limit,
            "hashes": None if address_hashes is None else list(address_hashes),
        },
    )  # fmt: skip
    return [Lift(**row._mapping) for row in rows]
