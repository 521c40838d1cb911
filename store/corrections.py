"""What was said of events afterwards: a correction stands beside the event, which stays as it was sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.correction import Correction
from schemas.errors import ConflictError, NotFoundError
from schemas.facts import Event
from store.audit import actor_called, record_change
from store.customers import lock_customers
from store.database import Database, encode
from store.repairs import first_midnight, request_repairs

TRAIT_EVENTS = ("identify", "group")
# Of properties that a correction makes others, so many are named in the audit.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class StoredCorrection:
    """One correction on record; without `properties` and `occurred_at` the event never happened."""

    source: str
    message_id: str
    properties: Mapping[str, Any] | None
    occurred_at: datetime | None
    reason: str
    author: str
    at: datetime

    @property
    def retracts(self) -> bool:
        """Whether it says that the event never happened."""
        return self.properties is None and self.occurred_at is None

    def apply(self, sent: Event) -> Event | None:
        """The event as it is to be believed; `sent` is as it was sent, with what moves signals as properties."""
        if self.retracts:
            return None
        return replace(
            sent,
            at=self.occurred_at or sent.at,
            properties=sent.properties if self.properties is None else self.properties,
        )


# By customer, then by source and message id; each event's in the order in which they were made.
Corrections = dict[str, dict[tuple[str, str], list[StoredCorrection]]]

_LOAD = text(
    "SELECT customer_id::text, source, message_id, properties, occurred_at, reason, author, at FROM corrections "
    "WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY id"
)


async def load_corrections(connection: AsyncConnection, ids: Sequence[str]) -> Corrections:
    """The corrections of these customers' events; customers without any are left out."""
    found: Corrections = {}
    for customer_id, *row in await connection.execute(_LOAD, {"ids": list(ids)}):
        one = _read(row)
        found.setdefault(customer_id, {}).setdefault((one.source, one.message_id), []).append(one)
    return found


def _read(row: Sequence[Any]) -> StoredCorrection:
    source, message_id, properties, occurred_at, reason, author, at = row
    return StoredCorrection(
        source,
        message_id,
        properties,
        occurred_at.astimezone(UTC) if occurred_at else None,
        reason,
        author,
        at.astimezone(UTC),
    )


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction that was recorded: of what event, of whom."""

    id: int
    user_id: str
    name: str
    sent_at: datetime
    corrected_before: int


_FIND = text(
    "SELECT e.customer_id::text, c.external_id, e.name, e.at, e.properties FROM events e JOIN customers c ON c.id = e.customer_id "
    "WHERE e.source = :source AND e.message_id = :message_id LIMIT 2"
)
_INSERT = text(
    "INSERT INTO corrections (source, message_id, customer_id, properties, occurred_at, reason, author, at) "
    "VALUES (:source, :message_id, CAST(:customer AS uuid), CAST(:properties AS jsonb), :occurred_at, :reason, :author, :at) "
    "RETURNING id"
)


async def record_correction(
    database: Database, correction: Correction, author: str, *, actor: Principal | None = None
) -> Corrected:
    """Record what is said of an event, and ask for the repair of its customer's past; committed on return.

    What this one doesn't speak of stays as an earlier correction left it. Raises InputError for what can't be recorded,
    NotFoundError for an event that isn't stored, ConflictError where two have this id.
    """
    async with database.transaction() as connection:
        named = {"source": correction.source, "message_id": correction.message_id}
        correction.check(await database.clock.read(connection))
        rows = (await connection.execute(_FIND, named)).all()
        if not rows:
            raise NotFoundError(
                f"No stored event of source {correction.source!r} has the message id {correction.message_id!r}.",
                remedy="The source is the name of the API key that it was sent with, the id its messageId.",
            )
        if len(rows) > 1:
            raise ConflictError(
                f"Two events of source {correction.source!r} have the message id {correction.message_id!r}.",
                remedy="Their sender used it on two days; neither can be corrected.",
            )
        customer_id, user_id, name, sent_at, sent = rows[0]
        sent_at = sent_at.astimezone(UTC)
        await lock_customers(connection, [customer_id])
        now = await database.clock.read(connection)
        earlier = (await load_corrections(connection, [customer_id])).get(customer_id, {})
        before = earlier.get((correction.source, correction.message_id), [])
        # No two of one customer at one moment: which of them wait is told by their time.
        last = max((one.at for ones in earlier.values() for one in ones), default=None)
        if last is not None and now <= last:
            now = last + timedelta(microseconds=1)
        properties, occurred_at = correction.properties, correction.occurred_at
        if not correction.retract and before:
            properties = before[-1].properties if properties is None else properties
            occurred_at = occurred_at or before[-1].occurred_at
        inserted = await connection.execute(
            _INSERT,
            named
            | {
                "customer": customer_id,
                "properties": None if properties is None else encode(dict(properties)),
                "occurred_at": occurred_at,
                "reason": correction.reason,
                "author": author,
                "at": now,
            },
        )
        moments = [sent_at, *(one.occurred_at for one in before), occurred_at]
        since = first_midnight(min(moment for moment in moments if moment is not None))
        await request_repairs(connection, {customer_id: since}, now, whole=True, reason=correction.reason)
        number = inserted.scalar_one()
        believed = _Believed(sent_at, _sent(name, sent))
        stood = believed.after(before[-1]) if before else believed
        stands = believed.after(
            _read([*named.values(), properties, occurred_at, correction.reason, author, now])
        )
        await record_change(
            connection, actor or actor_called(author), "event.corrected", object_kind="customer", object_id=customer_id,
            before=_tell(stood),
            after={
                **_tell(stands),
                "correction_id": number,
                "event": name,
                "changed": _changed(stood, stands),
                "corrected_before": len(before),
                "reason_length": len(correction.reason),
            },
        )  # fmt: skip
        return Corrected(number, user_id, name, sent_at, len(before))


@dataclass(frozen=True, slots=True)
class _Believed:
    """An event as it is believed; without `properties` it never happened."""

    at: datetime
    properties: Mapping[str, Any] | None

    def after(self, correction: StoredCorrection) -> _Believed:
        """What was sent, with the last correction of it."""
        if correction.retracts:
            return _Believed(self.at, None)
        said = correction.properties
        return _Believed(correction.occurred_at or self.at, self.properties if said is None else said)


def _sent(name: str, properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """What corrections speak of: of an identify call its traits."""
    traits = properties.get("traits") if name in TRAIT_EVENTS else None
    return traits if isinstance(traits, dict) else properties


def _tell(one: _Believed) -> dict[str, Any]:
    """As the audit may keep it: what is known of customers stays in their own rows."""
    if one.properties is None:
        return {"retracted": True, "at": one.at.isoformat(), "properties": None}
    written = json.dumps(one.properties, sort_keys=True, ensure_ascii=True).encode()
    known = {"number": len(one.properties), "sha256": hashlib.sha256(written).hexdigest()[:20]}
    return {"retracted": False, "at": one.at.isoformat(), "properties": known}


def _changed(stood: _Believed, stands: _Believed) -> list[str]:
    """The names of the properties that are others now."""
    old, new = stood.properties or {}, stands.properties or {}
    missing = object()
    names = sorted(
        name for name in old.keys() | new.keys() if old.get(name, missing) != new.get(name, missing)
    )
    return names[:MOST_NAMED]
