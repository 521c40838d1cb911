"""What triggers look at of one part of the population: what was decided last, open runs, milestones that were reached."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from store.bulk import Array, fetch_arrays
from store.population_reading import BETWEEN, PART, Bounds, or_none_at_all


@dataclass(frozen=True)
class StoredStandings:
    """What was decided last, an entry per customer and playbook."""

    row: Array
    playbook: Sequence[str]
    reason: Sequence[str]


@dataclass(frozen=True)
class StoredRuns:
    """Runs that are open, an entry each; `attended`: not yet on its way to its end."""

    row: Array
    playbook: Sequence[str]
    version: Sequence[str]
    run_group: Sequence[str | None]
    shadow: Array
    attended: Array


async def load_standing_columns(connection: AsyncConnection, bounds: Bounds) -> StoredStandings:
    """The standings of these customers."""
    row, playbook, reason = await fetch_arrays(
        connection,
        PART + "SELECT array_agg(p.row), array_agg(s.playbook), array_agg(s.reason) "
        f"FROM standings s JOIN part p ON p.id = s.customer_id WHERE s.{BETWEEN}",
        bounds.given,
    )
    return StoredStandings(or_none_at_all(row, np.int32), playbook or [], reason or [])


async def load_run_columns(connection: AsyncConnection, bounds: Bounds) -> StoredRuns:
    """The open runs of these customers."""
    row, playbook, version, group, shadow, attended = await fetch_arrays(
        connection,
        PART
        + "SELECT array_agg(p.row), array_agg(r.playbook), array_agg(r.version), array_agg(r.run_group), "
        "array_agg(r.arm = 'shadow'), array_agg(r.interruption IS NULL) "
        f"FROM runs r JOIN part p ON p.id = r.customer_id WHERE r.{BETWEEN} AND r.ended_at IS NULL",
        bounds.given,
    )
    return StoredRuns(
        or_none_at_all(row, np.int32), playbook or [], version or [], group or [],
        or_none_at_all(shadow, np.bool_), or_none_at_all(attended, np.bool_),
    )  # fmt: skip


@dataclass(frozen=True)
class StoredReached:
    """Milestones that were reached, an entry per customer and milestone."""

    row: Array
    milestone: Sequence[str]


async def load_reached_columns(
    connection: AsyncConnection, bounds: Bounds, milestones: Collection[str]
) -> StoredReached:
    """Which of these milestones these customers have reached."""
    if not milestones:
        return StoredReached(np.zeros(0, np.int32), [])
    row, milestone = await fetch_arrays(
        connection,
        PART + "SELECT array_agg(p.row), array_agg(m.milestone_type) "
        f"FROM success_milestones m JOIN part p ON p.id = m.customer_id WHERE m.{BETWEEN} "
        "AND m.achieved_at IS NOT NULL AND m.milestone_type = ANY(%(milestones)s)",
        {**bounds.given, "milestones": sorted(milestones)},
    )
    return StoredReached(or_none_at_all(row, np.int32), milestone or [])
