"""A whole population as columns: what `rules.columns` looks at, in NumPy arrays.

A loader may fill these straight from SQL, without a `Facts` per customer; `rules.column_building` does it from
facts. Rows are customers (or, inside an event's `where`, events). Times are int64, microseconds since
1970-01-01 UTC. Whatever isn't there is missing: a signal without a column, a history without a series, an
event without occurrences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.normalise import instant_of

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Longs = NDArray[np.int64]

# What a row of a column holds.
MISSING, NUMBER, BOOL, TEXT, TIME, LIST, OTHER = range(7)

NO_INSTANT = np.iinfo(np.int64).min
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware instant, as columns hold times."""
    return (instant - _EPOCH) // _MICROSECOND


class Dictionary:
    """The different texts of a column, each known by its place."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._codes = {text: code for code, text in enumerate(self.texts)}
        self._containing: dict[str, Flags] = {}

    def code(self, text: str) -> int:
        """The place of `text`; -1 if no row has it."""
        return self._codes.get(text, -1)

    def containing(self, item: str) -> Flags:
        """Whether each text has `item` in it; worked out once, as every part of a population asks."""
        if item not in self._containing:
            self._containing[item] = np.fromiter((item in text for text in self.texts), np.bool_)
        return self._containing[item]

    @cached_property
    def instants(self) -> Longs:
        """The time that each text means; NO_INSTANT where it means none."""
        found = [instant_of(text) for text in self.texts]
        return np.array([NO_INSTANT if at is None else microseconds(at) for at in found], np.int64)


@dataclass(frozen=True)
class Column:
    """One signal of every row; `kinds` says which of the arrays holds the row's value.

    `numbers` holds NUMBER and BOOL (0 and 1), `codes` the TEXT's place in `texts`, `instants` TIME (of a date,
    its midnight); LIST rows have their words between `offsets` as places in `words_texts`. An array that no row
    needs may be None. OTHER is a value that is there and can't be compared (see `WrongType`). Numbers are
    finite and within 2^53, as `rules.normalise` leaves them.
    """

    kinds: Bytes
    numbers: Floats | None = None
    codes: Codes | None = None
    texts: Dictionary = field(default_factory=lambda: Dictionary(()))
    instants: Longs | None = None
    offsets: Longs | None = None
    words: Codes | None = None
    words_texts: Dictionary = field(default_factory=lambda: Dictionary(()))

    def part(self, start: int, stop: int) -> Column:
        """Rows `start` to `stop`; arrays are views."""
        offsets, words = self.offsets, self.words
        if offsets is not None and words is not None:
            words = words[offsets[start] : offsets[stop]]
            offsets = offsets[start : stop + 1] - offsets[start]
        return Column(
            self.kinds[start:stop],
            None if self.numbers is None else self.numbers[start:stop],
            None if self.codes is None else self.codes[start:stop],
            self.texts,
            None if self.instants is None else self.instants[start:stop],
            offsets,
            words,
            self.words_texts,
        )


@dataclass(frozen=True)
class Series:
    """The past of one signal, newest first: row i's j-th point before `now` is `values[j, i]`, taken at `at[j, i]`.

    Row i has `lengths[i]` points; below them `values` is NaN and `at` no later than above. Only numbers are points: a
    day without one is a gap, and isn't here, and neither is what lies at or after `now`. A day stands at its
    midnight, UTC. Where all rows have the same days, `at` may be one column broadcast to all.
    """

    lengths: Longs
    at: Longs
    values: Floats

    def part(self, start: int, stop: int) -> Series:
        """Rows `start` to `stop`; arrays are views."""
        return Series(self.lengths[start:stop], self.at[:, start:stop], self.values[:, start:stop])


@dataclass(frozen=True)
class Occurrences:
    """The events of one name: row i's lie from `offsets[i]` to `offsets[i + 1]`; `properties` has a column each."""

    offsets: Longs
    at: Longs
    properties: Mapping[str, Column] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Occurrences:
        """The events of rows `start` to `stop`; arrays are views."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Occurrences(
            self.offsets[start : stop + 1] - first,
            self.at[first:last],
            {name: column.part(first, last) for name, column in self.properties.items()},
        )

    def rows(self, now: Longs) -> Columns:
        """The events as rows of their own, their properties as signals, at the moment of their customer."""
        moments = now if now.ndim == 0 else np.repeat(now, np.diff(self.offsets))
        return Columns(len(self.at), moments, self.properties)


@dataclass(frozen=True)
class Columns:
    """`n` customers at `now`: one instant for all (shape ()) or each (shape (n,)); ages in signals are true then."""

    n: int
    now: Longs
    signals: Mapping[str, Column] = field(default_factory=dict)
    history: Mapping[str, Series] = field(default_factory=dict)
    events: Mapping[str, Occurrences] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Columns:
        """Rows `start` to `stop`; arrays are views."""
        return replace(
            self,
            n=stop - start,
            now=self.now if self.now.ndim == 0 else self.now[start:stop],
            signals={name: column.part(start, stop) for name, column in self.signals.items()},
            history={name: series.part(start, stop) for name, series in self.history.items()},
            events={name: events.part(start, stop) for name, events in self.events.items()},
        )


def offsets_of(lengths: Sequence[int] | NDArray[Any]) -> Longs:
    """Where each row's items begin, and the last one's end, from how many items each row has."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def counts_between(flags: Flags, offsets: Longs) -> Longs:
    """How many of each row's items are flagged."""
    totals = offsets_of(flags)
    return totals[offsets[1:]] - totals[offsets[:-1]]
