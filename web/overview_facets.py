"""How many customers each filter of the overview would show, kept for as long as counting them took to be worth it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.database import Database
from store.reading_overview import DIMENSIONS, NONE, Group, OverviewFilter, count_groups

logger = logging.getLogger("holdfast.web")


@dataclass(frozen=True)
class Facets:
    """Of the customers of a filter: how many, what they pay a month, what is at risk; as counted at `at`.

    `counts` says by dimension and value how many there would be with that value instead, all other filters as they are.
    """

    total: int
    monthly_revenue: float
    ltv_at_risk: float
    counts: Mapping[str, Mapping[str, int]]
    at: datetime

    def options(self, dimension: str, chosen: Sequence[str] = ()) -> list[tuple[str, int]]:
        """The values that there are, and those chosen, the known ones first in order of name."""
        counts = self.counts[dimension]
        return [
            (value, counts.get(value, 0))
            for value in sorted({*counts, *chosen}, key=lambda value: (value == NONE, value.lower()))
        ]


def fold_groups(groups: Sequence[Group], wanted: OverviewFilter, at: datetime) -> Facets:
    """The facets of a filter out of all customers counted by all dimensions together."""
    names = tuple(DIMENSIONS)
    allowed = [frozenset(wanted.values.get(name) or ()) for name in names]
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    total, revenue, at_risk = 0, 0.0, 0.0
    for group in groups:
        values = [NONE if value is None else value for value in group.values]
        missed = [
            place for place, value in enumerate(values) if allowed[place] and value not in allowed[place]
        ]
        if not missed:
            total += group.customers
            revenue += group.monthly_revenue
            at_risk += group.ltv_at_risk
        for place in range(len(names)) if not missed else missed if len(missed) == 1 else ():
            of = counts[names[place]]
            of[values[place]] = of.get(values[place], 0) + group.customers
    return Facets(total, revenue, at_risk, counts, at)


class FacetCounter:
    """Counts for all pages of one process.

    All customers are counted in one scan, and again after 20 times as long as that took: at most one twentieth of a
    processor's time goes there. Where it takes long, a page shows the last counts while new ones are on their way.
    """

    WORTH = 20.0
    # So quick a count is waited for.
    QUICK_SECONDS = 0.05
    OLDEST_SECONDS = 60.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: Sequence[Group] = ()
        self._at: datetime | None = None
        self._counted = 0.0
        self._took = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def read(self, wanted: OverviewFilter) -> Facets:
        """The facets of a filter; those of a search are counted anew."""
        if wanted.search:
            async with self._database.transaction() as connection:
                now = await self._database.clock.read(connection)
                return fold_groups(await count_groups(connection, wanted.search, now), wanted, now)
        age = time.monotonic() - self._counted
        if self._at is None or age > self._took * self.WORTH:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count())
                self._counting.add_done_callback(_report)
            if self._at is None or self._took < self.QUICK_SECONDS or age > self.OLDEST_SECONDS:
                await asyncio.shield(self._counting)
        assert self._at is not None
        return fold_groups(self._groups, wanted, self._at)

    async def _count(self) -> None:
        begun = time.monotonic()
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            self._groups = await count_groups(connection, "", now)
        self._at, self._counted = now, time.monotonic()
        self._took = self._counted - begun


def _report(task: asyncio.Task[None]) -> None:
    # Whoever waits for it is told; where nobody does, the next page tries again.
    if not task.cancelled() and task.exception() is not None:
        logger.warning("customers can't be counted: %s", type(task.exception()).__name__)
