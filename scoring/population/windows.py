"""Windowed signals of many customers, in one pass over their tallies; `scoring.signals` says what they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scoring.churning.columns import Floats, Integers
from scoring.derivations import COUNT, DAYS, DETAILS, MEASURE, DerivationPlan
from scoring.population.details import count_details, list_details
from scoring.population.tallies import NO_DETAIL_CODE, UNMEASURED_CODE, TallyColumns

_WORD_BITS = 8


@dataclass(frozen=True, slots=True)
class Windows:
    """Values by signal, a row each; nan is missing. `lists` has those that were asked for."""

    numbers: Mapping[str, Floats]
    lists: Mapping[str, list[tuple[str, ...] | None]]


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """What a tally does, by name and age: looked up at `name * width + min(age, width - 1)`.

    `kinds` is which of the `members` counts it adds to, `words` have a bit for each of the other `slots` it reaches.
    """

    width: int
    kinds: npt.NDArray[np.intp]
    members: tuple[frozenset[int], ...]
    words: tuple[npt.NDArray[np.uint8], ...]
    slots: tuple[int, ...]
    spans: Mapping[int, int]


@lru_cache(maxsize=64)
def _compile(plan: DerivationPlan, names: tuple[str, ...], wanted: frozenset[int]) -> _Tables:
    width = plan.horizon_days + 1
    members: dict[frozenset[int], int] = {frozenset(): 0}
    kinds = np.zeros(len(names) * width, np.intp)
    others = tuple(slot for slot, kind in enumerate(plan.kinds) if kind != COUNT and slot in wanted)
    words = [np.zeros(len(names) * width, np.uint8) for _ in range(0, len(others), _WORD_BITS)]
    places = {slot: place for place, slot in enumerate(others)}
    spans: dict[int, int] = {}
    for code, name in enumerate(names):
        for reached_slot in plan.slots.get(name, ()):
            spans[reached_slot.position] = reached_slot.last
        for age in range(plan.horizon_days):
            reached = plan.reach.get((name, age), ())
            counts = frozenset(slot for kind, slot in reached if kind == COUNT and slot in wanted)
            kinds[code * width + age] = members.setdefault(counts, len(members))
            for kind, slot in reached:
                if kind != COUNT and slot in wanted:
                    word, bit = divmod(places[slot], _WORD_BITS)
                    words[word][code * width + age] |= 1 << bit
    return _Tables(width, kinds, tuple(members), tuple(words), others, spans)


def read_windows(
    plan: DerivationPlan, tallies: TallyColumns, n: int, *, lists: Collection[str] = ()
) -> Windows:
    """Every windowed signal of `n` customers; of those that are lists only the ones named in `lists`."""
    readings = [one for one in plan.readings if one.form != "recent" or one.signal in lists]
    wanted = frozenset(one.slot for one in readings)
    wanted |= frozenset(one.other for one in readings if one.form == "drop_percent")
    tables = _compile(plan, tallies.names, wanted)
    # Seen as unsigned, days after today are older than anything.
    ages = np.minimum(tallies.age_days.view(np.uint16), np.uint16(tables.width - 1))
    cells = tallies.name.astype(np.intp)
    cells *= tables.width
    cells += ages
    counts = _count(tables, tallies, cells, n)
    means: dict[int, tuple[Floats, Floats]] = {}
    numbers: dict[str, Floats] = {}
    listed: dict[str, list[tuple[str, ...] | None]] = {}
    zeros = np.zeros(n)
    words = [table[cells] for table in tables.words]
    for place, slot in enumerate(tables.slots):
        word, bit = divmod(place, _WORD_BITS)
        chosen = np.flatnonzero((words[word] & np.uint8(1 << bit)) != 0)
        kind = plan.kinds[slot]
        if kind == DAYS:
            counts[slot] = _count_days(tallies.row[chosen], ages[chosen], n, tables.spans.get(slot, 0))
        elif kind == MEASURE:
            means[slot] = _measure(tallies, chosen, n)
        elif kind == DETAILS:
            details = tallies.detail[chosen]
            if not details.all():
                named = details != NO_DETAIL_CODE
                chosen, details = chosen[named], details[named]
            rows = tallies.row[chosen]
            own = [one for one in readings if one.slot == slot]
            distinct = [one for one in own if one.form == "distinct"]
            core = [code for code, text in tallies.texts.items() if text in plan.core_features]
            numbers |= count_details(rows, details, n, distinct, core) if distinct else {}
            for one in own:
                if one.form == "recent":
                    days = tallies.age_days[chosen]
                    listed[one.signal] = list_details(rows, details, days, n, one.keep, tallies.texts)
    for one in readings:
        found = counts.get(one.slot, zeros)
        if one.form == "count":
            numbers[one.signal] = (found > 0).astype(np.float64) if one.flag else found
        elif one.form == "days_with":
            numbers[one.signal] = found
        elif one.form == "mean":
            measured, total = means[one.slot]
            numbers[one.signal] = np.divide(total, measured, out=np.full(n, np.nan), where=measured != 0)
        elif one.form == "drop_percent":
            before = counts.get(one.other, zeros)
            share = np.divide(100 * (before - found), before, out=np.full(n, np.nan), where=before != 0)
            numbers[one.signal] = np.floor(share + 0.5)
    return Windows(numbers, listed)


def _count(tables: _Tables, tallies: TallyColumns, cells: Integers, n: int) -> dict[int, Floats]:
    """Events by slot. Tallies that add to the same slots are summed together first."""
    width = len(tables.members)
    if width == 1:
        return {}
    kinds = tables.kinds[cells]
    kinds += tallies.row * np.intp(width)
    sums = _sum(kinds, tallies.count, n * width).reshape(n, width)
    counted: dict[int, Floats] = {}
    for place, slots in enumerate(tables.members):
        for slot in slots:
            counted[slot] = counted[slot] + sums[:, place] if slot in counted else sums[:, place].copy()
    return counted


def _count_days(rows: npt.NDArray[np.int32], ages: npt.NDArray[np.uint16], n: int, days: int) -> Floats:
    """On how many different days each customer has an entry."""
    seen = np.zeros(days * n, np.bool_)
    places = ages.astype(np.intp)
    places *= n
    places += rows
    seen[places] = True
    days_seen: npt.NDArray[np.uint16] = seen.reshape(days, n).sum(axis=0, dtype=np.uint16)
    return days_seen.astype(np.float64)


def _measure(tallies: TallyColumns, chosen: Integers, n: int) -> tuple[Floats, Floats]:
    """How many events were measured and what that came to, added up in the order of the entries."""
    chosen = chosen[tallies.detail[chosen] != UNMEASURED_CODE]
    rows = tallies.row[chosen]
    return _sum(rows, tallies.count[chosen], n), _sum(rows, tallies.total[chosen], n)


def _sum(places: npt.NDArray[Any], amounts: npt.NDArray[Any], n: int) -> Floats:
    # Without entries NumPy counts in whole numbers.
    return np.bincount(places, amounts, minlength=n).astype(np.float64, copy=False)
