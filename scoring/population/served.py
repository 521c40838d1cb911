"""Whom the fitted models predict, and what they say of them; the rest is left to the rule of thumb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from schemas.catalogue import Catalogue
from scoring.churning.columns import Flags, Floats, Integers, Numbers, Table, take
from scoring.features import feature_table
from scoring.hazard import HazardModel, coverages, outlooks
from scoring.population.known import Known
from scoring.prediction import Source
from scoring.predictors import COVERED, WELL_COVERED, Predictors
from scoring.signal_columns import NO_INSTANT

_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What one model says of `rows`: `sure` where confidence is high, `effects` (rows, sources) in log-odds.

    `within` (rows, 3) is for 30, 60 and 90 days; `days` (3, rows) when they are expected to leave, at the earliest and
    at the latest.
    """

    source: Source
    rows: Integers
    sure: Flags
    within: Floats
    effects: Floats
    sources: tuple[str, ...]
    days: npt.NDArray[np.datetime64]


def serve(
    predictors: Predictors, known: Known, scored: Flags, today: date, catalogue: Catalogue
) -> Iterator[Served]:
    """The model's rows and then those of the recalibrated health score, of the customers who are scored at all."""
    model, health = predictors.model, predictors.health
    if model is None and health is None:
        return
    table = feature_table(known.columns, catalogue)
    renewal = renewal_days(known, today)
    left = scored
    if model is not None:
        share = coverages(model, table) if table else np.zeros(known.n)
        rows = np.flatnonzero(left & (share >= COVERED))
        sure = (share[rows] >= WELL_COVERED) & (not predictors.stale)
        yield _look(model, "model", table, renewal, rows, sure, today)
        left = left & (share < COVERED)
    score = table.get("health_score")
    if health is not None and isinstance(score, Numbers):
        rows = np.flatnonzero(left & ~np.isnan(score.values))
        yield _look(health, "health", table, renewal, rows, np.zeros(len(rows), np.bool_), today)


def renewal_days(known: Known, today: date) -> Floats:
    """Days from today (UTC) to the renewal; nan where it isn't known or over."""
    instants = known.columns.instants.get("renewal_date")
    if instants is None:
        return np.full(known.n, np.nan)
    there = instants != NO_INSTANT
    days = np.where(there, instants, 0) // _DAY - (today.toordinal() - _EPOCH)
    return np.where(there & (days >= 0), days, np.nan)


def _look(
    model: HazardModel,
    source: Source,
    table: Table,
    renewal: Floats,
    rows: Integers,
    sure: Flags,
    today: date,
) -> Served:
    whole = len(rows) == len(renewal)
    found = outlooks(model, table if whole else take(table, rows), renewal if whole else renewal[rows])
    ahead = np.stack([found.expected, found.earliest, found.latest])
    there = ~np.isnan(ahead)
    days = np.datetime64(today, "D") + np.floor(np.where(there, ahead, 0.0)).astype("timedelta64[D]")
    return Served(
        source,
        rows,
        sure,
        found.within,
        found.effects,
        found.sources,
        np.where(there, days, np.datetime64("NaT")),
    )
