"""How many predictions each filter of the churn page would show, kept for as long as counting them was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scoring.churn import INTERVENE_FROM
from store.database import Database
from store.protected_value import Protected, sum_protected
from store.reading_churn import BANDS, DIMENSIONS, NONE, ChurnFilter, ChurnGroup, count_churn
from web.recounting import Recount

# Entries of so many days are asked what became of them.
PROTECTED_DAYS = 90
_AT_RISK_BAND = round(INTERVENE_FROM * BANDS)


@dataclass(frozen=True)
class ChurnCounts:
    """The predictions of a filter as counted at `at`: how many, how many at risk (see INTERVENE_FROM), and their value
    at risk; `unpriced`: of how many of those at risk no price is known.

    `counts` says by dimension and value how many there would be with that value instead; `bands` how many stand in each
    band of probability, whatever `least` is.
    """

    total: int
    at_risk: int
    ltv_at_risk: float
    unpriced: int
    counts: Mapping[str, Mapping[str, int]]
    bands: Sequence[int]
    at: datetime

    def options(self, dimension: str, chosen: str = "") -> list[tuple[str, int]]:
        """The values that there are, and the one chosen, the known ones first in order of name."""
        counts = self.counts[dimension]
        there = {*counts, *([chosen] if chosen else [])}
        return [
            (value, counts.get(value, 0))
            for value in sorted(there, key=lambda value: (value == NONE, value.lower()))
        ]


def fold_churn(groups: Sequence[ChurnGroup], wanted: ChurnFilter, at: datetime) -> ChurnCounts:
    """The counts of a filter out of everybody counted by all dimensions together."""
    names = tuple(DIMENSIONS)
    asked = [wanted.values.get(name) or "" for name in names]
    least = round(wanted.least * BANDS)
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    bands = [0] * BANDS
    total, at_risk, ltv, unpriced = 0, 0, 0.0, 0
    for group in groups:
        values = [NONE if value is None else value for value in group.values]
        missed = [place for place, value in enumerate(values) if asked[place] and value != asked[place]]
        if not missed:
            bands[group.band] += group.customers
        if group.band < least:
            continue
        if not missed:
            total += group.customers
            if group.band >= _AT_RISK_BAND:
                at_risk += group.customers
                ltv += group.ltv_at_risk
                unpriced += group.unpriced
        for place in range(len(names)) if not missed else missed if len(missed) == 1 else ():
            of = counts[names[place]]
            of[values[place]] = of.get(values[place], 0) + group.customers
    return ChurnCounts(total, at_risk, ltv, unpriced, counts, bands, at)


class ChurnCounter:
    """Counts for all churn pages of one process: everybody is counted in one scan, whatever the filter.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._everybody = Recount("predictions", self._count)

    async def read(self, wanted: ChurnFilter) -> tuple[ChurnCounts, Protected]:
        """The counts of a filter, and what was protected of everybody."""
        groups, protected, at = await self._everybody.read()
        return fold_churn(groups, wanted, at), protected

    async def close(self) -> None:
        """End a count that is under way."""
        await self._everybody.close()

    async def _count(self) -> tuple[Sequence[ChurnGroup], Protected, datetime]:
        async with self._database.counting() as connection:
            now = await self._database.clock.read(connection)
            groups = await count_churn(connection, now)
            return groups, await sum_protected(connection, now, days=PROTECTED_DAYS, high=INTERVENE_FROM), now
