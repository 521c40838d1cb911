"""What many customers' health was day by day, and what follows from it: means and trends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.health_model import Trend as TrendRules
from scoring.churning.columns import Categories, Floats, Integers
from scoring.health import MEAN_DAYS

Scores = npt.NDArray[np.int16]

# Today and the 31 days before it, as far back as anybody looks.
DAYS = 32
NO_SCORE = -1
# Sorted, as levels of a column are.
TRENDS = ("declining", "improving", "stable")
_DECLINING, _IMPROVING, _STABLE = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class DayScores:
    """The daily health score, shape (rows, DAYS): column j is that of j days ago, column 0 today's if there is one yet.

    NO_SCORE is a day without a score.
    """

    values: Scores

    @classmethod
    def none(cls, n: int) -> DayScores:
        """No score of any day."""
        return cls(np.full((n, DAYS), NO_SCORE, np.int16))


def with_today(past: DayScores, score: Scores) -> DayScores:
    """The scores with today's; where there is none now, an earlier one of today stands."""
    values = past.values.copy()
    values[:, 0] = np.where(score >= 0, score, values[:, 0])
    return DayScores(values)


def average_scores(days: DayScores) -> Floats:
    """The mean score of the last 30 days, today included; nan where none of them has one."""
    values = days.values[:, :MEAN_DAYS]
    there = values >= 0
    counted = there.sum(axis=1)
    total = np.where(there, values, 0).sum(axis=1, dtype=np.int64)
    means = np.full(len(values), np.nan)
    np.divide(total, counted, out=means, where=counted > 0)
    return means


def long_trends(days: DayScores, rules: TrendRules) -> Categories:
    """The trend by the slope of the daily score, as `scoring.health.long_trend` has it."""
    values = days.values[:, : rules.days]
    there = (values >= 0).astype(np.float32)
    ago = np.arange(values.shape[1], dtype=np.float32)
    scored = np.maximum(values, 0).astype(np.float32)
    # Whole numbers, far below what binary32 holds exactly.
    counted, sum_x, sum_xx = (there @ np.stack([np.ones_like(ago), -ago, ago * ago]).T).T.astype(np.float64)
    sum_y, sum_xy = (scored @ np.stack([np.ones_like(ago), -ago]).T).T.astype(np.float64)
    enough = counted >= rules.least_scores
    spread = np.where(enough, counted * sum_xx - sum_x * sum_x, 1.0)
    slope = round_ninth((counted * sum_xy - sum_x * sum_y) / spread)
    stable = rules.stable_slope
    codes = np.where(slope > stable, _IMPROVING, np.where(slope < -stable, _DECLINING, _STABLE))
    return Categories(TRENDS, np.where(enough, codes, -1))


def latest_scores(days: DayScores) -> Scores:
    """The score of the last day before today that has one, NO_SCORE where none of the 31 has."""
    before = days.values[:, 1:]
    there = before >= 0
    latest = there.argmax(axis=1)
    found: Scores = before[np.arange(len(before)), latest]
    return found


def score_trends(score: Scores, previous: Scores, rules: TrendRules) -> Categories:
    """The change against the previous score, as `scoring.health.score_trend` has it; missing without a score."""
    change = np.where(previous >= 0, score - previous, 0)
    moved = np.where(change > 0, _IMPROVING, _DECLINING)
    codes: Integers = np.where(np.abs(change) <= rules.stable_within, _STABLE, moved)
    return Categories(TRENDS, np.where(score >= 0, codes, -1))


def round_ninth(exact: Floats) -> Floats:
    """To nine decimals, to the last bit as Python's `round` does; nan stays."""
    rounded = np.round(exact, 9)
    parts = exact * 1e9
    # Near the middle between two, NumPy's way (scale, round, scale back) can end on the other side.
    close = np.flatnonzero(np.abs(parts - np.floor(parts) - 0.5) < 1e-4)
    rounded[close] = [round(value, 9) for value in exact[close].tolist()]
    return rounded
