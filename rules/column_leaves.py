"""Conditions' lines about a signal's present value, over a whole column at once.

Answers are int8: -1 false, 0 unknown, 1 true, so that Kleene's `all` is the minimum, `any` the maximum, and
`not` the sign. They are those of `rules.reference`, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.column_data import (
    BOOL,
    LIST,
    MISSING,
    NO_INSTANT,
    NUMBER,
    TEXT,
    TIME,
    Column,
    Columns,
    Flags,
    Floats,
    Longs,
)
from rules.instants import span
from rules.normalise import LARGEST_NUMBER
from schemas.condition import Age, Between, Compare, Contains, OneOf, Presence, Scalar

Truths = NDArray[np.int8]
Line = Compare | OneOf | Between | Age | Presence | Contains

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
}
_MICROSECONDS = 1_000_000
# No two instants of the calendar lie further apart, and sums of both still fit 64 bits.
_LONGEST = 2**61


def judge(line: Line, columns: Columns) -> Truths:
    """What `line` comes to for every row."""
    column = columns.signals.get(line.signal)
    if column is None:
        absent = 0 if not isinstance(line, Presence) else -1 if line.present else 1
        return np.full(columns.n, absent, np.int8)
    match line:
        case Compare():
            return _compare(line, column)
        case OneOf():
            return _one_of(line, column)
        case Between():
            if column.numbers is None:
                return unknown(columns.n)
            low, high = exact(line.low), exact(line.high)
            return answered((column.numbers >= low) & (column.numbers <= high), column.kinds == NUMBER)
        case Age():
            return _aged(line, column, columns.now)
        case Presence():
            there = column.kinds != MISSING
            return _signed(there if line.present else ~there)
        case Contains():
            return _contains(line.item, column)


def unknown(n: int) -> Truths:
    """An answer that nobody knows, n times."""
    return np.zeros(n, np.int8)


def answered(hits: Flags, valid: Flags) -> Truths:
    """True where it hits, false where it doesn't, unknown where it isn't valid."""
    return _signed(hits) * valid.view(np.int8)


def exact(number: int | float) -> float:
    """A constant as the float that compares with every value as `number` does: values lie within 2^53."""
    return (
        float(number)
        if -LARGEST_NUMBER <= number <= LARGEST_NUMBER
        else float("inf" if number > 0 else "-inf")
    )


def length_of(seconds: int) -> int:
    """`seconds` in microseconds, cut to what no distance of two instants exceeds."""
    return min(int(span(seconds).total_seconds()) * _MICROSECONDS, _LONGEST)


def numbers_of(column: Column | None) -> tuple[Floats, Flags] | None:
    """A column's numbers, and where there are any; None if nowhere."""
    return None if column is None or column.numbers is None else (column.numbers, column.kinds == NUMBER)


def _signed(hits: Flags) -> Truths:
    return (hits.view(np.int8) << 1) - np.int8(1)


def _compare(line: Compare, column: Column) -> Truths:
    operator = _OPERATORS[line.op]
    if isinstance(line.value, bool | str):
        if line.op not in ("eq", "ne"):
            return unknown(len(column.kinds))
        truths = _equal_any([line.value], column)
        return truths if line.op == "eq" else -truths
    if column.numbers is None:
        return unknown(len(column.kinds))
    return answered(operator(column.numbers, exact(line.value)), column.kinds == NUMBER)


def _one_of(line: OneOf, column: Column) -> Truths:
    """Each row is compared with the constants of its own kind; the kinds' answers are unknown elsewhere."""
    truths = unknown(len(column.kinds))
    flags = [constant for constant in line.values if isinstance(constant, bool)]
    texts = [constant for constant in line.values if isinstance(constant, str)]
    numbers = [constant for constant in line.values if not isinstance(constant, bool | str)]
    for constants in (flags, texts, numbers):
        if constants:
            truths = truths + _equal_any(constants, column)
    return truths


def _equal_any(constants: Sequence[Scalar], column: Column) -> Truths:
    """Whether each row equals one of the constants, which are of one kind."""
    values: NDArray[Any] | None = column.numbers
    kind = BOOL if isinstance(constants[0], bool) else TEXT if isinstance(constants[0], str) else NUMBER
    if kind == TEXT:
        values = column.codes
    wanted = [column.texts.code(one) if isinstance(one, str) else exact(one) for one in constants]
    if values is None:
        return unknown(len(column.kinds))
    hits = values == wanted[0]
    for value in wanted[1:]:
        hits |= values == value
    return answered(hits, column.kinds == kind)


def _aged(line: Age, column: Column, now: Longs) -> Truths:
    n = len(column.kinds)
    instants, valid = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    if column.instants is not None:
        valid = column.kinds == TIME
        instants = column.instants
    if column.codes is not None and len(column.texts.texts):
        # Texts that say a time are times; -1, no text, picks any entry and is masked.
        said = column.texts.instants[column.codes]
        says = (column.kinds == TEXT) & (said != NO_INSTANT)
        instants, valid = np.where(says, said, instants), valid | says
    past, length = now - np.where(valid, instants, 0), length_of(line.seconds)
    match line.op:
        case "older_than" | "overdue_by":
            hits = past > length
        case "within":
            hits = (past >= 0) & (past <= length)
        case "due_within":
            hits = (past <= 0) & (past >= -length)
    return answered(hits, valid)


def _contains(item: str, column: Column) -> Truths:
    truths = unknown(len(column.kinds))
    if column.codes is not None and len(column.texts.texts):
        hits = column.texts.containing(item)[column.codes]
        truths = truths + answered(hits, column.kinds == TEXT)
    if column.offsets is not None and column.words is not None:
        found = np.flatnonzero(column.words == column.words_texts.code(item))
        hits = np.zeros(len(column.kinds), np.bool_)
        hits[np.searchsorted(column.offsets, found, side="right") - 1] = True
        truths = truths + answered(hits, column.kinds == LIST)
    return truths
