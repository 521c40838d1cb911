"""Which rows to learn from and which to predict: stratified, grouped, or forward in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoring.churning.columns import Floats, Integers

SEED = 20260101
# Customers are split in so many parts where both time and groups must not leak.
_PARTS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows to predict, and for these the rows to learn from, as places; `number` counts from 1.

    A fold of time and groups comes in several pieces with the same number.
    """

    number: int
    train: Integers
    test: Integers


def stratified(outcome: Floats, folds: int, seed: int = SEED) -> list[Fold]:
    """Every fold has its share of events."""
    generator = np.random.default_rng(seed)
    place = np.empty(len(outcome), dtype=np.int64)
    dealt = 0
    for value in (1.0, 0.0):
        rows = generator.permutation(np.flatnonzero(outcome == value))
        place[rows] = (np.arange(len(rows)) + dealt) % folds
        dealt += len(rows)
    return _by_place(place, folds)


def grouped(outcome: Floats, groups: Integers, folds: int, seed: int = SEED) -> list[Fold]:
    """No group (0…) is both learned from and predicted; groups with many events are dealt out first."""
    return _by_place(deal_groups(outcome, groups, folds, seed)[groups], folds)


def deal_groups(outcome: Floats, groups: Integers, parts: int, seed: int = SEED) -> Integers:
    """A part (0…) for each group, such that parts have about equally many events and rows."""
    count = int(groups.max()) + 1
    events = np.bincount(groups, weights=outcome, minlength=count)
    rows = np.bincount(groups, minlength=count)
    order = np.random.default_rng(seed).permutation(count)
    order = order[np.lexsort((-rows[order], -events[order]))]
    share = np.array([max(outcome.sum(), 1.0), len(outcome)]) / parts
    load = np.zeros((parts, 2))
    place = np.empty(count, dtype=np.int64)
    for group in order:
        weight = np.array([events[group], rows[group]])
        chosen = int(np.argmin(np.max((load + weight) / share, axis=1)))
        load[chosen] += weight
        place[group] = chosen
    return place


def forward(
    outcome: Floats,
    times: Floats,
    folds: int,
    *,
    gap: float = 0.0,
    groups: Integers | None = None,
    seed: int = SEED,
) -> list[Fold]:
    """The past predicts the future: `folds` blocks of later rows, each learned from all rows before it.

    `times` in any unit; rows less than `gap` before a block are not learned from, as their outcome wasn't known
    when the block began. Rows of one time stay together, so there may be fewer blocks. The first block is only
    learned from. With `groups`, no group that is predicted is learned from either.
    """
    moments, counts = np.unique(times, return_counts=True)
    before = np.cumsum(counts) - counts
    # Each moment belongs to the block in which its first row lies.
    block_of_moment = np.minimum(before * (folds + 1) // len(times), folds)
    starts = [float(moments[block_of_moment == block][0]) for block in np.unique(block_of_moment)]
    found = []
    parts = np.zeros(len(times), dtype=np.int64)
    count = 1
    if groups is not None:
        count = min(_PARTS, int(groups.max()) + 1)
        parts = deal_groups(outcome, groups, count, seed)[groups]
    for number, start in enumerate(starts[1:], start=1):
        end = starts[number + 1] if number + 1 < len(starts) else np.inf
        inside = (times >= start) & (times < end)
        past = times < start if gap == 0 else times <= start - gap
        for part in range(count):
            mine = inside & (parts == part)
            learned = past & (parts != part) if groups is not None else past
            if mine.any():
                found.append(Fold(number, np.flatnonzero(learned), np.flatnonzero(mine)))
    return found


def _by_place(place: Integers, folds: int) -> list[Fold]:
    return [
        Fold(number + 1, np.flatnonzero(place != number), np.flatnonzero(place == number))
        for number in range(folds)
        if (place == number).any()
    ]
