"""What time alone makes necessary: customers whose moment has come, windows that close, the daily look at everybody."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from activities.rewards import Rewards
from activities.running import close_run
from activities.steps import StepOpening
from schemas.run import RunEnd
from store import deliveries, evaluations, rewards, runs
from store.customers import lock_customers
from store.partitions import ensure_partitions

log = logging.getLogger(__name__)

# A claim that nobody settled for so long has lost its sender, and its run won't ask again.
FORGOTTEN = timedelta(hours=1)


class Upkeep:
    """One process's share of the upkeep; any number may run."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database
        self._rewards = Rewards(opening)

    async def run_once(self) -> int:
        """See to what is due; returns how many customers were queued."""
        queued = 0
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            queued += await evaluations.queue_due(connection, now, 1000)
            if await evaluations.mark_upkeep(connection, "daily", now, _midnight(now)):
                queued += await evaluations.request_everything(connection, now)
                await connection.run_sync(lambda sync: ensure_partitions(sync, now.date()))
                log.info("daily look at everybody: %d customers queued", queued)
        await self._close_observed()
        await self._settle_forgotten()
        # What it tells of the customers has queued them.
        return queued + await self._rewards.take_back()

    async def next_due(self) -> datetime | None:
        """The next moment at which time alone makes something necessary, midnights apart."""
        async with self._database.transaction() as connection:
            moments = (
                await evaluations.next_due(connection),
                await rewards.next_end(connection),
                await runs.next_observed_end(connection),
            )
        return min((moment for moment in moments if moment), default=None)

    async def _close_observed(self) -> None:
        """Held-out runs end when their window does; nobody else would."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            overdue = await runs.load_overdue_observed(connection, now, 100)
        for run in overdue:
            async with self._database.transaction() as connection:
                await lock_customers(connection, [run.customer_id])
                fresh = await runs.load_run(connection, run.id)
                if fresh.ended_at is None:
                    end = RunEnd(outcome="expired", reason="the window closed", at=run.goal_by or now)
                    await close_run(connection, self._opening, fresh, end, now)

    async def _settle_forgotten(self) -> None:
        """A claim whose run was ended from outside stays visibly unknown rather than claimed for ever."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            for delivery in await deliveries.load_forgotten(connection, now - FORGOTTEN, 100):
                await deliveries.settle(
                    connection,
                    delivery.id,
                    delivery.attempt,
                    "unknown",
                    now,
                    error="its run ended before it was settled",
                )


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
