"""Health scores counted by segment, plan and band of account age, for everybody at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Of more customers a count looks at about so many, the same ones each time.
SAMPLED = 200_000
# Segment, plan, band of account age; None: it isn't known.
Key = tuple[str | None, str | None, int | None]

_BAND = "width_bucket(CAST(:now AS timestamptz) - s.signed_up_at, CAST(:bands AS interval[]))"
_COUNT = text(
    f"SELECT s.segment, s.plan, {_BAND} AS band, s.health_score, count(*) "
    "FROM signals s TABLESAMPLE SYSTEM (:percent) REPEATABLE (1) WHERE s.health_score IS NOT NULL GROUP BY 1, 2, 3, 4"
)
# What the statistics say, which costs nothing.
_ABOUT = text("SELECT reltuples::float8 FROM pg_class WHERE oid = 'signals'::regclass")


@dataclass(frozen=True)
class CohortCounts:
    """How many have each score, by cohort, in that part of everybody that `share` (0–1) says."""

    scores: Mapping[Key, Mapping[float, int]]
    share: float


async def count_cohorts(
    connection: AsyncConnection, now: datetime, bands_days: Sequence[int]
) -> CohortCounts:
    """Count everybody's score, or, where there are many, a sample's; bands of account age begin at `bands_days`."""
    there = (await connection.execute(_ABOUT)).scalar_one()
    percent = min(100.0, 100.0 * SAMPLED / max(there, 1.0))
    rows = await connection.execute(_COUNT, {**_bands(now, bands_days), "percent": percent})
    scores: dict[Key, dict[float, int]] = {}
    for segment, plan, band, score, count in rows:
        scores.setdefault((segment, plan, band), {})[score] = count
    return CohortCounts(scores, percent / 100)


def _bands(now: datetime, bands_days: Sequence[int]) -> dict[str, Any]:
    return {"now": now, "bands": [f"{days} days" for days in bands_days]}
