"""One event of a customer's line, as whoever corrects it sees it: as it was sent, and as it is believed by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from store.asking import Source, fetch
from store.corrections import TRAIT_EVENTS, StoredCorrection, load_corrections
from store.database import Connection


@dataclass(frozen=True, slots=True)
class CustomerEvent:
    """An event as it was sent; `properties` are what corrections speak of: of an identify call its traits.

    `corrections` are in the order in which they were made.
    """

    source: str
    message_id: str
    name: str
    at: datetime
    properties: Mapping[str, Any]
    corrections: tuple[StoredCorrection, ...]

    @property
    def believed(self) -> Mapping[str, Any]:
        """The properties by the last correction that says any."""
        last = self.corrections[-1].properties if self.corrections else None
        return self.properties if last is None else last

    @property
    def believed_at(self) -> datetime:
        """When it happened, by the last correction that says so."""
        last = self.corrections[-1].occurred_at if self.corrections else None
        return last or self.at

    @property
    def is_retracted(self) -> bool:
        """Whether it never happened, as is believed now."""
        return bool(self.corrections) and self.corrections[-1].retracts


def key_of(source: str, message_id: str) -> str:
    """What an event is called in a customer's line."""
    return f"event/{source}/{message_id}"


async def load_last_corrections(connection: Connection, customer_id: str) -> dict[str, StoredCorrection]:
    """The last correction of each corrected event of a customer, by `key_of`."""
    found = (await load_corrections(connection, [customer_id])).get(customer_id, {})
    return {key_of(source, message_id): ones[-1] for (source, message_id), ones in found.items()}


async def find_event(connection: Connection, customer_id: str, key: str) -> CustomerEvent | None:
    """The customer's event that `key_of` calls so; None where there is none."""
    rows = await _fetch_event(connection, customer_id, key)
    if not rows:
        return None
    source, message_id, name, at, sent = rows[0]
    corrections = (await load_corrections(connection, [customer_id])).get(customer_id, {})
    traits = sent.get("traits") if name in TRAIT_EVENTS else None
    return CustomerEvent(
        source,
        message_id,
        name,
        at.astimezone(UTC),
        traits if isinstance(traits, dict) else sent,
        tuple(corrections.get((source, message_id), ())),
    )


async def _fetch_event(source: Source, customer_id: str, key: str) -> list[tuple[Any, ...]]:
    return await fetch(
        source,
        "SELECT source, message_id, name, at, properties FROM events WHERE customer_id = CAST(%(id)s AS uuid) "
        "AND 'event/' || source || '/' || message_id = %(key)s LIMIT 1",
        {"id": customer_id, "key": key},
    )
