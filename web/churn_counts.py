"""How many predictions each filter of the churn page would show, kept for as long as counting them was worth."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scoring.churn import INTERVENE_FROM
from store.database import Database
from store.reading_churn import (
    BANDS,
    DIMENSIONS,
    NONE,
    ChurnFilter,
    ChurnGroup,
    Protected,
    count_churn,
    sum_protected,
)

logger = logging.getLogger("holdfast.web")
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
    """Counts for all churn pages of one process.

    Everybody is counted in one scan, and again after 20 times as long as that took. Where it takes long, a page shows
    the last counts while new ones are on their way.
    """

    WORTH = 20.0
    # So quick a count is waited for.
    QUICK_SECONDS = 0.05
    OLDEST_SECONDS = 60.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: Sequence[ChurnGroup] = ()
        self._protected: Protected | None = None
        self._at: datetime | None = None
        self._counted = 0.0
        self._took = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def read(self, wanted: ChurnFilter) -> tuple[ChurnCounts, Protected]:
        """The counts of a filter, and what was protected of everybody."""
        age = time.monotonic() - self._counted
        if self._at is None or age > self._took * self.WORTH:
            if self._counting is None or self._counting.done():
                self._counting = asyncio.create_task(self._count())
                self._counting.add_done_callback(_report)
            if self._at is None or self._took < self.QUICK_SECONDS or age > self.OLDEST_SECONDS:
                await asyncio.shield(self._counting)
        assert self._at is not None
        assert self._protected is not None
        return fold_churn(self._groups, wanted, self._at), self._protected

    async def _count(self) -> None:
        begun = time.monotonic()
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            groups = await count_churn(connection, now)
            protected = await sum_protected(connection, now, days=PROTECTED_DAYS, high=INTERVENE_FROM)
        self._groups, self._protected, self._at = groups, protected, now
        self._counted = time.monotonic()
        self._took = self._counted - begun


def _report(task: asyncio.Task[None]) -> None:
    # Whoever waits for it is told; where nobody does, the next page tries again.
    if not task.cancelled() and task.exception() is not None:
        logger.warning("predictions can't be counted: %s", type(task.exception()).__name__)
