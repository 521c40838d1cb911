"""Rules that people can read ("minutes > 240 and plan is no"), grown where a model still errs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from scoring.churning.columns import Categories, Flags, Floats, Integers, Numbers, Table
from scoring.churning.solving import sigmoid

BINS = 32
DEPTH = 3
# A rule must speak of at least so many customers, and leave as many out.
SMALLEST_SUPPORT = 10
_RIDGE = 4.0
_RATE = 0.5


class Above(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="above"):
    """The number is above a bound, or, turned round, at or below it; a missing number is neither."""

    column: str
    bound: float
    turned: bool = False

    def holds(self, table: Table) -> Flags:
        """Per row."""
        column = table[self.column]
        assert isinstance(column, Numbers)
        with np.errstate(invalid="ignore"):
            flags: Flags = column.values <= self.bound if self.turned else column.values > self.bound
        return flags

    def __str__(self) -> str:
        return f"{self.column} {'<=' if self.turned else '>'} {self.bound:.6g}"


class Is(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="is"):
    """The category is this level (None: missing), or, turned round, any other."""

    column: str
    level: str | None
    turned: bool = False

    def holds(self, table: Table) -> Flags:
        """Per row."""
        column = table[self.column]
        assert isinstance(column, Categories)
        code = -1 if self.level is None else -2
        if self.level in column.levels:
            code = column.levels.index(self.level)
        flags: Flags = column.codes != code if self.turned else column.codes == code
        return flags

    def __str__(self) -> str:
        level = "missing" if self.level is None else self.level
        return f"{self.column} is {'not ' if self.turned else ''}{level}"


Condition = Above | Is


class Conjunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...]

    def holds(self, table: Table) -> Flags:
        """Per row."""
        flags = self.conditions[0].holds(table)
        for condition in self.conditions[1:]:
            flags = flags & condition.holds(table)
        return flags

    def __str__(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """A table cut into bins: codes of shape (columns, rows), and what separates them.

    A number's bin says how many of its bounds it exceeds, and comes after all of them where it is missing; a
    category's bin is its place among `levels`.
    """

    names: tuple[str, ...]
    codes: Integers
    bounds: Mapping[str, Floats] = field(default_factory=dict)
    levels: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    width: int = BINS + 2


def bin_table(table: Table) -> Binned:
    """Numbers by quantiles, categories by their most frequent levels (the rest can't be asked for by name)."""
    codes, bounds, levels = [], {}, {}
    for name, column in table.items():
        if isinstance(column, Numbers):
            bounds[name] = _bounds(column)
            code = np.searchsorted(bounds[name], column.values, side="left")
            code[np.isnan(column.values)] = BINS + 1
        else:
            code, levels[name] = _bin_levels(column)
        codes.append(code)
    return Binned(tuple(table), np.array(codes, dtype=np.int64).reshape(len(codes), -1), bounds, levels)


def grow(binned: Binned, outcome: Floats, log_odds: Floats, count: int) -> list[Conjunction]:
    """At most `count` rules, the most useful first, each found where the ones before still err.

    Boosting with Newton steps (Friedman, 2001): a tree of three questions is grown on the gradient, its best node
    becomes a rule, and the log-odds move by half of what the rule would like.
    """
    eta = log_odds.copy()
    found: list[Conjunction] = []
    seen: set[tuple[Condition, ...]] = set()
    for _ in range(2 * count):
        if len(found) == count:
            break
        probability = sigmoid(eta)
        best = _best_node(binned, outcome - probability, probability * (1.0 - probability))
        if best is None:
            break
        conditions, rows, step = best
        eta[rows] += _RATE * step
        key = tuple(sorted(conditions, key=str))
        if key not in seen:
            seen.add(key)
            found.append(Conjunction(key))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    conditions: tuple[Condition, ...]
    rows: Integers
    gradient: float
    curvature: float

    def worth(self, price: float) -> float:
        """What it would gain (a χ² of one degree), less the price of each of its conditions."""
        return self.gradient * self.gradient / (self.curvature + _RIDGE) - price * len(self.conditions)


def _best_node(
    binned: Binned, gradient: Floats, curvature: Floats
) -> tuple[tuple[Condition, ...], Integers, float] | None:
    if not binned.names:
        return None
    nodes = [_Node((), np.arange(len(gradient)), float(gradient.sum()), float(curvature.sum()))]
    best: _Node | None = None
    # Risk inflation (Foster and George, 1994): the best of so many questions gains 2·log(questions) by chance alone.
    price = 2.0 * float(np.log(len(binned.names) * BINS))
    for _ in range(DEPTH):
        children = [child for node in nodes for child in _split(binned, node, gradient, curvature)]
        for child in children:
            if best is None or child.worth(price) > best.worth(price) + 1e-9:
                best = child
        nodes = children
    if best is None or best.worth(price) < 0:
        return None
    return _tidy(best.conditions), best.rows, best.gradient / (best.curvature + _RIDGE)


def _split(binned: Binned, node: _Node, gradient: Floats, curvature: Floats) -> list[_Node]:
    rows, width = node.rows, binned.width
    if len(rows) < 2 * SMALLEST_SUPPORT:
        return []
    codes = binned.codes[:, rows] + (np.arange(len(binned.names)) * width)[:, None]
    flat = codes.ravel()
    size = width * len(binned.names)
    shape = (len(binned.names), width)
    many = len(binned.names)
    counts = np.bincount(flat, minlength=size).reshape(shape)
    gradients = np.bincount(flat, weights=np.tile(gradient[rows], many), minlength=size).reshape(shape)
    curvatures = np.bincount(flat, weights=np.tile(curvature[rows], many), minlength=size).reshape(shape)
    numeric = np.array([name in binned.bounds for name in binned.names])[:, None]
    # For numbers everything up to a bound, for categories one level, against the rest.
    left = [np.where(numeric, np.cumsum(sums, axis=1), sums) for sums in (counts, gradients, curvatures)]
    inside, outside = left[0], len(rows) - left[0]
    worth = _worth(left[1], left[2]) + _worth(node.gradient - left[1], node.curvature - left[2])
    allowed = (inside >= SMALLEST_SUPPORT) & (outside >= SMALLEST_SUPPORT)
    for place, name in enumerate(binned.names):
        last = len(binned.bounds[name]) if name in binned.bounds else len(binned.levels[name])
        allowed[place, last:] = False
    worth = np.where(allowed, worth, -np.inf)
    place, cut = divmod(int(np.argmax(worth)), width)
    if not allowed[place, cut] or worth[place, cut] <= node.worth(0.0):
        return []
    name = binned.names[place]
    if name in binned.bounds:
        bound = float(binned.bounds[name][cut])
        inner: Condition = Above(name, bound, turned=True)
        outer: Condition = Above(name, bound)
        chosen = binned.codes[place, rows] <= cut
        with_missing = binned.codes[place, rows] == BINS + 1
    else:
        level = binned.levels[name][cut]
        inner, outer = Is(name, level), Is(name, level, turned=True)
        chosen = binned.codes[place, rows] == cut
        with_missing = np.zeros(len(rows), dtype=bool)
    children = []
    for condition, mask in ((inner, chosen), (outer, ~chosen & ~with_missing)):
        mine = rows[mask]
        if len(mine) >= SMALLEST_SUPPORT:
            sums = float(gradient[mine].sum()), float(curvature[mine].sum())
            children.append(_Node((*node.conditions, condition), mine, *sums))
    return children


def _worth(gradient: Floats, curvature: Floats) -> Floats:
    worth: Floats = gradient * gradient / (curvature + _RIDGE)
    return worth


def _tidy(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The same without what a later condition on the same column and side already says."""
    kept: dict[tuple[object, ...], Condition] = {}
    for condition in conditions:
        kept[
            (condition.column, condition.turned)
            if isinstance(condition, Above)
            else (condition.column, condition.level, condition.turned)
        ] = condition
    return tuple(kept.values())


def _bounds(column: Numbers) -> Floats:
    seen = column.values[~np.isnan(column.values)]
    values = np.unique(seen)
    if len(values) > BINS:
        values = np.append(
            np.unique(np.quantile(seen, np.arange(1, BINS) / BINS, method="lower")), seen.max()
        )
    # Everybody is at or below the highest: no question.
    below: Floats = values[values < values[-1]]
    return below


def _bin_levels(column: Categories) -> tuple[Integers, tuple[str | None, ...]]:
    counts = np.bincount(column.codes + 1, minlength=len(column.levels) + 1)
    order = sorted(np.flatnonzero(counts >= SMALLEST_SUPPORT), key=lambda code: (-counts[code], code))[:BINS]
    place = np.full(len(counts), BINS + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    every: tuple[str | None, ...] = (None, *column.levels)
    return place[column.codes + 1], tuple(every[code] for code in order)
