"""Putting the demo customer base into a database, once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click

from loops.demo.population import Population, generate
from loops.demo.record import DemoCustomer
from schemas.catalogue import Catalogue, load_catalogue
from schemas.facts import Event
from scoring.replay import replay_customer
from store import evaluations
from store.database import Database
from store.past import Past, PastEvent, load_past

SEED = 20
CUSTOMERS = 500
DAYS = 120
MARK = "demo"
SOURCE = "demo"
BATCH = 50
_NEVER = datetime(1, 1, 2, tzinfo=UTC)


def load_demo(database_url: str) -> None:
    """Load 500 invented suppliers with 120 days behind them, unless they are there; progress goes to standard error."""
    asyncio.run(_load(database_url))


async def _load(database_url: str) -> None:
    async with Database(database_url, connections=2) as database:
        await load_population(database, lambda line: click.echo(line, err=True))


async def load_population(
    database: Database, say: Callable[[str], None], *, customers: int = CUSTOMERS, days: int = DAYS
) -> Population | None:
    """Load the demo base as of now; None if it is there already. A load that was cut short left nothing."""
    async with database.transaction() as connection:
        now = (await database.clock.read(connection)).replace(second=0, microsecond=0)
        if not await evaluations.mark_upkeep(connection, MARK, now, _NEVER):
            return None
        population = await asyncio.to_thread(generate, SEED, customers, days, until=now)
        catalogue = load_catalogue()
        happened: dict[str, list[PastEvent]] = defaultdict(list)
        for event in population.events:
            happened[event.customer].append(
                PastEvent(event.message_id, event.name, event.at, event.properties)
            )
        events, everybody = 0, population.customers
        for start in range(0, len(everybody), BATCH):
            batch = [
                _past(customer, happened[customer.external_id], now, catalogue, days)
                for customer in everybody[start : start + BATCH]
            ]
            events += await load_past(connection, batch, source=SOURCE, demo=True, now=now)
            say(f"demo customers: {start + len(batch)} of {len(everybody)}, {events} events")
        return population


def _past(
    customer: DemoCustomer, events: Sequence[PastEvent], until: datetime, catalogue: Catalogue, days: int
) -> Past:
    happened = [Event(one.name, one.at, one.properties) for one in events]
    replayed = replay_customer(happened, until=until, days=days, catalogue=catalogue)
    return Past(
        external_id=customer.external_id,
        traits=customer.traits,
        consent=customer.consent,
        events=events,
        values=replayed.signals,
        stamps=replayed.stamps,
        tallies=[(t.name, t.detail, t.day, t.count, t.total) for t in replayed.tallies],
        days=replayed.days,
    )
