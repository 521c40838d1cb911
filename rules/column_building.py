"""Columns made from facts, one `Facts` per row; what a loader from SQL would fill directly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import chain
from typing import Any

import numpy as np

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
from rules.normalise import instant_of, normalise_untyped
from rules.series import is_number
from schemas.facts import Event, Facts


def columns_of(facts: Sequence[Facts], needs: Needs) -> Columns:
    """The facts as columns, a row each in the order given; no more of them than `needs` names."""
    moments = [microseconds(one.now) for one in facts]
    now = np.array(moments[0] if len(set(moments)) == 1 else moments, np.int64)
    return Columns(
        len(facts),
        now,
        {name: column_of([one.signals.get(name) for one in facts]) for name in needs.signals},
        {name: _series(facts, name) for name in needs.history},
        {name: _occurrences(name, [one.events for one in facts]) for name in needs.events},
    )


def column_of(values: Sequence[Any]) -> Column:
    """Normalised values, None where one is missing, as a column."""
    kinds = np.fromiter(map(_kind, values), np.uint8, len(values))
    present = set(np.unique(kinds).tolist())
    numbers = codes = instants = offsets = words = None
    texts = words_texts = Dictionary(())
    if present & {NUMBER, BOOL}:
        numbers = np.fromiter(
            (float(v) if k in (NUMBER, BOOL) else 0.0 for v, k in _pairs(values, kinds)), np.float64
        )
    if TEXT in present:
        texts = Dictionary(dict.fromkeys(v for v, k in _pairs(values, kinds) if k == TEXT))
        codes = np.fromiter((texts.code(v) if k == TEXT else -1 for v, k in _pairs(values, kinds)), np.int32)
    if TIME in present:
        instants = np.fromiter((_instant(v) if k == TIME else 0 for v, k in _pairs(values, kinds)), np.int64)
    if LIST in present:
        lists = [v if k == LIST else () for v, k in _pairs(values, kinds)]
        words_texts = Dictionary(dict.fromkeys(chain.from_iterable(lists)))
        offsets = offsets_of([len(one) for one in lists])
        words = np.fromiter(map(words_texts.code, chain.from_iterable(lists)), np.int32)
    return Column(kinds, numbers, codes, texts, instants, offsets, words, words_texts)


def _pairs(values: Sequence[Any], kinds: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(values, kinds, strict=True)


def _kind(value: Any) -> int:
    if value is None:
        return MISSING
    tests: tuple[tuple[Callable[[Any], bool], int], ...] = (
        (lambda v: isinstance(v, bool), BOOL),
        (is_number, NUMBER),
        (lambda v: isinstance(v, str), TEXT),
        (lambda v: isinstance(v, date) and instant_of(v) is not None, TIME),
        (lambda v: isinstance(v, tuple), LIST),
    )
    return next((kind for test, kind in tests if test(value)), OTHER)


def _instant(value: Any) -> int:
    instant = instant_of(value)
    assert instant is not None
    return microseconds(instant)


def _series(facts: Sequence[Facts], name: str) -> Series:
    rows = []
    for one in facts:
        days = ((instant_of(day), value) for day, value in one.history.get(name, ()) if is_number(value))
        rows.append(
            [(microseconds(at), value) for at, value in days if at is not None and at < one.now][::-1]
        )
    lengths = np.array([len(row) for row in rows], np.int64)
    shape = (int(lengths.max(initial=0)), len(rows))
    at, values = np.full(shape, NO_INSTANT), np.full(shape, np.nan)
    for column, row in enumerate(rows):
        for place, (moment, value) in enumerate(row):
            at[place, column], values[place, column] = moment, value
    return Series(lengths, at, values)


def _occurrences(name: str, histories: Sequence[Iterable[Event]]) -> Occurrences:
    rows = [[event for event in events if event.name == name] for events in histories]
    events = list(chain.from_iterable(rows))
    return Occurrences(
        offsets_of([len(row) for row in rows]),
        np.array([microseconds(event.at) for event in events], np.int64),
        {
            key: column_of([normalise_untyped(event.properties.get(key)) for event in events])
            for key in sorted({key for event in events for key in event.properties})
        },
    )
