"""What several ask for at the same time, read once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Read = TypeVar("Read")


class SharedReadings(Generic[Read]):
    """Readings by what is read, of one process. Of each there is one under way at most, and one that waits for its end.

    Whoever asks shares the one that waits, never one that has begun: nobody is told anything older than their question.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Read]] = {}
        self._waiting: dict[Hashable, asyncio.Task[Read]] = {}

    async def read(self, key: Hashable, make: Callable[[], Awaitable[Read]]) -> Read:
        """What a reading of `key` that began after this call found, whosever `make` did it; raises as that does.

        It goes on for the others, or to its end, when one who waits for it is cancelled. What it finds is everybody's:
        nobody may change it.
        """
        reading = self._waiting.get(key)
        if reading is None:
            reading = self._waiting[key] = asyncio.create_task(
                self._make(key, make, self._under_way.get(key))
            )
        return await asyncio.shield(reading)

    async def close(self) -> None:
        """Cancel whatever is under way; whoever waits for it is cancelled, too."""
        readings = [*self._under_way.values(), *self._waiting.values()]
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    async def _make(
        self, key: Hashable, make: Callable[[], Awaitable[Read]], before: asyncio.Task[Read] | None
    ) -> Read:
        try:
            if before is not None:
                await asyncio.wait([before])
        finally:
            # From here on nobody joins.
            reading = self._waiting.pop(key)
        self._under_way[key] = reading
        try:
            return await make()
        finally:
            del self._under_way[key]
