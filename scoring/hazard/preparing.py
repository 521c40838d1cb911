"""What a hazard model is fitted to: weeks of snapshots, their features, and the columns that every shape has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.errors import InputError
from scoring.churning.choosing import Say
from scoring.churning.columns import Categories, Floats, Integers, Table, take
from scoring.churning.design import Fixed
from scoring.churning.fitting import FEWEST_EVENTS
from scoring.churning.folds import SEED
from scoring.churning.inspection import inspect
from scoring.hazard.snapshots import Snapshots
from scoring.hazard.weeks import (
    BILLING,
    BILLING_DAYS,
    PERIOD_WIDTH,
    Weeks,
    billing_days,
    count_weeks,
    draw_weeks,
    period_basis,
    renews_in,
    treated_in,
)

MOST_WEEKS = 60_000
# The least penalties of weeks, renewals and treatment; they follow from the data.
FLOORS = (0.1, 0.1, 0.1)
# Renewals are told apart by billing period, and come again, from so many customers who left.
BILLINGS_FROM_EVENTS = 25


@dataclass(frozen=True, slots=True)
class HazardSettings:
    """How to learn. `anchor` is the feature that needs no proof; `shape` `health` learns from it alone.

    `most_weeks` bounds the weeks that are fitted (not those that are evaluated), drawn by `seed`; `rules` allows rules.
    """

    anchor: str = "health_score"
    shape: Literal["chosen", "health"] = "chosen"
    rules: bool = True
    most_weeks: int = MOST_WEEKS
    seed: int = SEED


DEFAULT_SETTINGS = HazardSettings()


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is fitted: weeks, the features of each, the columns that every shape has, and whose they are.

    `centres` are the means of the fixed columns; `billings` the billing periods with a column of their own.
    """

    weeks: Weeks
    table: Table
    fixed: Fixed
    centres: Floats
    billings: tuple[str, ...]
    customers: Integers
    events: int


def prepare(snapshots: Snapshots, settings: HazardSettings, say: Say = lambda line: None) -> Prepared:
    """The weeks to fit of snapshots in order of customer and day, and the design's columns that don't depend on shape.

    Raises InputError where there is too little to learn from.
    """
    _, left = count_weeks(snapshots)
    events = len(np.unique(snapshots.customer[left]))
    weeks = draw_weeks(snapshots, settings.most_weeks, settings.seed)
    if events < FEWEST_EVENTS:
        ends = int((snapshots.left >= snapshots.followed).sum())
        hint = (
            f" In {ends} rows `followed` ends with leaving; it should go on to the end of what was observed."
            if ends >= FEWEST_EVENTS
            else ""
        )
        raise InputError(
            f"{events} customers left within 13 weeks of a snapshot, in a week that was observed to its end; "
            f"at least {FEWEST_EVENTS} are needed.{hint}",
            remedy="Wait until more is known, or look farther back.",
        )
    if len(weeks.outcome) - weeks.outcome.sum() < FEWEST_EVENTS:
        raise InputError(
            "Next to nobody stayed for even a week after a snapshot: there is nothing to tell leaving from.",
            remedy="Take snapshots of all customers, not only of those who left.",
        )
    table: Table = {
        name: column
        for name, column in snapshots.table.items()
        if settings.shape == "chosen" or name == settings.anchor
    }
    # A leak tells who leaves at all, not in which week.
    looked = np.unique(weeks.row)
    names, notes = inspect(take(table, looked), left[looked].astype(np.float64), first=settings.anchor)
    for note in notes:
        say(f"{note.column} {note.message}" + ("; left out" if note.left_out else ""))
    fixed, centres, billings = _fix(
        snapshots,
        weeks,
        with_billing=settings.shape == "chosen" and events >= BILLINGS_FROM_EVENTS,
    )
    return Prepared(
        weeks,
        take({name: table[name] for name in names}, weeks.row),
        fixed,
        centres,
        billings,
        np.unique(snapshots.customer[weeks.row], return_inverse=True)[1],
        events,
    )


def _fix(snapshots: Snapshots, weeks: Weeks, *, with_billing: bool) -> tuple[Fixed, Floats, tuple[str, ...]]:
    """Weeks, renewal and treatment as columns; those without variation are 0.

    `with_billing` lets renewals come again where the billing period is known, each with a column of its own.
    """
    row, week = weeks.row, weeks.week
    every = billing_days(snapshots.table, len(snapshots))[row] if with_billing else np.full(len(row), np.nan)
    renews = renews_in(snapshots.renewal[row], every, week).astype(np.float64)
    columns = [period_basis(week), renews[:, None]]
    billing = snapshots.table.get(BILLING) if with_billing else None
    billings: list[str] = []
    if isinstance(billing, Categories):
        for level in BILLING_DAYS:
            if level not in billing.levels:
                continue
            mine = renews * (billing.codes[row] == billing.levels.index(level))
            if mine.any():
                billings.append(level)
                columns.append(mine[:, None])
    columns.append(treated_in(snapshots, row, week).astype(np.float64)[:, None])
    matrix = np.hstack(columns)
    centres: Floats = matrix.mean(axis=0)
    width = matrix.shape[1]
    blocks = np.array([0] * PERIOD_WIDTH + [1] * (width - PERIOD_WIDTH - 1) + [2])
    return Fixed(matrix - centres, blocks, np.array(FLOORS)), centres, tuple(billings)
