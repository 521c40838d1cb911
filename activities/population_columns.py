"""From the stored columns of a part of the population to those that scoring and rules work on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from rules.column_building import column_of
from rules.column_data import (
    BOOL,
    LIST,
    MISSING,
    NO_INSTANT,
    NUMBER,
    OTHER,
    TEXT,
    TIME,
    Column,
    Columns,
    Dictionary,
    Occurrences,
    Series,
    microseconds,
    offsets_of,
)
from rules.needs import Needs
from rules.normalise import normalise_untyped
from schemas.catalogue import Catalogue
from schemas.condition import Change, Condition, Crossing, leaves
from scoring.churning.columns import Flags, Floats, categories_of
from scoring.derivations import compile_derivations
from scoring.population.tallies import TallyColumns
from scoring.signal_columns import Longs, SignalColumns
from scoring.signals import DAY_SECONDS
from store.bulk import Array
from store.population_past import StoredEvents
from store.population_reading import StoredPart, StoredTallies

DAY_MICROSECONDS = DAY_SECONDS * 1_000_000


@dataclass(frozen=True)
class Given:
    """A part as scoring takes it. `wrong` are the rows, by signal, whose value is there and can't be compared."""

    signals: SignalColumns
    wrong: Mapping[str, Array]


def signal_columns(part: StoredPart, catalogue: Catalogue) -> Given:
    """The stored signals, those without a column of their own among them."""
    numbers: dict[str, Floats] = dict(part.numbers)
    texts = {name: categories_of(column) for name, column in part.texts.items()}
    lists: dict[str, list[tuple[str, ...] | None]] = {
        name: [None if one is None else tuple(one) for one in column] for name, column in part.lists.items()
    }
    wrong: dict[str, list[int]] = {}
    custom: dict[str, dict[int, Any]] = {}
    for row, values in part.custom.items():
        for name, value in values.items():
            # What is of the wrong type stands in an object, which no signal's own value is.
            if isinstance(value, dict):
                wrong.setdefault(name, []).append(row)
            elif name in catalogue.signals:
                custom.setdefault(name, {})[row] = value
    for name, by_row in custom.items():
        kind = _KINDS.get(catalogue.signals[name].type, str)
        fitting = {row: value for row, value in by_row.items() if _is_of(value, kind)}
        wrong.setdefault(name, []).extend(by_row.keys() - fitting.keys())
        if kind is str:
            texts[name] = categories_of([fitting.get(row) for row in range(part.n)])
        elif kind is list:
            lists[name] = [tuple(fitting[row]) if row in fitting else None for row in range(part.n)]
        else:
            column = numbers[name] = np.full(part.n, np.nan)
            column[list(fitting)] = [float(value) for value in fitting.values()]
    signals = SignalColumns(part.n, numbers, texts, dict(part.instants), lists)
    return Given(signals, {name: np.array(sorted(rows), np.int64) for name, rows in wrong.items() if rows})


# Times and dates that have no column of their own are kept as they are written.
_KINDS: Mapping[str, type] = {"number": float, "bool": bool, "list": list}


def _is_of(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind)


def tally_columns(names: Sequence[str], stored: StoredTallies, texts: Mapping[int, str]) -> TallyColumns:
    """The tallies as scoring takes them."""
    return TallyColumns(
        tuple(names),
        stored.row,
        stored.name,
        stored.detail,
        stored.age_days,
        stored.count,
        stored.total,
        texts,
    )


def rule_columns(
    signals: SignalColumns,
    wrong: Mapping[str, Array],
    profile: Mapping[str, Sequence[str | None]],
    needs: Needs,
    now: datetime,
    catalogue: Catalogue,
    history: Mapping[str, Array],
    happened: Mapping[str, Occurrences],
) -> Columns:
    """What conditions look at, no more than `needs` names; `history` as `store.population_reading` gives it."""
    moment = np.array(microseconds(now), np.int64)
    columns: dict[str, Column] = {}
    for name in needs.signals:
        if name in profile:
            columns[name] = column_of(profile[name])
        elif (column := _column(name, signals, wrong.get(name), catalogue)) is not None:
            columns[name] = column
    midnight = microseconds(now.replace(hour=0, minute=0, second=0, microsecond=0))
    series = {
        name: _series(grid, midnight, int(moment)) for name, grid in history.items() if name in needs.history
    }
    return Columns(signals.n, moment, columns, series, happened)


def at_later(columns: Columns, signals: SignalColumns, later: datetime, catalogue: Catalogue) -> Columns:
    """The same customers if nothing happens until `later`: ages are greater, and everything else as it is."""
    moment = microseconds(later)
    aged: dict[str, Column] = {}
    for name, base in compile_derivations(catalogue).ages:
        since = signals.instants.get(base)
        if name in columns.signals and since is not None:
            there = (since != NO_INSTANT) & (since <= moment)
            days = (moment - np.where(there, since, moment)) // DAY_MICROSECONDS
            aged[name] = Column(np.where(there, NUMBER, MISSING).astype(np.uint8), days.astype(np.float64))
    return replace(columns, now=np.array(moment, np.int64), signals={**columns.signals, **aged})


def _column(name: str, signals: SignalColumns, wrong: Array | None, catalogue: Catalogue) -> Column | None:
    found: Column | None = None
    if name in signals.numbers:
        numbers = signals.numbers[name]
        kind = BOOL if name in _bools(catalogue) else NUMBER
        found = Column(np.where(np.isnan(numbers), MISSING, kind).astype(np.uint8), numbers)
    elif name in signals.texts:
        texts = signals.texts[name]
        kinds = np.where(texts.codes < 0, MISSING, TEXT).astype(np.uint8)
        found = Column(kinds, codes=texts.codes.astype(np.int32), texts=Dictionary(texts.levels))
    elif name in signals.instants:
        instants = signals.instants[name]
        found = Column(np.where(instants == NO_INSTANT, MISSING, TIME).astype(np.uint8), instants=instants)
    elif name in signals.lists:
        listed = signals.lists[name]
        words = Dictionary(dict.fromkeys(chain.from_iterable(one or () for one in listed)))
        found = Column(
            np.array([MISSING if one is None else LIST for one in listed], np.uint8),
            offsets=offsets_of([len(one or ()) for one in listed]),
            words=np.fromiter((words.code(word) for one in listed for word in one or ()), np.int32),
            words_texts=words,
        )
    elif wrong is not None:
        found = Column(np.full(signals.n, MISSING, np.uint8))
    if found is not None and wrong is not None:
        # A total that was derived stands in the place of what was given.
        kinds = found.kinds.copy()
        kinds[wrong[kinds[wrong] == MISSING]] = OTHER
        found = replace(found, kinds=kinds)
    return found


@cache
def _bools(catalogue: Catalogue) -> frozenset[str]:
    return frozenset(name for name, signal in catalogue.signals.items() if signal.type == "bool")


def _series(grid: Array, midnight: int, now: int) -> Series:
    """Days with a number, newest first, without the gaps between them; a day stands at its midnight before now."""
    first = 0 if midnight < now else 1
    grid = grid[first:]
    days = midnight - (np.arange(len(grid)) + first) * DAY_MICROSECONDS
    there = ~np.isnan(grid)
    lengths: Longs = there.sum(axis=0)
    longest = int(lengths.max(initial=0))
    if longest == 0 or there[:longest].all():
        shape = (longest, grid.shape[1])
        return Series(lengths, np.broadcast_to(days[:longest, None], shape), grid[:longest])
    values, at = np.full((longest, grid.shape[1]), np.nan), np.full((longest, grid.shape[1]), NO_INSTANT)
    line, row = np.nonzero(there)
    place = (np.cumsum(there, axis=0) - 1)[line, row]
    values[place, row] = grid[line, row]
    at[place, row] = days[line]
    return Series(lengths, at, values)


def look_back(conditions: Iterable[Condition], signals: SignalColumns, recent: Mapping[str, Array]) -> Flags:
    """Whose answers may depend on more of the past than the `recent` days, by what conditions ask of history.

    Whether a value that is beyond a level crossed it is told by the last day on which it wasn't; whether it rearmed in
    between, by the crossing before. Of a change the days of its window matter. And of whoever has no recent day at all,
    whether there is any.
    """
    wanted = np.zeros(signals.n, np.bool_)
    if not recent:
        return wanted
    highest = {name: np.fmax.reduce(grid) for name, grid in recent.items()}
    lowest = {name: np.fmin.reduce(grid) for name, grid in recent.items()}
    for found in highest.values():
        wanted |= np.isnan(found)
    for line in leaves(conditions):
        if isinstance(line, Crossing) and (numbers := signals.numbers.get(line.signal)) is not None:
            below = line.direction == "below"
            beyond = numbers < line.level if below else numbers > line.level
            extreme = highest[line.signal] if below else lowest[line.signal]
            all_along = extreme < line.level if below else extreme > line.level
            wanted |= beyond & all_along if line.rearm is None else beyond
        elif isinstance(line, Change) and line.within_seconds > DAY_SECONDS * (_days(recent) - 1):
            wanted[:] = True
    return wanted


def _days(recent: Mapping[str, Array]) -> int:
    return min(len(grid) for grid in recent.values())


def occurrences(
    names: Sequence[str], stored: StoredEvents, n: int, keys: Mapping[str, Collection[str]]
) -> dict[str, Occurrences]:
    """What happened, by name, from what is in order of name and row; `keys` are the properties that are looked at."""
    found: dict[str, Occurrences] = {}
    ends = np.searchsorted(stored.name, np.arange(len(names)), side="right")
    start = 0
    for place, name in enumerate(names):
        rows = slice(start, start := int(ends[place]))
        told = [one or {} for one in stored.properties[rows]]
        found[name] = Occurrences(
            offsets_of(np.bincount(stored.row[rows], minlength=n)),
            stored.at[rows],
            {key: _property(key, told) for key in sorted(keys.get(name, ()))},
        )
    return found


def _property(key: str, told: Iterable[Mapping[str, Any]]) -> Column:
    return column_of([normalise_untyped(one.get(key)) for one in told])
