"""Where a customer's health stands among those of the same segment, plan and band of account age."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# Where bands of account age begin.
AGE_BANDS_DAYS = (30, 90, 180, 365, 730)


# Segment, plan, band of account age; None: it isn't known.
Key = tuple[str | None, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Place:
    """In which cohort a customer is counted, and with which score."""

    cohort: Key
    score: float | None


def band_of(signed_up_at: datetime | None, now: datetime) -> int | None:
    """The band of account age at `now`, 0 before the first of AGE_BANDS_DAYS; None: it isn't known since when."""
    if signed_up_at is None:
        return None
    return bisect_right([timedelta(days=days) for days in AGE_BANDS_DAYS], now - signed_up_at)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The others of a cohort: how many, their median, and what per cent score less (those who score the same: half)."""

    customers: int
    median: float | None
    percentile: float | None


def compare(
    scores: Mapping[float, int], score: int | None, *, own: float | None = None, share: float = 1.0
) -> Cohort:
    """The place of `score` in a cohort of which so many have each of `scores`.

    `own` is the customer's own entry among them, which doesn't count; `share` is what part of everybody was looked at.
    """
    counts = dict(scores)
    if own is not None and counts.get(own):
        counts[own] -= 1
    there = sum(counts.values())
    if not there:
        return Cohort(0, None, None)
    percentile = None
    if score is not None:
        below = sum(count for one, count in counts.items() if one < score)
        percentile = 100.0 * (below + 0.5 * counts.get(score, 0)) / there
    return Cohort(round(there / share), _median(counts, there), percentile)


def _median(counts: Mapping[float, int], there: int) -> float:
    """The middle one, or the mean of the two in the middle."""
    lower, upper = (there - 1) // 2, there // 2
    passed, low = 0, None
    for one in sorted(counts):
        passed += counts[one]
        if low is None and passed > lower:
            low = one
        if passed > upper:
            return (one if low is None else low) / 2 + one / 2
    raise ValueError("nobody was counted")
