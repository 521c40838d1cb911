"""Weeks: which of them each snapshot was seen through, in which it renewed or was treated, and which are fitted.

Week 0 is the coming one: days 0 to 7 after the snapshot, the 7th left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Categories, Flags, Floats, Integers, Table
from scoring.churning.parts import spline
from scoring.hazard.snapshots import Snapshots

DAYS = 7
# Learned from; later weeks have the effects of the last.
WEEKS = 13
# Looked ahead for the day of leaving.
FAR_WEEKS = 52
# Of how the hazard goes with the weeks: a natural spline, over the 13 weeks as 0 to 1.
PERIOD_KNOTS = (0.0, 1 / 6, 0.5, 1.0)
PERIOD_WIDTH = len(PERIOD_KNOTS) - 1
# What says how often a subscription renews, and how often that is.
BILLING = "billing_period"
BILLING_DAYS: Mapping[str, float] = {"monthly": 365.25 / 12, "annual": 365.25}


@dataclass(frozen=True, slots=True, eq=False)
class Weeks:
    """Weeks of snapshots: `row` is the snapshot's place, `week` counts from 0, `outcome` is 1 where they left in it.

    Of `total` weeks some may have been left out by drawing; then log-odds in here are too high by `offset`.
    """

    row: Integers
    week: Integers
    outcome: Floats
    total: int
    offset: float

    def take(self, chosen: Integers) -> Weeks:
        """These alone."""
        return Weeks(self.row[chosen], self.week[chosen], self.outcome[chosen], self.total, self.offset)


def count_weeks(snapshots: Snapshots) -> tuple[Integers, Flags]:
    """Per snapshot: how many matured weeks they stayed through, and whether they left in the one after.

    A week counts only when all of it was observed: else those who leave would be noticed before those who stay.
    """
    matured = np.minimum(np.floor(snapshots.followed / DAYS), WEEKS).astype(np.int64)
    gone = np.isfinite(snapshots.left)
    leaving = np.floor(np.where(gone, snapshots.left, 0.0) / DAYS).astype(np.int64)
    left = gone & (leaving < matured)
    return np.where(left, leaving, matured), left


def draw_weeks(snapshots: Snapshots, most: int | None, seed: int) -> Weeks:
    """The weeks to fit: all, or at most `most`, those with leaving preferred.

    Drawing depends on the outcome alone, so in a logit it moves the intercept by the log of the ratio of the two
    sampling shares and nothing else (Prentice and Pyke, 1979, Biometrika 66:403): that is `offset`.
    """
    stayed, left = count_weeks(snapshots)
    events = np.flatnonzero(left)
    others = int(stayed.sum())
    kept_events, kept_others = len(events), others
    if most is not None and len(events) + others > most:
        kept_events = min(len(events), max(most // 2, most - others))
        kept_others = min(others, most - kept_events)
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(len(events), kept_events, replace=False, shuffle=False))
    drawn = np.sort(generator.choice(others, kept_others, replace=False, shuffle=False))
    ends = np.cumsum(stayed)
    rows = np.searchsorted(ends, drawn, side="right")
    row = np.concatenate([events[chosen], rows])
    week = np.concatenate([stayed[events[chosen]], drawn - (ends - stayed)[rows]])
    outcome = np.concatenate([np.ones(kept_events), np.zeros(kept_others)])
    order = np.lexsort((week, row))
    offset = 0.0
    if kept_events and kept_others:
        offset = float(np.log(kept_events / len(events)) - np.log(kept_others / others))
    return Weeks(row[order], week[order], outcome[order], len(events) + others, offset)


def period_basis(week: Integers) -> Floats:
    """Shape (weeks, 3); 0 in the coming week."""
    return spline(np.minimum(week, WEEKS - 1) / (WEEKS - 1), PERIOD_KNOTS)


def fading(week: Integers) -> Floats:
    """From 0 in the coming week to 1 in the 13th and after."""
    faded: Floats = np.minimum(week, WEEKS - 1) / (WEEKS - 1)
    return faded


def billing_days(table: Table, rows: int) -> Floats:
    """How often each customer renews, in days; nan unknown."""
    column = table.get(BILLING)
    if not isinstance(column, Categories):
        return np.full(rows, np.nan)
    days = np.array([BILLING_DAYS.get(level, np.nan) for level in column.levels] + [np.nan])
    found: Floats = days[column.codes]
    return found


def renews_in(renewal: Floats, every: Floats, week: Integers) -> Flags:
    """Whether a renewal falls in this week; all of shape (rows,). Where `every` is nan only the next one is known."""
    with np.errstate(invalid="ignore"):
        known = renewal >= 0
        start = DAYS * week.astype(np.float64)
        # The first renewal that isn't before the week.
        times = np.maximum(np.ceil((start - renewal) / every), 0.0)
        due = renewal + np.where(np.isnan(times), 0.0, times * np.where(np.isnan(every), 0.0, every))
        found: Flags = known & (due >= start) & (due < start + DAYS)
    return found


def treated_in(snapshots: Snapshots, row: Integers, week: Integers) -> Flags:
    """Whether a playbook was treating them at any time of this week."""
    since, until = snapshots.treated_from[row], snapshots.treated_until[row]
    with np.errstate(invalid="ignore"):
        begun = since < DAYS * (week + 1)
        over = until <= DAYS * week
    return begun & ~over
