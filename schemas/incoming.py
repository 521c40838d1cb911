"""An event as it enters, checked and normalised, before it has a place in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from schemas.condition import Value


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """One checked event. Times are aware, UTC.

    `day` is the UTC day of the sender's own timestamp, before any correction: with `source` and `message_id` it
    makes the event unique. None: the sender gave no timestamp, and `at` is when it was received. `at` is corrected for
    the sender's clock. `traits` are what an identify (or group) call says of the customer; `name` is then `identify`.
    """

    source: str
    message_id: str
    external_id: str
    name: str
    at: datetime
    received_at: datetime
    day: date | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    # The trace that it came by (W3C Trace Context), where there is one.
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be taken, why, and its text (cut to 32 KB)."""

    source: str
    code: str
    reason: str
    body: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a batch: new events, ones seen before, and dead letters."""

    stored: int
    repeated: int
    buried: int


@dataclass(frozen=True, slots=True)
class Movement:
    """What a customer's new events make of their stored signals, and how many of each count for each day.

    `signals` and `stamps` hold only what changes; a tally is (day, name, detail, count, total).
    """

    signals: Mapping[str, Value] = field(default_factory=dict)
    stamps: Mapping[str, datetime] = field(default_factory=dict)
    tallies: Sequence[tuple[date, str, str, int, float]] = ()


# (stored signals, stamps, new events of one customer in order of time) -> what changes. Pure.
Mover = Callable[[Mapping[str, Value], Mapping[str, datetime], Sequence[IncomingEvent]], Movement]
