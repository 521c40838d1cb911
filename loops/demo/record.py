"""The demo's records: who somebody is, and what happened, under ids that the seed alone decides."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NAMESPACE = uuid.UUID("6f1c6c5e-5f0b-5c0e-9d0e-3a4b1f6f2d11")


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """One supplier. `traits` are JSON, for an identify call; `consent` is by channel where known."""

    external_id: str
    traits: Mapping[str, Any]
    consent: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """What `customer` (an external id) did; `identify` has the traits as properties. `at` is UTC."""

    message_id: str
    customer: str
    name: str
    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)


class Recorder:
    """Gathers one customer's events and numbers them."""

    def __init__(self, customer: str, *salt: object) -> None:
        self.customer = customer
        self.events: list[DemoEvent] = []
        self._salt = "/".join(str(part) for part in (*salt, customer))

    def note(self, name: str, at: datetime, **properties: Any) -> None:
        """Add an event."""
        message_id = str(uuid.uuid5(NAMESPACE, f"{self._salt}/{len(self.events)}"))
        self.events.append(DemoEvent(message_id, self.customer, name, at, properties))
