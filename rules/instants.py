"""Arithmetic on instants that can't overflow, and when something ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

# Instants are kept to the microsecond, so that is the first moment after an instant.
TICK = timedelta(microseconds=1)
_LONGEST_SECONDS = 999_999_999 * 86_400


def span(seconds: float) -> timedelta:
    """`seconds` as a time span, cut to what a time span can hold."""
    return timedelta(seconds=max(-_LONGEST_SECONDS, min(seconds, _LONGEST_SECONDS)))


def later(instant: datetime, by: timedelta) -> datetime | None:
    """`instant + by`; None where that lies outside the calendar, so never comes."""
    try:
        return instant + by
    except OverflowError:
        return None


def earliest(instants: Iterable[datetime | None]) -> datetime | None:
    """The first of those that there are."""
    return min((instant for instant in instants if instant is not None), default=None)
