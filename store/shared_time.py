"""The database's time where asking each time would cost too much."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from store.database import DATABASE_AWAY, Database


class SharedTime:
    """The database's last answer, and what this process has counted since: the host's clock may be wrong, or jump.

    Until the database has answered once there is nothing but the host's clock.
    """

    REFRESH_SECONDS = 30.0
    PATIENCE_SECONDS = 2.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        # The database's time, and `time.monotonic` when it was read.
        self._known: tuple[datetime, float] | None = None

    async def read(self) -> datetime:
        """The present moment, aware, UTC; never raises."""
        if (fixed := self._database.clock.fixed()) is not None:
            return fixed
        if self._is_old() and not self._asking.locked():
            async with self._asking:
                await self._ask()
        if self._known is None:
            return datetime.now(UTC)
        at, since = self._known
        return at + timedelta(seconds=time.monotonic() - since)

    def _is_old(self) -> bool:
        return self._known is None or time.monotonic() - self._known[1] >= self.REFRESH_SECONDS

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(self.PATIENCE_SECONDS), self._database.transaction() as connection:
                # Who starts counting when the answer is here may be late, never ahead.
                self._known = (await self._database.clock.read(connection), time.monotonic())
        except (*DATABASE_AWAY, TimeoutError):
            if self._known is not None:
                at, since = self._known
                passed = time.monotonic() - since
                self._known = (at + timedelta(seconds=passed), since + passed)
