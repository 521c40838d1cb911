"""Signals that count whole units since an instant, such as days since the last login."""

from __future__ import annotations

from datetime import datetime
from math import ceil, floor

from rules.instants import TICK, later, span
from rules.normalise import normalise
from rules.series import is_number
from schemas.condition import Between, Compare, OneOf
from schemas.facts import Facts


def units_elapsed(since: datetime, unit_seconds: int, now: datetime) -> int:
    """Whole units of `unit_seconds` between `since` and `now`, rounded down; 0 while `since` lies ahead."""
    return max(0, (now - since) // span(unit_seconds))


def age_candidates(leaf: Compare | OneOf | Between, signal: str, facts: Facts) -> list[tuple[int, datetime]]:
    """The coming values of an age signal at which a comparison could flip, with their instants, in order.

    An age rises in whole units; a comparison with a number c can flip only where the age reaches or passes c.
    """
    since, unit_seconds = facts.ages[signal]
    current = units_elapsed(since, unit_seconds, facts.now)
    candidates: list[tuple[int, datetime]] = []
    if facts.signals.get(signal) != current:
        # A value given with a fraction becomes a whole one as soon as time passes.
        candidates.append((current, facts.now + TICK))
    numbers = [c for constant in _constants(leaf) if is_number(c := normalise(constant, "number"))]
    values = {value for c in numbers for value in (ceil(c), floor(c) + 1) if value > current}
    for value in sorted(values):
        at = later(since, span(value * unit_seconds))
        if at is not None:
            candidates.append((value, at))
    return candidates


def next_unit(signal: str, facts: Facts) -> datetime | None:
    """When an age signal takes its next value; None for other signals."""
    if signal not in facts.ages:
        return None
    since, unit_seconds = facts.ages[signal]
    current = units_elapsed(since, unit_seconds, facts.now)
    if facts.signals.get(signal) != current:
        return facts.now + TICK
    return later(since, span((current + 1) * unit_seconds))


def _constants(leaf: Compare | OneOf | Between) -> tuple[object, ...]:
    match leaf:
        case Compare():
            return (leaf.value,)
        case OneOf():
            return leaf.values
        case Between():
            return (leaf.low, leaf.high)
