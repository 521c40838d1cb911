"""How many customers each filter of the overview would show, kept for as long as counting them took to be worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.database import Database
from store.overview_counts import Group, count_groups
from store.reading_overview import DIMENSIONS, NONE, OverviewFilter
from web.recounting import Recount

# All customers counted by the values of all dimensions together, and when.
Counted = tuple[Sequence[Group], datetime]
# Filters of which the facets are remembered until the next count; more than these are forgotten all together.
MOST_FOLDED = 200


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
    allowed = [
        frozenset(
            value
            for value in {NONE if group.values[place] is None else group.values[place] for group in groups}
            if value is not None and wanted.allows(name, value)
        )
        for place, name in enumerate(names)
    ]
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    total, revenue, at_risk = 0, 0.0, 0.0
    for group in groups:
        values = [NONE if value is None else value for value in group.values]
        missed = [place for place, value in enumerate(values) if value not in allowed[place]]
        if not missed:
            total += group.customers
            revenue += group.monthly_revenue
            at_risk += group.ltv_at_risk
        for place in range(len(names)) if not missed else missed if len(missed) == 1 else ():
            of = counts[names[place]]
            of[values[place]] = of.get(values[place], 0) + group.customers
    return Facets(total, revenue, at_risk, counts, at)


class FacetCounter:
    """Counts for all pages of one process: all customers are counted in one scan, whatever the filter.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._everybody = Recount("customers", self._count)
        # What filters made of the last count.
        self._folded: dict[tuple[tuple[str, tuple[str, ...]], ...], Facets] = {}
        self._folded_of: Counted | None = None

    async def read(self, wanted: OverviewFilter) -> Facets:
        """The facets of a filter; those of a search are counted anew."""
        if wanted.search:
            groups, at = await self._count(wanted.search)
            return fold_groups(groups, wanted, at)
        return self._fold(await self._everybody.read(), wanted)

    async def close(self) -> None:
        """End a count that is under way."""
        await self._everybody.close()

    def _fold(self, counted: Counted, wanted: OverviewFilter) -> Facets:
        if counted is not self._folded_of:
            self._folded_of = counted
            self._folded.clear()
        asked = tuple(sorted((name, values) for name, values in wanted.values.items() if values))
        facets = self._folded.get(asked)
        if facets is None:
            if len(self._folded) >= MOST_FOLDED:
                self._folded.clear()
            facets = self._folded[asked] = fold_groups(counted[0], wanted, counted[1])
        return facets

    async def _count(self, search: str = "") -> Counted:
        async with self._database.counting() as connection:
            now = await self._database.clock.read(connection)
            return await count_groups(connection, search, now), now
