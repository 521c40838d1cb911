"""What is kept of one customer's past: everything that happened, with the moment at which it became known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from schemas.facts import Event
from schemas.sent import Sent
from store.customers import Customer


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """One stored event; `traits` are those of an identify or group call. `caused_by`: the run whose step it was.

    `corrects`: it says what the event of this source and id, told before, was really like; `retracts`: that it never
    happened.
    """

    message_id: str
    name: str
    at: datetime
    known_at: datetime
    properties: Mapping[str, Any]
    traits: Mapping[str, Any]
    caused_by: str | None = None
    source: str = ""
    corrects: bool = False
    retracts: bool = False

    @property
    def event(self) -> Event:
        """The same as signals are moved on by it."""
        return Event(self.name, self.at, self.traits or self.properties)

    @property
    def key(self) -> tuple[str, str]:
        """What is one for all that is said of one event."""
        return self.source, self.message_id


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run that really was; arm: treated, held_out, shadow."""

    id: str
    playbook: str
    key: str
    run_group: str | None
    arm: str
    entered_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RecordedSend:
    """A message that left, or may have left, and its run."""

    run_id: str
    sent: Sent


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """A call or task that somebody completed; `talked`: it was a call that the customer answered."""

    run_id: str
    step: str
    outcome: str
    at: datetime
    talked: bool = False


@dataclass(slots=True)
class KeptPast:
    """Everything that is kept of one customer; events by the moment they became known.

    `consents` are the changes of consent, (channel or channel:topic, yes or no, known since), in the order in which they
    became known; `suppressed` is (channel, reason, since) of what stands now. `days` are the
    recorded daily values of the signals asked for, by signal.
    """

    customer: Customer
    created_at: datetime
    events: list[KnownEvent] = field(default_factory=list)
    consents: list[tuple[str, bool, datetime]] = field(default_factory=list)
    suppressed: list[tuple[str, str, datetime]] = field(default_factory=list)
    days: dict[str, list[tuple[date, Any]]] = field(default_factory=dict)
    runs: list[RecordedRun] = field(default_factory=list)
    sends: list[RecordedSend] = field(default_factory=list)
    work: list[RecordedWork] = field(default_factory=list)
