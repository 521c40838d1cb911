"""Seeing to it that everybody is scored every day, whatever became of the schedule."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from loops.schedules import ensure_schedules, start_population
from store.database import DATABASE_AWAY, Database
from store.evaluations import mark_upkeep
from store.population import count_customers, last_day

log = logging.getLogger(__name__)

# How long after a day began the next day's run must have begun, too.
OVERDUE = timedelta(hours=26)
LOOK_EVERY = timedelta(minutes=2)
AWAY = (*DATABASE_AWAY, OSError, RPCError)


class PopulationStarting:
    """One process's share of it; any number may run, and one looks at a time."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def run(self) -> None:
        """Keep the schedules, and start what they missed, for ever."""
        scheduled = False
        while True:
            try:
                if not scheduled:
                    await ensure_schedules(self._client)
                    scheduled = True
                await self.run_once()
            except AWAY as error:
                log.warning("population: %s; trying again", type(error).__name__)
                await asyncio.sleep(5)
                continue
            except Exception:
                log.exception("population: met something that it didn't expect; trying again")
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def run_once(self) -> bool:
        """Start a run if there are customers and the last one is missing or too old; whether it did."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if not await mark_upkeep(connection, "population", now, now - LOOK_EVERY / 2):
                return False
            last = await last_day(connection)
            if not is_overdue(last, now) or not await count_customers(connection):
                return False
        since = f"the last was that of {last}" if last else "there was none yet"
        log.warning("starting a run over the population, as %s (a batch worker carries it out)", since)
        await start_population(self._client, now.astimezone(UTC).date())
        return True


def is_overdue(last: date | None, now: datetime) -> bool:
    """Whether the schedule has missed a day; `last` is that of the latest run."""
    return last is None or now > datetime(last.year, last.month, last.day, tzinfo=UTC) + OVERDUE
