"""Observed over expected: do as many customers leave as was said, and since when not any more?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoring.churning.columns import Floats

Drift = Literal["unknown", "none", "warning", "alarm"]

# The labels that drift is looked for with, in days: four weeks tell it after a month, the horizon only after three.
EARLY_DAYS = 28
# With fewer expected, the normal approximation of z says nothing.
FEWEST_EXPECTED = 5.0
WARNING_Z, ALARM_Z = 2.0, 3.0
_BINS = 10
_LEAST_SHARE = 1e-4


@dataclass(frozen=True, slots=True)
class Ratio:
    """`observed` who left of `rows`, of `expected`; `z` how many standard deviations more (None: too few expected).

    `spread` is the standard deviation that the ratio has by chance; None where nothing is expected.
    """

    rows: int
    observed: int
    expected: float
    ratio: float | None
    spread: float | None
    z: float | None


@dataclass(slots=True)
class Sums:
    """What is added up, row by row, before there is a ratio."""

    rows: int = 0
    observed: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def add(self, observed: bool, expected: float) -> None:
        """One row: whether it happened, and the probability that was said."""
        self.rows += 1
        self.observed += observed
        self.expected += expected
        self.variance += expected * (1.0 - expected)

    def ratio(self) -> Ratio:
        """z = (observed - expected) / sqrt(sum of p (1 - p)): what outcomes of these probabilities spread by."""
        known = self.expected >= FEWEST_EXPECTED and self.variance > 0
        return Ratio(
            rows=self.rows,
            observed=self.observed,
            expected=self.expected,
            ratio=self.observed / self.expected if self.expected else None,
            spread=math.sqrt(self.variance) / self.expected if self.expected else None,
            z=(self.observed - self.expected) / math.sqrt(self.variance) if known else None,
        )


def compare(observed: Floats, expected: Floats) -> Ratio:
    """The ratio of outcomes (0 or 1) to probabilities, both of shape (rows,)."""
    spread = float((expected * (1.0 - expected)).sum())
    return Sums(len(observed), round(float(observed.sum())), float(expected.sum()), spread).ratio()


def within(probability: float, of_days: float, days: float) -> float:
    """The probability of leaving within `days`, from that within `of_days`, by a constant hazard between."""
    return -math.expm1(math.log1p(-min(probability, 1 - 1e-12)) * (days / of_days))


def find_drift(weeks: Sequence[Ratio]) -> Drift:
    """What the weeks, in order of time, come to: alarm at |z| > 3 in the newest, else warning where |z| > 2 in the
    newest two, on the same side.
    """
    known = [week.z for week in weeks if week.z is not None]
    if not weeks or weeks[-1].z is None:
        return "unknown"
    if abs(known[-1]) > ALARM_Z:
        return "alarm"
    two = known[-2:]
    return "warning" if len(two) == 2 and (min(two) > WARNING_Z or max(two) < -WARNING_Z) else "none"


def stability_index(before: Floats, now: Floats) -> float | None:
    """The population stability index of scores over ten bins of equal count of `before`; None without rows.

    A hint at the quality of the data and nothing more: a book of customers that ages moves it, too, and a world that
    changes under the same scores doesn't.
    """
    if not len(before) or not len(now):
        return None
    edges = np.unique(np.quantile(before, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = [
        np.maximum(np.bincount(np.searchsorted(edges, one, side="right"), minlength=len(edges) + 1) / len(one),
                   _LEAST_SHARE)
        for one in (before, now)
    ]  # fmt: skip
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
