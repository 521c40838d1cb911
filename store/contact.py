"""Whether and where a customer may be reached: consent per channel and topic, and suppressed addresses.

Every yes and no is kept (`consent_events`); `consents` is where they stand: the latest by its own time, and at one instant
a no. Suppression is by the address's hash, so that it outlives the customer (docs/decisions/0011).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.customers import PROFILE_TRAITS, load_customers, lock_customers
from store.database import encode
from store.deliveries import hash_address, hash_as_written

# Which trait of the profile a channel's address is.
ADDRESS_TRAITS = {"email": "email", "sms": "phone", "whatsapp": "phone", "push": "push_token", "voice": "phone"}
TICK = timedelta(microseconds=1)


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


@dataclass(frozen=True, slots=True)
class Word:
    """The yes or no that stands for a channel, or a topic on it, and what it was said by."""

    granted: bool
    source: str
    at: datetime


async def load_words(connection: AsyncConnection, customer_id: str) -> dict[str, Word]:
    """As `load_consents`, of one customer, with source and time."""
    rows = await connection.execute(
        text(
            "SELECT channel, topic, granted, source, at FROM consents WHERE customer_id = CAST(:id AS uuid)"
        ),
        {"id": customer_id},
    )
    return {
        f"{row.channel}:{row.topic}" if row.topic else row.channel: Word(row.granted, row.source, row.at)
        for row in rows
    }


async def record_consent(
    connection: AsyncConnection,
    customer_id: str,
    channel: str,
    topic: str,
    *,
    granted: bool,
    source: str,
    at: datetime,
    evidence: Mapping[str, Any] | None = None,
    received_at: datetime | None = None,
) -> None:
    """Note a yes or a no that was said at `at`; what was said later stands over it, and at one instant a no wins.

    received_at: when it became known (None: at once). The customer is locked, so that no message is claimed after the
    commit on what held before it; who notes words of several customers locks all of them first.
    """
    await lock_customers(connection, [customer_id])
    said = _values(customer_id, channel, topic, granted=granted, source=source, at=at, evidence=evidence)
    said["received"] = received_at or at
    # The same word told twice is told once.
    await connection.execute(
        text(_APPEND + "AND l.at = :at)"),
        said,
    )
    await connection.execute(
        text(
            "INSERT INTO consents AS c (customer_id, channel, topic, granted, source, at) "
            "SELECT CAST(:customer AS uuid), :channel, :topic, :granted, :source, :at WHERE NOT EXISTS ("
            # Somebody who says the same again doesn't move what stands, but what they said last outweighs this.
            "SELECT 1 FROM consent_events e WHERE e.customer_id = CAST(:customer AS uuid) AND e.channel = :channel "
            "AND e.topic = :topic AND (e.at > :at OR (e.at = :at AND :granted AND NOT e.granted))) "
            "ON CONFLICT (customer_id, channel, topic) DO UPDATE SET granted = excluded.granted, "
            "source = excluded.source, at = excluded.at "
            "WHERE excluded.at > c.at OR (excluded.at = c.at AND NOT excluded.granted)"
        ),
        said,
    )


async def declare_consents(
    connection: AsyncConnection,
    customer_id: str,
    words: Mapping[tuple[str, str], bool],
    *,
    source: str,
    now: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Note what the customer says now: (channel, topic or empty) -> yes or no. Raises NotFoundError.

    It stands over every earlier word, also one of a clock that was ahead; what was so already keeps its source and
    time. The customer is locked, so that no message is claimed after the commit on what held before it.
    """
    await lock_customers(connection, [customer_id])
    if not await load_customers(connection, [customer_id]):
        raise NotFoundError("There is no such customer any more.", remedy="Nothing is sent to them.")
    stands, last_said = await load_words(connection, customer_id), await _last_said(connection, customer_id)
    for (channel, topic), granted in words.items():
        word = f"{channel}:{topic}" if topic else channel
        before = [stands[word].at] if word in stands else []
        before += [last_said[word]] if word in last_said else []
        # Later than what it stands over, so that the history in order of time says the same.
        at = max([now, *(at + TICK for at in before)])
        said = _values(customer_id, channel, topic, granted=granted, source=source, at=at, evidence=evidence)
        said["received"] = now
        # A button that is pressed again says nothing new.
        await connection.execute(text(_APPEND + "AND l.evidence = CAST(:evidence AS jsonb))"), said)
        await connection.execute(
            text(
                "INSERT INTO consents AS c (customer_id, channel, topic, granted, source, at) "
                "VALUES (:customer, :channel, :topic, :granted, :source, :at) "
                "ON CONFLICT (customer_id, channel, topic) DO UPDATE SET granted = excluded.granted, "
                "source = excluded.source, at = excluded.at WHERE c.granted <> excluded.granted"
            ),
            said,
        )


async def _last_said(connection: AsyncConnection, customer_id: str) -> dict[str, datetime]:
    rows = await connection.execute(
        text(
            "SELECT channel, topic, max(at) AS at FROM consent_events WHERE customer_id = CAST(:id AS uuid) "
            "GROUP BY channel, topic"
        ),
        {"id": customer_id},
    )
    return {f"{row.channel}:{row.topic}" if row.topic else row.channel: row.at for row in rows}


_APPEND = (
    "INSERT INTO consent_events (customer_id, channel, topic, granted, source, evidence, at, received_at) "
    "SELECT CAST(:customer AS uuid), :channel, :topic, :granted, :source, CAST(:evidence AS jsonb), :at, :received "
    "WHERE NOT EXISTS (SELECT 1 FROM (SELECT granted, source, evidence, at FROM consent_events "
    "WHERE customer_id = CAST(:customer AS uuid) AND channel = :channel AND topic = :topic ORDER BY id DESC LIMIT 1) l "
    "WHERE l.granted = :granted AND l.source = :source "
)


def _values(
    customer_id: str, channel: str, topic: str, *, granted: bool, source: str, at: datetime,
    evidence: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "customer": customer_id, "channel": channel, "topic": topic, "granted": granted, "source": source, "at": at,
        "evidence": encode(evidence or {}),
    }  # fmt: skip


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


def hashes_by_channel(profile: Mapping[str, object]) -> set[tuple[str, str]]:
    """(channel, hash) of all that the addresses in this profile are or were remembered by."""
    return {
        (channel, hashed)
        for channel, trait in ADDRESS_TRAITS.items()
        if isinstance(address := profile.get(trait), str) and address
        for hashed in hashes_of(channel, address)
    }


def hashes_of(channel: str, address: str) -> tuple[str, ...]:
    """What this address is remembered by, and what earlier versions remembered it by."""
    return tuple(dict.fromkeys((hash_address(channel, address), hash_as_written(channel, address))))


async def find_by_address(connection: AsyncConnection, channel: str, address: str) -> list[str]:
    """The ids of all customers whose address on this channel this is, however it is written."""
    trait = ADDRESS_TRAITS[channel]
    place = trait if trait in PROFILE_TRAITS else f"traits ->> '{trait}'"
    wanted = set(hashes_of(channel, address))
    # Numbers are written in many ways: the last digits find those that may be meant, their hash says whether they are.
    digits = "".join(letter for letter in address if letter.isdigit())
    narrow, values = f"lower(trim({place})) = lower(trim(:address))", {"address": address}
    if trait == "phone" and len(digits) >= 4:
        narrow = f"regexp_replace({place}, '[^0-9]', '', 'g') LIKE :ending"
        values = {"ending": f"%{digits[-4:]}"}
    rows = await connection.execute(
        text(f"SELECT id::text AS id, {place} AS address FROM customers WHERE {narrow} ORDER BY id"), values
    )
    return [row.id for row in rows if row.address and wanted & set(hashes_of(channel, row.address))]


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
