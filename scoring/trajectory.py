"""Where a score is heading: a line through the daily scores, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

WINDOW_DAYS = 30
LEAST_SCORES = 7
AHEAD_DAYS = 30
# Of the standard normal: 8 times of 10 within this many deviations.
_Z = 1.2815515655446004


@dataclass(frozen=True, slots=True)
class Trajectory:
    """`slope` in points a day; `expected` the score in `ahead_days` days, with the interval that holds it 8 times of
    10 if things go on as they did. All scores are held to 0–100.
    """

    slope: float
    ahead_days: int
    expected: float
    lower: float
    upper: float
    scores: int


def project(scores: Mapping[date, int], today: date) -> Trajectory | None:
    """Least squares through the scores of the last 30 days, with the 80 % prediction interval of Student's t;
    None with fewer than 7 scores.

    Days are taken as independent, which they aren't quite: the interval is the least that must be allowed for.
    """
    points = [
        ((day - today).days, score) for day, score in scores.items() if -WINDOW_DAYS < (day - today).days <= 0
    ]
    n = len(points)
    if n < LEAST_SCORES:
        return None
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    expected = mean_y + slope * (AHEAD_DAYS - mean_x)
    error = math.sqrt(rest / (n - 2) * (1 + 1 / n + (AHEAD_DAYS - mean_x) ** 2 / spread))
    reach = _student(n - 2) * error
    return Trajectory(
        round(slope, 3), AHEAD_DAYS, _held(expected), _held(expected - reach), _held(expected + reach), n
    )


def _student(freedom: int) -> float:
    """The same of Student's t, by Fisher's expansion: right to 0.0002 from 5 degrees of freedom on."""
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _held(score: float) -> float:
    return round(min(100.0, max(0.0, score)), 1)
