"""How many are at risk, and what that puts at risk, by filter."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from scoring.churn import INTERVENE_FROM
from store.churn_predictions import RiskFilter, RiskTotals, sum_risk
from store.database import Database
from web.recounting import Recount

# Filters that are remembered: whoever asks for more than these has everybody counted each time.
MOST_KEPT = 64


class RiskCounter:
    """The totals of each filter, with when they were counted, for all requests of one process.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[RiskFilter, Recount[tuple[RiskTotals, datetime]]] = OrderedDict()

    async def read(self, chosen: RiskFilter) -> tuple[RiskTotals, datetime]:
        """The totals over everybody who matches, and the moment at which they were."""
        counted = self._kept.get(chosen)
        if counted is None:
            counted = self._kept[chosen] = Recount("predictions", lambda: self._count(chosen))
        self._kept.move_to_end(chosen)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return await counted.read()

    async def _count(self, chosen: RiskFilter) -> tuple[RiskTotals, datetime]:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            return await sum_risk(connection, chosen, at_risk_from=INTERVENE_FROM), now
