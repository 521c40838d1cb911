"""The demo base as it ships, made and replayed once for all tests that look at it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from loops.demo.population import Population, generate
from schemas.catalogue import load_catalogue
from schemas.facts import Event
from scoring.replay import Replayed, replay_customer

UNTIL = datetime(2026, 3, 14, 11, 20, tzinfo=UTC)
CATALOGUE = load_catalogue()


@cache
def base() -> Population:
    """Its customers and what they did until UNTIL."""
    return generate(2026, until=UNTIL)


@cache
def events() -> dict[str, list[Event]]:
    """What each customer did, in order of time."""
    found: dict[str, list[Event]] = {customer.external_id: [] for customer in base().customers}
    for event in base().events:
        found[event.customer].append(Event(event.name, event.at, event.properties))
    return found


@cache
def replayed() -> dict[str, Replayed]:
    """What is known of each customer at UNTIL."""
    return {
        name: replay_customer(past, until=UNTIL, days=31, catalogue=CATALOGUE)
        for name, past in events().items()
    }
