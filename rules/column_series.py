"""Crossings and changes of a whole population: `rules.series` row by row, in arrays.

The newest point comes first, so "since when" and "in the last days" are both the first so many points of a row.
The running extremes of those are worked out once per signal; how many of a row's newest points lie beyond a level
is then a count, and the extreme of a window a look-up.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rules.column_data import Columns, Flags, Floats, Longs, Series
from rules.column_leaves import Truths, answered, exact, length_of, numbers_of, unknown
from rules.series import PLACES
from schemas.condition import Change, Crossing

# Differences this near to the wanted one are rounded as the reference rounds them, one by one.
_NEAR = 1e-8


class SeriesView:
    """One signal's past, and what several lines about the signal have in common."""

    def __init__(self, columns: Columns, signal: str) -> None:
        n = columns.n
        nothing = Series(np.zeros(n, np.int64), np.zeros((0, n), np.int64), np.zeros((0, n)))
        self.n, self.now = n, columns.now
        self.series = columns.history.get(signal, nothing)
        self.current = numbers_of(columns.signals.get(signal))
        self._windows: dict[int, Longs] = {}

    @cached_property
    def highest(self) -> Floats:
        """The highest of each row's newest so many points; NaN below its oldest."""
        return _running(np.maximum, self.series.values)

    @cached_property
    def lowest(self) -> Floats:
        """The lowest of each row's newest so many points; NaN below its oldest."""
        return _running(np.minimum, self.series.values)

    def crossed(self, leaf: Crossing) -> Truths:
        """Whether the last crossing counts, still stands and has stood long enough."""
        if self.current is None:
            return unknown(self.n)
        numbers, valid = self.current
        level = exact(leaf.level)
        known = valid & (self.series.lengths > 0)
        below = leaf.direction == "below"
        # How many of the newest points lie beyond the level: the crossing was at the oldest of them, or is now.
        beyond = _count(self.highest < level if below else self.lowest > level)
        stands = known & ((numbers < level) if below else (numbers > level)) & (beyond < self.series.lengths)
        rows = np.flatnonzero(stands)
        beyond = beyond[rows]
        now = self.now if self.now.ndim == 0 else self.now[rows]
        since = np.where(beyond > 0, self.series.at[beyond - 1, rows], now)
        long_enough = now - since >= length_of(leaf.for_seconds)
        rows, beyond = rows[long_enough], beyond[long_enough]
        hits = np.zeros(self.n, np.bool_)
        hits[rows] = True if leaf.rearm is None else self._counts(leaf, exact(leaf.rearm), rows, beyond)
        return answered(hits, known)

    def _counts(self, leaf: Crossing, rearm: float, rows: Longs, last: Longs) -> Flags:
        """Whether it was the first crossing, or the value was beyond `rearm` after the crossing before it.

        `last` is each row's newest point that wasn't beyond the level.
        """
        if not len(rows):
            return np.zeros(0, np.bool_)
        values, level = self.series.values[:, rows], exact(leaf.level)
        below = leaf.direction == "below"
        beyond = values < level if below else values > level
        places = np.arange(len(values))[:, None]
        begins = np.zeros_like(beyond)
        # What is older than the oldest point is NaN, so beyond nothing, but no crossing can be told from it.
        begins[:-1] = beyond[:-1] & ~beyond[1:] & (places[1:] < self.series.lengths[rows])
        begins &= places > last
        crossed_before = begins.any(axis=0)
        previous = np.where(crossed_before, begins.argmax(axis=0), len(values))
        rearmed = (values > rearm if below else values < rearm) & (places >= last) & (places < previous)
        return np.logical_or(~crossed_before, rearmed.any(axis=0))

    def changed(self, leaf: Change) -> Truths:
        """Whether the value is now far enough from the extreme of the window."""
        if self.current is None or not len(self.series.values):
            return unknown(self.n)
        numbers, valid = self.current
        window = self._window(length_of(leaf.within_seconds))
        known = valid & (window > 0)
        extremes = self.highest if leaf.direction == "drop" else self.lowest
        extreme = np.where(known, extremes[window - 1, np.arange(self.n)], 0.0)
        moved = extreme - numbers if leaf.direction == "drop" else numbers - extreme
        by = float(leaf.by)
        hits = moved >= by
        # Rounding matters next to the limit only, and never to whole numbers.
        near = np.flatnonzero(known & (np.abs(moved - by) <= _NEAR) & (np.rint(moved) != moved))
        for row in near.tolist():
            hits[row] = round(float(moved[row]), PLACES) >= leaf.by
        return answered(hits, known)

    def _window(self, length: int) -> Longs:
        """How many of each row's newest points lie in the last `length` microseconds."""
        if length not in self._windows:
            inside = _count(self.series.at >= self.now - length)
            self._windows[length] = np.minimum(inside, self.series.lengths)
        return self._windows[length]


def _running(pick: np.ufunc, values: Floats) -> Floats:
    """Each row's extreme so far; row by row of the grid, which is several times as fast as `accumulate`."""
    running = np.empty(values.shape)
    running[:1] = values[:1]
    for place in range(1, len(values)):
        pick(running[place - 1], values[place], out=running[place])
    return running


def _count(flags: Flags) -> Longs:
    """How many of each column's flags are set; counted in bytes where they suffice, for the sake of speed."""
    kind = np.int8 if len(flags) <= np.iinfo(np.int8).max else np.int64
    return np.asarray(np.add.reduce(flags.view(np.int8), axis=0, dtype=kind), np.int64)
