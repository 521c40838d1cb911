"""Where customers stand among others like them: everybody is counted now and then, not at each question."""

from __future__ import annotations

from scoring.assessment import Assessment
from scoring.cohorts import AGE_BANDS_DAYS, Cohort, compare
from store.cohorts import CohortCounts, count_cohorts, find_cohort
from store.database import Connection, Database
from web.recounting import Recount


class CohortCounter(Recount[CohortCounts]):
    """The cohorts of all customers, for all requests of one process.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        async def count() -> CohortCounts:
            async with database.transaction() as connection:
                now = await database.clock.read(connection)
                return await count_cohorts(connection, now, AGE_BANDS_DAYS)

        super().__init__("cohorts", count)


async def place(connection: Connection, counts: CohortCounts, assessed: Assessment) -> Cohort:
    """The cohort of a customer whose score is that of `assessed`."""
    key, own = await find_cohort(connection, assessed.customer_id, assessed.at, AGE_BANDS_DAYS)
    # Whether a sample has the customer in it isn't known, and one of so many changes nothing.
    counted = own if counts.share == 1 else None
    return compare(counts.scores.get(key, {}), assessed.health.score, own=counted, share=counts.share)
