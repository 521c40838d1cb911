"""Figures about everybody who matches a filter, of as many filters as people use."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakSet

from web.recounting import Recount

Counted = TypeVar("Counted")
Filter = TypeVar("Filter", bound=Hashable)
# Filters that are remembered: whoever asks for more than these has everybody counted each time.
MOST_KEPT = 64


class FilterCounts(Generic[Filter, Counted]):
    """What `count` found last for each filter.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(
        self,
        what: str,
        count: Callable[[Filter], Awaitable[Counted]],
        *,
        long_worth: float = Recount.LONG_WORTH,
    ) -> None:
        """`long_worth`: as `Recount` has it."""
        self._what, self._count, self._long_worth = what, count, long_worth
        self._kept: OrderedDict[Filter, Recount[Counted]] = OrderedDict()
        # Those that aren't kept any more, too, as long as they count.
        self._counting: WeakSet[Recount[Counted]] = WeakSet()

    async def read(self, chosen: Filter) -> Counted:
        """The figures of those who match."""
        counted = self._kept.get(chosen)
        if counted is None:
            counted = Recount(self._what, lambda: self._count(chosen), long_worth=self._long_worth)
            self._kept[chosen] = counted
            self._counting.add(counted)
        self._kept.move_to_end(chosen)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return await counted.read()

    async def close(self) -> None:
        """End all counts that are under way."""
        await asyncio.gather(*(counted.close() for counted in list(self._counting)))
