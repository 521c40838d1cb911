"""What was found of one part of the population, written in short transactions: nobody waits for it, nor it for anybody.

First the evaluator is asked, then the customers are written. Whom somebody else writes to in between is left as they
are: either the evaluator was asked already, and whatever it does from then on is a whole look, or it is asked now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

import numpy as np

from activities.population_judging import Judged
from activities.population_part import DerivedPart, ReadPart
from activities.population_rows import health_rows, prediction_rows, signal_rows
from activities.scores import REVIEWED_AFTER
from schemas.catalogue import Catalogue
from scoring.churning.columns import Flags
from scoring.population.named import NAMED
from scoring.population.predictions import REASONS
from store.bulk import Array
from store.database import Connection, Database
from store.population_writing import (
    Asked,
    record_days,
    request_looks,
    save_health_columns,
    save_prediction_columns,
    save_signals,
)

# So many customers' rows are written, and held, at a time.
WRITTEN_AT_ONCE = 1000


@dataclass(frozen=True)
class Written:
    """What was written: how many customers, whom the evaluator was asked for, and the counts of the others."""

    scored: int
    requested: int
    counts: Counter[tuple[str, str, str]]


async def write_part(
    database: Database,
    read: ReadPart,
    found: DerivedPart,
    judged: Judged,
    catalogue: Catalogue,
    tick: Callable[[], None],
) -> Written:
    """Write it, a thousand customers at a time, each with everything that concerns it."""
    part = read.part
    moved = np.zeros(part.n, np.bool_)
    for flags in found.changed.values():
        moved |= flags
    # A customer of whom nothing is stored gets a row, whatever is in it.
    moved |= part.versions == 0
    overtaken = np.zeros(part.n, np.bool_)
    for start in range(0, part.n, WRITTEN_AT_ONCE):
        rows = np.arange(start, min(start + WRITTEN_AT_ONCE, part.n))
        async with database.transaction() as connection:
            await _ask(connection, read, judged, rows[judged.asked[rows]])
        async with database.transaction() as connection:
            late = await _write(connection, read, found, rows, moved, catalogue)
        overtaken[late] = True
        async with database.transaction() as connection:
            await _ask(connection, read, judged, late[~judged.asked[late]])
        tick()
    return Written(
        int((~overtaken).sum()),
        int((judged.asked | overtaken).sum()),
        judged.count(~judged.asked & ~overtaken),
    )


async def _ask(connection: Connection, read: ReadPart, judged: Judged, rows: Array) -> None:
    names = [judged.names.get(row, frozenset()) for row in rows.tolist()]
    await request_looks(connection, Asked(read.part.ids[rows], names), read.now)


async def _write(
    connection: Connection,
    read: ReadPart,
    found: DerivedPart,
    rows: Array,
    moved: Flags,
    catalogue: Catalogue,
) -> Array:
    """Write these rows in the caller's transaction; returns those whom somebody else had written to meanwhile."""
    part, derived, now = read.part, found.derived, read.now
    day = now.astimezone(UTC).date()
    late = np.zeros(0, np.int32)
    if moved[rows].any():
        late = await save_signals(connection, signal_rows(part, derived, catalogue, rows[moved[rows]]), now)
    kept = rows[~np.isin(rows, late)]
    await record_days(connection, part.ids[kept], day, now)
    await save_health_columns(
        connection,
        health_rows(part, derived, read.scorer.model, kept),
        day=day,
        model=read.scorer.model.digest,
        next_review=(now + REVIEWED_AFTER).date(),
        now=now,
    )
    scored = kept[derived.predictions.scored[kept]]
    await save_prediction_columns(
        connection,
        prediction_rows(part, derived, read.judge.holdout_percent, scored),
        day=day,
        factors=NAMED,
        reasons=REASONS,
        now=now,
    )
    return late
