"""How one column speaks in a model: a natural cubic spline of its numbers, or a flag for each of its levels."""

from __future__ import annotations

import msgspec
import numpy as np

from scoring.churning.columns import Categories, Column, Flags, Floats, Numbers, Table

# Harrell, Regression Modeling Strategies, 2nd ed., table 2.3: five knots.
KNOT_QUANTILES = (0.05, 0.275, 0.5, 0.725, 0.95)
# A level with fewer rows is pooled with the other rare ones.
RARE_ROWS = 20
RARE_SHARE = 0.05
MOST_LEVELS = 60
FEW_VALUES = 6
# Numbers farther out than this many widths of the middle nine tenths are held there: what few rows
# show bends no curve, and products of two curves stay tame.
FARTHEST = 0.25
# Of the range of the numbers: knots that are closer tell nothing apart.
CLOSEST_KNOTS = 1e-3


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="curve"):
    """A natural cubic spline of a numeric column in Harrell's form: x, then a truncated cube for all but two knots.

    x is held to [low, high], what was seen, and measured in `high - low` from `low`; so are the knots.
    `means` are the columns' means, which stand in for a missing value.
    """

    column: str
    low: float
    high: float
    knots: tuple[float, ...]
    means: tuple[float, ...]

    @property
    def width(self) -> int:
        """How many columns it has."""
        return max(1, len(self.knots) - 1)

    def basis(self, table: Table) -> Floats:
        """Shape (rows, width)."""
        column = table[self.column]
        assert isinstance(column, Numbers)
        held = np.clip(column.values, self.low, self.high)
        raw = spline((held - self.low) / (self.high - self.low), self.knots)
        missing = np.isnan(held)
        if missing.any():
            raw[missing] = self.means
        return raw


class Levels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="levels"):
    """A flag for each of the listed levels (None: missing) and, if `others`, one for any further level.

    `means` are the flags' means, which stand in for a level that no flag knows.
    """

    column: str
    levels: tuple[str | None, ...]
    others: bool
    means: tuple[float, ...]
    # Known in training but without a flag of its own: the reference of a column with two levels.
    silent: tuple[str | None, ...] = ()

    @property
    def width(self) -> int:
        """How many columns it has."""
        return len(self.levels) + self.others

    def basis(self, table: Table) -> Floats:
        """Shape (rows, width)."""
        column = table[self.column]
        assert isinstance(column, Categories)
        flags = np.zeros((len(column.levels) + 1, self.width))
        place = {level: index for index, level in enumerate(self.levels)}
        for code, level in enumerate((*column.levels, None)):
            if level in place:
                flags[code, place[level]] = 1.0
            elif level in self.silent:
                continue
            elif self.others:
                flags[code, -1] = 1.0
            else:
                flags[code] = self.means
        # The last row is the missing one: codes of -1 find it.
        found: Floats = flags[column.codes]
        return found


Part = Curve | Levels


def spline(x: Floats, knots: tuple[float, ...]) -> Floats:
    """Restricted cubic spline basis, shape (rows, max(1, knots - 1)); linear beyond the outer knots.

    Harrell, Regression Modeling Strategies, 2nd ed., equation 2.25; nan stays nan.
    """
    basis = np.empty((len(x), max(1, len(knots) - 1)))
    basis[:, 0] = x
    if len(knots) < 3:
        return basis
    last, before = knots[-1], knots[-2]
    tail = np.maximum(x - last, 0.0)
    tail = tail * tail * tail
    next_tail = np.maximum(x - before, 0.0)
    next_tail = next_tail * next_tail * next_tail
    for index, knot in enumerate(knots[:-2]):
        cube = np.maximum(x - knot, 0.0)
        cube = cube * cube * cube
        share = (last - knot) / (last - before)
        basis[:, index + 1] = cube - share * next_tail + (share - 1.0) * tail
    return basis


def make_part(name: str, column: Column, *, curved: bool) -> Part | None:
    """How this column is to speak; None if there is nothing in it to learn from.

    `curved` False keeps numbers to a straight line, for small tables.
    """
    return _make_curve(name, column, curved) if isinstance(column, Numbers) else _make_levels(name, column)


def missing_of(column: Column) -> Flags:
    """Which rows have no value."""
    flags: Flags = np.isnan(column.values) if isinstance(column, Numbers) else column.codes < 0
    return flags


def rare_rows(rows: int) -> int:
    """Levels with fewer rows than this are pooled: 20, less in small tables, at least 3."""
    return min(RARE_ROWS, max(3, int(RARE_SHARE * rows)))


def _make_curve(name: str, column: Numbers, curved: bool) -> Curve | None:
    seen = column.values[~np.isnan(column.values)]
    if len(seen) == 0 or seen.min() == seen.max():
        return None
    values, counts = np.unique(seen, return_counts=True)
    low, high = float(values[0]), float(values[-1])
    if len(values) > FEW_VALUES:
        low, high = _bounds(seen)
    held = np.clip(seen, low, high)
    knots: tuple[float, ...] = ()
    if curved:
        places = (
            values[counts >= rare_rows(len(seen))] if len(values) <= FEW_VALUES
            else np.unique(np.quantile(held, KNOT_QUANTILES))
        )  # fmt: skip
        knots = _spaced((places - low) / (high - low))
    # Columns that a table of few values can't tell apart would be noise.
    while len(knots) >= 3 and np.linalg.cond(_standardised(spline((held - low) / (high - low), knots))) > 1e7:
        knots = _spaced(np.array(knots[::2]))
    means = spline((held - low) / (high - low), knots).mean(axis=0)
    return Curve(name, low, high, knots, tuple(float(mean) for mean in means))


def _spaced(places: Floats) -> tuple[float, ...]:
    """The places as knots: at least a thousandth apart, and none if fewer than three remain."""
    knots: list[float] = []
    for place in places.tolist():
        if not knots or place - knots[-1] >= CLOSEST_KNOTS:
            knots.append(place)
    return tuple(knots) if len(knots) >= 3 else ()


def _bounds(seen: Floats) -> tuple[float, float]:
    low, high = float(seen.min()), float(seen.max())
    inner_low, inner_high = (float(edge) for edge in np.quantile(seen, (0.05, 0.95)))
    width = inner_high - inner_low
    if width > 0:
        low, high = max(low, inner_low - FARTHEST * width), min(high, inner_high + FARTHEST * width)
    return low, high


def _standardised(basis: Floats) -> Floats:
    centred = basis - basis.mean(axis=0)
    result: Floats = centred / np.maximum(np.sqrt((centred * centred).mean(axis=0)), 1e-300)
    return result


def _make_levels(name: str, column: Categories) -> Levels | None:
    total, rare = len(column), rare_rows(len(column))
    counts = np.bincount(column.codes + 1, minlength=len(column.levels) + 1)
    everything: tuple[str | None, ...] = (None, *column.levels)
    present = [(int(count), level) for count, level in zip(counts, everything, strict=True) if count]
    kept = sorted((one for one in present if one[0] >= rare), key=lambda one: (-one[0], one[1] or ""))
    kept = kept[:MOST_LEVELS]
    pooled = total - sum(count for count, _ in kept)
    if not kept or (len(kept) == 1 and pooled < rare):
        return None
    if len(kept) == 2 and not pooled:
        (_, reference), (count, level) = kept
        return Levels(name, (level,), False, (count / total,), (reference,))
    others = pooled > 0
    means = [count / total for count, _ in kept] + ([pooled / total] if others else [])
    return Levels(name, tuple(level for _, level in kept), others, tuple(means))
