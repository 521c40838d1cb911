"""The delivery ledger: one row per run, step and occurrence, as it is read; `store.claiming` writes it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.message_part import CHANNEL_PARTS
from schemas.sent import Sent
from store.runs import NAMESPACE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one customer."""

    id: str
    run_id: str
    customer_id: str
    step: str
    occurrence: int
    channel: str
    state: str
    attempt: int
    topic: str | None
    template: str | None
    address_hash: str | None
    content: Mapping[str, Any]
    provider: str | None
    provider_id: str | None
    error_code: str | None
    error: str | None
    claimed_at: datetime | None
    settled_at: datetime | None
    reconciled_at: datetime | None
    # The consent that it went out on, why this channel and this moment, and the channels that failed before.
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed_channels(self) -> Sequence[Mapping[str, Any]]:
        """The channels by which it surely didn't reach the customer: channel, code, outcome (failed, suppressed), at."""
        failed: Sequence[Mapping[str, Any]] = self.evidence.get("failed", ())
        return failed


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger's row of one message, or of one piece of work, is about; `id` as of `delivery_id`."""

    id: str
    run_id: str
    customer_id: str
    step: str
    occurrence: int
    channel: str
    topic: str | None = None
    template: str | None = None


DELIVERY_FIELDS = ", ".join(Delivery.__dataclass_fields__)
# When a person first opened a message, followed a link in it, or wrote back.
ANSWERED_AT = "least(d.opened_at, d.clicked_at, d.replied_at, d.seen_at)"


def delivery_id(run_id: str, step: str, occurrence: int) -> str:
    """The idempotency key: the same for every attempt at the same step of the same run."""
    return str(uuid.uuid5(NAMESPACE, f"{run_id}/{step}/{occurrence}"))


def read_delivery(values: Sequence[Any]) -> Delivery:
    """The delivery in a row of its fields, in their order."""
    fields = dict(zip(Delivery.__dataclass_fields__, values, strict=True))
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    return Delivery(**fields)


def _delivery(row: Any) -> Delivery:
    fields = dict(row._mapping)
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    return Delivery(**fields)


async def lock_delivery(connection: AsyncConnection, delivery: str) -> Delivery | None:
    """The ledger's row, locked, or None when there is none yet."""
    row = (
        await connection.execute(
            text(f"SELECT {DELIVERY_FIELDS} FROM deliveries WHERE id = :id FOR UPDATE"), {"id": delivery}
        )
    ).first()
    return _delivery(row) if row else None


async def is_under_way(connection: AsyncConnection, delivery: str) -> bool:
    """Whether somebody has claimed this before, and how it ends isn't settled."""
    row = await connection.execute(
        text("SELECT 1 FROM deliveries WHERE id = :id AND state IN ('claimed', 'unknown', 'retrying')"),
        {"id": delivery},
    )
    return row.first() is not None


async def load_recent_sends(
    connection: AsyncConnection, customer_id: str, since: datetime, *, but: str, shadow: bool = False
) -> list[Sent]:
    """Messages that left, or may have left, for this customer since then, oldest first; `but` is left out.

    shadow: with what their shadow runs would have sent.
    """
    rows = await connection.execute(
        text(
            "SELECT d.channel, coalesce(d.claimed_at, d.settled_at) AS at, d.topic, r.playbook, "
            f"{ANSWERED_AT} AS answered_at FROM deliveries d JOIN runs r ON r.id = d.run_id "
            "WHERE d.customer_id = :customer AND d.id <> :but AND d.channel = ANY(:channels) "
            "AND (d.claimed_at >= :since AND d.state IN ('claimed', 'accepted', 'unknown')"
            + (
                " OR d.settled_at >= :since AND d.state = 'skipped' AND d.error_code = 'shadow'"
                if shadow
                else ""
            )
            + ") ORDER BY at"
        ),
        {"customer": customer_id, "since": since, "but": but, "channels": list(CHANNEL_PARTS)},
    )
    return [Sent(row.channel, row.at, row.topic, row.playbook, row.answered_at) for row in rows]


async def is_anothers(
    connection: AsyncConnection, provider: str, provider_id: str | None, delivery: str
) -> bool:
    """Whether the ledger holds this message of the provider's for a delivery other than `delivery`."""
    row = await connection.execute(
        text(
            "SELECT 1 FROM deliveries WHERE provider = :provider AND provider_id = :message AND id <> :id LIMIT 1"
        ),
        {"provider": provider, "message": provider_id, "id": delivery},
    )
    return row.first() is not None


async def load_forgotten(connection: AsyncConnection, before: datetime, limit: int) -> list[Delivery]:
    """Claims from before `before` whose sender never came back, of runs that have ended and won't ask about them."""
    rows = await connection.execute(
        text(
            f"SELECT {', '.join('d.' + name for name in Delivery.__dataclass_fields__)} FROM deliveries d "
            "JOIN runs r ON r.id = d.run_id WHERE d.state = 'claimed' AND r.ended_at IS NOT NULL AND d.claimed_at < :before "
            "ORDER BY d.claimed_at LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [_delivery(row) for row in rows]
