"""Where customers stand among others like them: everybody is counted now and then, not at each question."""

from __future__ import annotations

from scoring.assessment import Assessment
from scoring.cohorts import AGE_BANDS_DAYS, Cohort, compare
from store.cohorts import CohortCounts, count_cohorts
from store.database import Database
from web.recounting import Recount


class CohortCounter(Recount[CohortCounts]):
    """The cohorts of all customers, for all requests of one process.

    Read it before a transaction, not in one: counting takes a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        async def count() -> CohortCounts:
            async with database.counting() as connection:
                now = await database.clock.read(connection)
                return await count_cohorts(connection, now, AGE_BANDS_DAYS)

        # They change by the day.
        super().__init__("cohorts", count, long_worth=1000.0)


def place(counts: CohortCounts, assessed: Assessment) -> Cohort:
    """The cohort of a customer whose score is that of `assessed`."""
    # Whether a sample has the customer in it isn't known, and one of so many changes nothing.
    counted = assessed.place.score if counts.share == 1 else None
    others = counts.scores.get(assessed.place.cohort, {})
    return compare(others, assessed.health.score, own=counted, share=counts.share)
