"""Columns of a table as a model takes them: numbers with gaps, or categories as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Finite numbers, shape (rows,), in the column's own unit; nan is missing."""

    values: Floats

    def take(self, rows: Integers) -> Numbers:
        """These rows alone, in this order."""
        return Numbers(self.values[rows])

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """Texts as places in `levels`, shape (rows,); -1 is missing. The levels are distinct and sorted."""

    levels: tuple[str, ...]
    codes: Integers

    def take(self, rows: Integers) -> Categories:
        """These rows alone, in this order; the levels stay."""
        return Categories(self.levels, self.codes[rows])

    def __len__(self) -> int:
        return len(self.codes)


Column: TypeAlias = Numbers | Categories
Table: TypeAlias = Mapping[str, Column]


def categories_of(texts: Sequence[str | None]) -> Categories:
    """The texts as a column; None is missing."""
    levels = tuple(sorted({text for text in texts if text is not None}))
    place = {level: code for code, level in enumerate(levels)}
    codes = [-1 if text is None else place[text] for text in texts]
    return Categories(levels, np.array(codes, dtype=np.int64))


def take(table: Table, rows: Integers) -> dict[str, Column]:
    """The table with these rows alone."""
    return {name: column.take(rows) for name, column in table.items()}


def cut(column: Column, rows: slice) -> Column:
    """A run of rows, without copying."""
    if isinstance(column, Numbers):
        return Numbers(column.values[rows])
    return Categories(column.levels, column.codes[rows])


def count_rows(table: Table) -> int:
    """How many rows the columns have; they all have the same number."""
    return len(next(iter(table.values()))) if table else 0
