"""What in a table can't or mustn't be learned from: constants, twins, identifiers, leaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoring.churning.columns import Categories, Column, Flags, Floats, Integers, Numbers, Table
from scoring.churning.measures import area_under_curve
from scoring.churning.parts import MOST_LEVELS, missing_of, rare_rows

# Two numbers that correlate more than this say the same.
TWIN_CORRELATION = 0.995
# A column that alone ranks this well is hardly something known beforehand.
SUSPICIOUS_AUC = 0.97
CERTAIN_AUC = 0.999
_FEW = 10
_BINS = 32
_LOOK_ROWS = 50_000

Kind = Literal["constant", "twin", "identifier", "leak", "suspicious", "levels"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a column that its owner should know; `left_out` if the model does without it."""

    column: str
    kind: Kind
    message: str
    left_out: bool


def inspect(table: Table, outcome: Floats, *, first: str | None = None) -> tuple[list[str], list[Note]]:
    """The columns to learn from, sorted by name, and what was noticed on the way.

    Of twins the first by name stays, but before all others the column `first`.
    """
    notes: list[Note] = []
    kept: list[str] = []
    for name in sorted(table):
        found = _look_at(name, table[name], outcome)
        if found is not None:
            notes.append(found)
        if found is None or not found.left_out:
            kept.append(name)
    twins = _twins({name: table[name] for name in sorted(kept, key=lambda name: (name != first, name))})
    notes += twins
    gone = {note.column for note in twins}
    return [name for name in kept if name not in gone], notes


def _look_at(name: str, column: Column, outcome: Floats) -> Note | None:
    missing = missing_of(column)
    rows = len(missing)
    seen = rows - int(missing.sum())
    if seen == 0:
        return Note(name, "constant", "has no value at all", left_out=True)
    distinct = _count_values(column)
    if distinct == 1 and min(seen, rows - seen) < rare_rows(rows):
        return Note(name, "constant", "has one value only", left_out=True)
    if distinct == seen and seen > _FEW and _names_an_id(name):
        return Note(name, "identifier", "is different in every row and called an id", left_out=True)
    if isinstance(column, Categories) and distinct > max(MOST_LEVELS, seen // 2):
        return Note(name, "identifier", f"has {distinct:,} different texts in {seen:,} rows", left_out=True)
    strength = _strength(column, outcome)
    if strength >= CERTAIN_AUC and (
        distinct + missing.any() <= _FEW or _strength_of(missing, outcome) >= CERTAIN_AUC
    ):
        return Note(name, "leak", f"tells the label by itself (AUC {strength:.3f})", left_out=True)
    if strength >= SUSPICIOUS_AUC:
        return Note(
            name, "suspicious", f"all but tells the label by itself (AUC {strength:.3f})", left_out=False
        )
    if isinstance(column, Categories) and distinct > MOST_LEVELS:
        return Note(
            name, "levels", f"has {distinct:,} levels; all but the {MOST_LEVELS} most frequent are pooled",
            left_out=False,
        )  # fmt: skip
    return None


def _count_values(column: Column) -> int:
    if isinstance(column, Numbers):
        return len(np.unique(column.values[~np.isnan(column.values)]))
    return len(np.unique(column.codes[column.codes >= 0]))


def _names_an_id(name: str) -> bool:
    return re.search(r"(^|_|\b)(id|uuid|guid|rownames?|row_?number)$|[a-z]I[dD]$", name) is not None or (
        name.lower() in ("", "id", "index", "unnamed: 0")
    )


def _strength(column: Column, outcome: Floats) -> float:
    """The AUC of the column alone: of its order, or of what the other rows with the same value say."""
    if isinstance(column, Categories):
        return _strength_of(column.codes + 1, outcome)
    missing = np.isnan(column.values)
    edges = np.unique(np.nanquantile(column.values, np.arange(1, _BINS) / _BINS, method="lower"))
    bins = np.where(missing, _BINS + 1, np.searchsorted(edges, column.values, side="left"))
    ordered = area_under_curve(outcome[~missing], column.values[~missing]) if not missing.any() else None
    return max(_strength_of(bins, outcome), 0.0 if ordered is None else max(ordered, 1.0 - ordered))


def _strength_of(values: Integers | Flags, outcome: Floats) -> float:
    codes = values.astype(np.int64)
    events = np.bincount(codes, weights=outcome)
    rows = np.bincount(codes)
    share = outcome.mean()
    # Each row is judged by the others alone, else a thousand levels would seem to tell everything.
    score = (events[codes] - outcome + share) / rows[codes]
    return area_under_curve(outcome, score) or 0.0


def _twins(table: Table) -> list[Note]:
    numeric = [name for name, column in table.items() if isinstance(column, Numbers)]
    notes = []
    if len(numeric) > 1:
        notes += _numeric_twins(table, numeric)
    texts = [name for name, column in table.items() if isinstance(column, Categories)]
    for place, name in enumerate(texts):
        for other in texts[:place]:
            if _same_partition(table[other], table[name]):
                notes.append(Note(name, "twin", f"says the same as {other}", left_out=True))
                break
    return notes


def _numeric_twins(table: Table, names: Sequence[str]) -> list[Note]:
    columns = []
    for name in names:
        column = table[name]
        assert isinstance(column, Numbers)
        values = column.values[:_LOOK_ROWS]
        missing = np.isnan(values)
        mean = values[~missing].mean() if not missing.all() else 0.0
        filled = np.where(missing, mean, values) - mean
        # By the largest first: squares of very large or small numbers are none.
        filled /= np.abs(filled).max() or 1.0
        length = np.sqrt((filled * filled).sum())
        columns.append(filled / length if length > 0 else np.zeros(len(filled)))
    correlation = np.array(columns) @ np.array(columns).T
    notes: list[Note] = []
    kept: list[int] = []
    for place, name in enumerate(names):
        twin = next((other for other in kept if abs(correlation[place, other]) > TWIN_CORRELATION), None)
        if twin is None:
            kept.append(place)
        else:
            message = f"says the same as {names[twin]} (correlation {correlation[place, twin]:.4f})"
            notes.append(Note(name, "twin", message, left_out=True))
    return notes


def _same_partition(one: Column, other: Column) -> bool:
    assert isinstance(one, Categories)
    assert isinstance(other, Categories)
    if len(np.unique(one.codes)) != len(np.unique(other.codes)):
        return False
    joint = one.codes * (len(other.levels) + 1) + other.codes
    return len(np.unique(joint)) == len(np.unique(one.codes))
