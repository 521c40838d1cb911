"""The rule of thumb over columns, as it serves and mapped to what happened: what a trained model has to beat."""

from __future__ import annotations

import numpy as np

from scoring.churn import HIGHEST
from scoring.churning.columns import Categories, Floats, Numbers, Table
from scoring.churning.solving import sigmoid, solve
from scoring.health import NEVER_DAYS


def thumb_probability(table: Table, rows: int) -> Floats:
    """What the rule of thumb says of each row of features, 0 to .95: `scoring.churn.estimate_churn` in columns."""
    absent = _numbers(table, "days_since_last_login", rows, NEVER_DAYS)
    features = _numbers(table, "unique_features_used", rows, 0.0)
    average = _numbers(table, "avg_health_30d", rows, 100.0)
    milestone = _numbers(table, "days_since_last_milestone", rows, NEVER_DAYS)
    points = np.select([absent > 14, absent > 7, absent > 3], [30, 15, 5], 0)
    points = points + np.select([features < 2, features < 4], [20, 10], 0)
    declining, stable = (
        _is(table, "health_trend", "declining", rows),
        _is(table, "health_trend", "stable", rows),
    )
    points = points + np.select([declining, stable & (average < 50)], [25, 15], 0)
    points = points + np.where(milestone > 30, 10, 0)
    said: Floats = np.minimum(HIGHEST, points / 100.0)
    return said


def map_thumb(said: Floats, outcome: Floats, wanted: Floats) -> Floats:
    """Probabilities for `wanted`, by a logistic line through what was `said` and what came of it (0 or 1)."""
    share = float(outcome.mean()) if len(outcome) else 0.5
    if not 0 < outcome.sum() < len(outcome) or said.std() == 0:
        return np.full(len(wanted), share)
    line = solve(said[:, None], outcome, np.full(1, 0.1))
    return sigmoid(line.intercept + line.coefficients[0] * wanted)


def _numbers(table: Table, name: str, rows: int, missing: float) -> Floats:
    column = table.get(name)
    if not isinstance(column, Numbers):
        return np.full(rows, missing)
    return np.where(np.isnan(column.values), missing, column.values)


def _is(table: Table, name: str, level: str, rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    column = table.get(name)
    if not isinstance(column, Categories) or level not in column.levels:
        return np.zeros(rows, dtype=np.bool_)
    return np.asarray(column.codes == column.levels.index(level))
