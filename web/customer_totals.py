"""How many customers a list of the API goes on to, by filter."""

from __future__ import annotations

from datetime import datetime

from store.database import Database
from store.overview_counts import count_overview
from store.reading_overview import OverviewFilter
from web.filter_counts import FilterCounts

# A filter's values by dimension, in order of name.
_Chosen = tuple[tuple[str, tuple[str, ...]], ...]


class CustomerCounter:
    """The totals of each filter, with when they were counted, for all requests of one process.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: FilterCounts[_Chosen, tuple[int, datetime]] = FilterCounts(
            "customers", lambda chosen: self._count(OverviewFilter(dict(chosen))), long_worth=1000.0
        )

    async def read(self, wanted: OverviewFilter) -> tuple[int, datetime]:
        """How many match, and when they were counted; those of a search are counted anew."""
        if wanted.search:
            return await self._count(wanted)
        return await self._kept.read(tuple(sorted((name, of) for name, of in wanted.values.items() if of)))

    async def close(self) -> None:
        """End all counts that are under way."""
        await self._kept.close()

    async def _count(self, wanted: OverviewFilter) -> tuple[int, datetime]:
        async with self._database.counting() as connection:
            now = await self._database.clock.read(connection)
            return await count_overview(connection, wanted, now), now
