"""Whether a customer may be reached: consent per channel and topic.

Every yes and no is kept (`consent_events`); `consents` is where they stand: the latest by its own time, and at one instant
a no.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.customers import load_customers, lock_customers
from store.database import encode

TICK = timedelta(microseconds=1)


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
