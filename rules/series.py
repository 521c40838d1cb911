"""Crossings and changes of a signal, from its stored days and its value at `now`.

A day's value stands at the day's midnight, UTC. Only what lies before `now` is earlier; the current value
stands at `now` itself. Days without a number are gaps, as if nothing were known of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import TypeGuard

from rules.instants import TICK, earliest, later, span
from rules.kleene import Truth
from rules.normalise import instant_of
from schemas.condition import Change, Crossing
from schemas.facts import Facts

Point = tuple[datetime, int | float]

# Differences of decimals are compared to this many places: a rise from 0.4 to 0.7 is one of 0.3.
PLACES = 9


def crossed(leaf: Crossing, facts: Facts) -> Truth:
    """Whether the signal's last crossing counts, still stands and has stood long enough; unknown without a
    past.
    """
    since = _standing_since(leaf, facts)
    return since if isinstance(since, bool) or since is None else facts.now - since >= span(leaf.for_seconds)


def crossing_changes_at(leaf: Crossing, facts: Facts) -> datetime | None:
    """When the passing of time alone may next change `crossed`."""
    since = _standing_since(leaf, facts)
    held = later(since, span(leaf.for_seconds)) if isinstance(since, datetime) else None
    return earliest([held if held and held > facts.now else None, _next_point(leaf.signal, facts)])


def changed(leaf: Change, facts: Facts) -> Truth:
    """Whether the value is now far enough from the extreme of the window; unknown without an earlier value in
    it.
    """
    current, window = _window(leaf, facts)
    if current is None or not window:
        return None
    return any(far_enough(leaf, value, current) for _, value in window)


def change_changes_at(leaf: Change, facts: Facts) -> datetime | None:
    """When the passing of time alone may next change `changed`."""
    current, window = _window(leaf, facts)
    if current is None:
        return None
    deciding = [at for at, value in window if far_enough(leaf, value, current)] or [at for at, _ in window]
    leaves = later(max(deciding), span(leaf.within_seconds) + TICK) if deciding else None
    return earliest([leaves, _next_point(leaf.signal, facts)])


def _standing_since(leaf: Crossing, facts: Facts) -> datetime | Truth:
    """When the crossing that counts took place; False where there is none, None where that can't be known."""
    current = facts.signals.get(leaf.signal)
    earlier = earlier_points(leaf.signal, facts)
    if not is_number(current) or not earlier:
        return None
    sign = -1 if leaf.direction == "below" else 1
    level = sign * leaf.level
    since: datetime | None = None
    counts = first = True
    beyond = sign * earlier[0][1] > level
    rearmed = False
    for at, value in [*earlier[1:], (facts.now, current)]:
        was_beyond, beyond = beyond, sign * value > level
        if beyond and not was_beyond:
            counts = first or leaf.rearm is None or rearmed
            since, first, rearmed = at, False, False
        else:
            since = since if beyond else None
            rearmed = rearmed or (leaf.rearm is not None and sign * value < sign * leaf.rearm)
    return since if since is not None and counts else False


def _window(leaf: Change, facts: Facts) -> tuple[int | float | None, Sequence[Point]]:
    current = facts.signals.get(leaf.signal)
    if not is_number(current):
        return None, ()
    length = span(leaf.within_seconds)
    earlier = earlier_points(leaf.signal, facts)
    return current, [point for point in earlier if facts.now - point[0] <= length]


def far_enough(leaf: Change, before: int | float, current: int | float) -> bool:
    """Whether `current` lies as far from `before` as the line asks."""
    moved = before - current if leaf.direction == "drop" else current - before
    return round(moved, PLACES) >= leaf.by


def earlier_points(signal: str, facts: Facts) -> list[Point]:
    """The signal's stored numbers before `now`, in order of time."""
    now = facts.now
    return [
        (at, value)
        for day, value in facts.history.get(signal, ())
        if is_number(value) and (at := _instant_of_day(day)) is not None and at < now
    ]


@lru_cache(maxsize=4096)
def _instant_of_day(day: date) -> datetime | None:
    return instant_of(day)


def _next_point(signal: str, facts: Facts) -> datetime | None:
    """When the next stored day becomes an earlier one: the moment after its instant."""
    ahead = [at for day, _ in facts.history.get(signal, ()) if (at := instant_of(day)) and at >= facts.now]
    return later(min(ahead), TICK) if ahead else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a normalised value is a number (a boolean is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)
