"""Figures about everybody, kept for as long as counting them was worth."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

logger = logging.getLogger("holdfast.web")
Counted = TypeVar("Counted")


class Recount(Generic[Counted]):
    """What `count` found last. It is asked again after 20 times as long as it took, so that at most a twentieth of a
    processor's time goes there. Where it takes long, it is after `long_worth` times as long, and readers get the last
    figures while new ones are on their way.
    """

    WORTH = 20.0
    LONG_WORTH = 100.0
    # So quick a count is waited for.
    QUICK_SECONDS = 0.01
    # Figures that are older are waited for, unless they are to be kept for longer.
    OLDEST_SECONDS = 60.0

    def __init__(
        self, what: str, count: Callable[[], Awaitable[Counted]], *, long_worth: float = LONG_WORTH
    ) -> None:
        self._what = what
        self._count = count
        self._long_worth = long_worth
        self._found: tuple[Counted] | None = None
        self._counted_at = 0.0
        self._took = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def read(self) -> Counted:
        """The figures; raises as `count` does where there are none that are young enough."""
        age = time.monotonic() - self._counted_at
        quick = self._took < self.QUICK_SECONDS
        good_for = self._took * (self.WORTH if quick else self._long_worth)
        if self._found is None or age > good_for:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._renew())
                self._counting.add_done_callback(self._report)
            if self._found is None or quick or age > good_for + self.OLDEST_SECONDS:
                await asyncio.shield(self._counting)
        assert self._found is not None
        return self._found[0]

    async def close(self) -> None:
        """Cancel a count that is under way, and wait for its end; whoever waits for it is cancelled, too."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _renew(self) -> None:
        begun = time.monotonic()
        self._found = (await self._count(),)
        self._counted_at = time.monotonic()
        self._took = self._counted_at - begun

    def _report(self, task: asyncio.Task[None]) -> None:
        # Whoever waits for it is told; where nobody does, the next one who asks tries again.
        if not task.cancelled() and task.exception() is not None:
            logger.warning("%s can't be counted: %s", self._what, type(task.exception()).__name__)
