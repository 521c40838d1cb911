"""The six named factors of churn over columns: what `scoring.named_factors` says of each customer, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.policy import MarketRow
from scoring.churning.columns import Flags, Floats
from scoring.health import NEVER_DAYS
from scoring.named_factors import (
    ABSENCE,
    ABSENT_AFTER_DAYS,
    ABSENT_BY_DAYS,
    CONTENT_RATING,
    DECLINING,
    ENOUGH_FEATURES,
    FAILED_PAYMENT,
    FALL_POINTS,
    FEATURES,
    HALF,
    LOW_MEAN,
    OPEN_TICKET,
    OPEN_TICKETS_MOST,
    PAST_DUE,
    REVIEWED_BELOW,
    STABLE_AND_LOW,
    UNHAPPY,
    USE,
    WEIGHTS,
    WORST_RATING,
    press,
)
from scoring.population.known import Known

NAMED = tuple(WEIGHTS)


def name_factors(known: Known, month: int, market: Sequence[MarketRow] = ()) -> Floats:
    """All six of each customer, shape (rows, 6) in the order of NAMED; `month` (1–12) is that of the moment, UTC."""
    found = np.empty((len(NAMED), known.n))
    found[0] = _declining_health(known)
    found[1] = _low_engagement(known)
    found[2] = _billing_issues(known)
    found[3] = _support_dissatisfaction(known)
    found[4:] = _press(known, month, market)
    return found.T


def equals(known: Known, name: str, text: str) -> Flags:
    """Where the signal is this text."""
    column = known.texts(name)
    if column is None or text not in column.levels:
        return np.zeros(known.n, np.bool_)
    return np.asarray(column.codes == column.levels.index(text))


def _declining_health(known: Known) -> Floats:
    score = known.filled("health_score", 100)
    mean = _filled(known, "avg_health_30d", score)
    failing = np.where(equals(known, "health_trend", "declining"), DECLINING, 0.0)
    failing[equals(known, "health_trend", "stable") & (mean < LOW_MEAN)] = STABLE_AND_LOW
    fall = _clamp((mean - score) / FALL_POINTS)
    low = _clamp((REVIEWED_BELOW - score) / REVIEWED_BELOW)
    return np.minimum(1.0, failing + HALF * fall + HALF * low)


def _low_engagement(known: Known) -> Floats:
    away = known.filled("days_since_last_login", NEVER_DAYS)
    absence = _clamp((away - ABSENT_AFTER_DAYS) / (ABSENT_BY_DAYS - ABSENT_AFTER_DAYS))
    fall = _clamp(known.filled("usage_drop_percent", 0) / 100)
    few = _clamp((ENOUGH_FEATURES - known.filled("unique_features_used", 0)) / ENOUGH_FEATURES)
    return ABSENCE * absence + USE * fall + FEATURES * few


def _billing_issues(known: Known) -> Floats:
    past_due = np.where(equals(known, "subscription_status", "past_due"), PAST_DUE, 0.0)
    failed = np.maximum(0.0, known.filled("failed_payments_30d", 0))
    return np.minimum(1.0, past_due + FAILED_PAYMENT * failed)


def _support_dissatisfaction(known: Known) -> Floats:
    last = known.filled("last_support_rating", CONTENT_RATING)
    rating = _filled(known, "avg_support_rating_30d", last)
    unhappy = _clamp((CONTENT_RATING - rating) / (CONTENT_RATING - WORST_RATING))
    tickets = OPEN_TICKET * np.maximum(0.0, known.filled("open_tickets", 0))
    return np.minimum(1.0, UNHAPPY * unhappy + np.minimum(OPEN_TICKETS_MOST, tickets))


def _press(known: Known, month: int, market: Sequence[MarketRow]) -> Floats:
    """competitor_activity and seasonal_factors, shape (2, rows): looked up once for each trade there is."""
    vendors = known.texts("vendor_type") if market else None
    if vendors is None:
        return np.repeat(np.array(press(market, None, month))[:, None], known.n, axis=1)
    # Last, where the code -1 of an unknown trade finds it.
    table = np.array([press(market, vendor, month) for vendor in (*vendors.levels, None)])
    found: Floats = table[vendors.codes].T
    return found


def _filled(known: Known, name: str, otherwise: Floats) -> Floats:
    found = known.numbers(name)
    return otherwise if found is None else np.where(found[1], found[0], otherwise)


def _clamp(values: Floats) -> Floats:
    return np.minimum(np.maximum(values, 0.0), 1.0)
