"""How many are at risk, and what that puts at risk, by filter."""

from __future__ import annotations

from datetime import datetime

from scoring.churn import INTERVENE_FROM
from store.churn_predictions import RiskFilter, RiskTotals, sum_risk
from store.database import Database
from web.filter_counts import FilterCounts


class RiskCounter(FilterCounts[RiskFilter, tuple[RiskTotals, datetime]]):
    """The totals of each filter, with when they were counted, for all requests of one process."""

    def __init__(self, database: Database) -> None:
        async def count(chosen: RiskFilter) -> tuple[RiskTotals, datetime]:
            async with database.counting() as connection:
                now = await database.clock.read(connection)
                return await sum_risk(connection, chosen, at_risk_from=INTERVENE_FROM), now

        super().__init__("predictions", count, long_worth=1000.0)
