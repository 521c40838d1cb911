"""Conditions over a whole population at once, three-valued, on NumPy columns: the evaluator of the batch path.

Conditions share their lines: what a hundred triggers ask of one signal is worked out once. A population is
gone through in parts that fit the processor's cache, so memory stays small beside the answers. Answers are
those of `rules.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from rules.column_data import Columns, Longs, counts_between
from rules.column_leaves import Line, Truths, judge, length_of
from rules.column_series import SeriesView
from rules.likeness import without_places
from schemas.condition import Change, Condition, Crossing, EventCount, Group

ROWS_AT_ONCE = 32_768


def match_columns(
    named: Mapping[str, Condition], columns: Columns, *, rows_at_once: int = ROWS_AT_ONCE
) -> dict[str, Truths]:
    """What each condition comes to for every row, int8: 1 true, 0 false, -1 unknown."""
    plans = {name: _plan(condition) for name, condition in named.items()}
    answers = {name: np.empty(columns.n, np.int8) for name in named}
    for start in range(0, columns.n, rows_at_once):
        stop = min(start + rows_at_once, columns.n)
        part = _Part(columns.part(start, stop) if stop - start < columns.n else columns)
        for name, plan in plans.items():
            truths = part.truths(plan)
            # From the order of Kleene's logic (-1, 0, 1) to what is told (0, -1, 1), without a branch.
            np.bitwise_not(truths ^ -(truths > 0).view(np.int8), out=answers[name][start:stop])
    return answers


@dataclass(frozen=True)
class _Group:
    kind: str
    items: tuple[_Plan, ...]


@dataclass(frozen=True)
class _Leaf:
    """A line, and what it says wherever it is written; `where` is the plan of an event's."""

    key: str
    line: Line | Crossing | Change | EventCount
    where: _Plan | None = None


_Plan = _Group | _Leaf


def _plan(node: Condition) -> _Plan:
    if isinstance(node, Group):
        return _Group(node.kind, tuple(_plan(item) for item in node.items))
    where = _plan(node.where) if isinstance(node, EventCount) and node.where else None
    return _Leaf(without_places(node), node, where)


class _Part:
    """Some rows of a population, and every line's answer about them as soon as one has been asked for."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.answers: dict[str, Truths] = {}
        self.series: dict[str, SeriesView] = {}
        self.happened: dict[str, _Part] = {}

    def truths(self, plan: _Plan) -> Truths:
        """-1 false, 0 unknown, 1 true."""
        if isinstance(plan, _Leaf):
            if plan.key not in self.answers:
                self.answers[plan.key] = self.judge(plan)
            return self.answers[plan.key]
        if not plan.items:
            return np.full(self.columns.n, -1 if plan.kind == "any" else 1, np.int8)
        combine = np.minimum if plan.kind == "all" else np.maximum
        truths: Truths = reduce(combine, map(self.truths, plan.items))
        return -truths if plan.kind == "none" else truths

    def judge(self, leaf: _Leaf) -> Truths:
        match leaf.line:
            case EventCount():
                return self.count(leaf.line, leaf.where)
            case Crossing():
                return self.past(leaf.line.signal).crossed(leaf.line)
            case Change():
                return self.past(leaf.line.signal).changed(leaf.line)
            case line:
                return judge(line, self.columns)

    def past(self, signal: str) -> SeriesView:
        if signal not in self.series:
            self.series[signal] = SeriesView(self.columns, signal)
        return self.series[signal]

    def count(self, line: EventCount, where: _Plan | None) -> Truths:
        """Count what certainly is in the window and satisfies `where`, and what possibly does."""
        events = self.columns.events.get(line.name)
        if events is None:
            return np.full(self.columns.n, 1 if line.at_least <= 0 else -1, np.int8)
        if line.name not in self.happened:
            self.happened[line.name] = _Part(events.rows(self.columns.now))
        happened = self.happened[line.name]
        now = happened.columns.now
        inside = events.at <= now
        if line.within_seconds is not None:
            inside &= events.at >= now - length_of(line.within_seconds)
        if where is None:
            return _reached(counts_between(inside, events.offsets), line.at_least) * np.int8(2) - np.int8(1)
        matches = happened.truths(where)
        certain = _reached(counts_between(inside & (matches > 0), events.offsets), line.at_least)
        possible = _reached(counts_between(inside & (matches >= 0), events.offsets), line.at_least)
        return certain + possible - np.int8(1)


def _reached(counts: Longs, at_least: int) -> Truths:
    return (counts >= at_least).view(np.int8)
