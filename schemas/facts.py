"""What is known of one customer at one moment: the input of every decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from schemas.condition import Value


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a customer did or that happened to them; `at` is aware, UTC."""

    name: str
    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """One customer at `now`.

    `signals` holds normalised values only (see `rules.normalise`): a signal that is missing has no key.
    Derived ages (`days_since_…`) are already true at `now`. `events` are in order of time; `history` has the
    daily values of a signal in order of day. `ages` maps a derived age signal to the instant it counts from
    and the length of its unit in seconds, so that an evaluator can say when it will change.
    """

    customer: str
    now: datetime
    signals: Mapping[str, Value] = field(default_factory=dict)
    events: Sequence[Event] = ()
    history: Mapping[str, Sequence[tuple[date, Value]]] = field(default_factory=dict)
    ages: Mapping[str, tuple[datetime, int]] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, bool] = field(default_factory=dict)
    suppressed: Mapping[str, str] = field(default_factory=dict)
