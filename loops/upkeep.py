"""What time alone makes necessary: customers whose moment has come, windows that close, partitions to come.

The daily look at everybody is the run over the population (`activities.population`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from activities.rewards import Rewards
from activities.running import close_run
from activities.steps import StepOpening
from loops.notices import Notices
from schemas.run import RunEnd
from store import claiming, deliveries, evaluations, reminders, rewards, runs
from store.customers import lock_customers
from store.partitions import ensure_partitions

# A claim that nobody settled for so long has lost its sender, and its run won't ask again.
FORGOTTEN = timedelta(hours=1)


class Upkeep:
    """One process's share of the upkeep; any number may run."""

    def __init__(self, opening: StepOpening, notices: Notices | None = None) -> None:
        """`notices`: how people are told of work and appointments, beside the list."""
        self._opening = opening
        self._notices = notices
        self._database = opening.database
        self._rewards = Rewards(opening)

    async def run_once(self) -> int:
        """See to what is due; returns how many customers were queued."""
        queued = 0
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            queued += await evaluations.queue_due(connection, now, 1000)
        await self._close_observed()
        await self._settle_forgotten()
        await self._remind()
        # What it tells of the customers has queued them.
        queued += await self._rewards.take_back()
        # The last, and for itself: where it fails, and is tried again, nothing else waits for it.
        await self._make_partitions()
        return queued

    async def next_due(self) -> datetime | None:
        """The next moment at which time alone makes something necessary, midnights apart."""
        async with self._database.transaction() as connection:
            moments = (
                await evaluations.next_due(connection),
                await rewards.next_end(connection),
                await runs.next_observed_end(connection),
                await reminders.next_reminder(connection),
            )
        return min((moment for moment in moments if moment), default=None)

    async def _make_partitions(self) -> None:
        """Once a day, those of the months to come."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if await evaluations.mark_upkeep(connection, "daily", now, _midnight(now)):
                await connection.run_sync(lambda sync: ensure_partitions(sync, now.date()))

    async def _remind(self) -> None:
        """Have whoever has work told of it, once; the mails themselves are sent elsewhere, and tried again."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            due = await reminders.claim_reminders(connection, now)
            await reminders.drop_unattended(connection, now)
            if self._notices is not None:
                await self._notices.queue(connection, due, now)

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
                await claiming.settle(
                    connection,
                    delivery.id,
                    delivery.attempt,
                    "unknown",
                    now,
                    error="its run ended before it was settled",
                )


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
