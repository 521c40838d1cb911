"""The six named factors of churn that people know, each 0–1, worked out from signals and the market's table.

They say in familiar words what stands behind a risk and which action answers it; the probability itself is the
predictor's. Linear pieces of few signals, so that a table of them is worked out in bulk the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from schemas.policy import MarketRow
from scoring.health import NEVER_DAYS, Signals, read_number

# The rule-of-thumb composite.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "declining_health_score": 0.25,
        "low_engagement": 0.20,
        "billing_issues": 0.20,
        "support_dissatisfaction": 0.15,
        "competitor_activity": 0.10,
        "seasonal_factors": 0.10,
    }
)

# declining_health_score = failing + .5 · fall below the month's mean + .5 · shortfall of what is worth reviewing
DECLINING = 0.5
STABLE_AND_LOW = 0.3
LOW_MEAN = 50
FALL_POINTS = 20
REVIEWED_BELOW = 60
HALF = 0.5
# low_engagement = .4 · absence + .3 · fall in use + .3 · few features
ABSENCE, USE, FEATURES = 0.4, 0.3, 0.3
ABSENT_AFTER_DAYS, ABSENT_BY_DAYS = 3, 30
ENOUGH_FEATURES = 4
# billing_issues = .6 · past due + .2 · each failed payment
PAST_DUE, FAILED_PAYMENT = 0.6, 0.2
# support_dissatisfaction = .7 · how far ratings fall short of 4 + .1 · each open ticket, up to .5
UNHAPPY, OPEN_TICKET, OPEN_TICKETS_MOST = 0.7, 0.1, 0.5
CONTENT_RATING, WORST_RATING = 4, 1

# factor, above which value, what to do
ACTIONS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("declining_health_score", 0.6, ("Call now", "Offer a personal onboarding session")),
    ("low_engagement", 0.5, ("Send feature discovery mails", "Offer a free set-up consultation")),
    ("billing_issues", 0.3, ("Settle the billing issue", "Offer another plan or a discount")),
    ("support_dissatisfaction", 0.4, ("Assign a dedicated CSM", "Open the priority support channel")),
)
RESCUE = "Start a multi-channel rescue"
# What is done where no factor stands out, by urgency.
OTHERWISE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"immediate": ("Call now",), "urgent": ("Call within two days",), "monitor": ()}
)
CHECK_IN = "Check in with a personal message"


def name_factors(signals: Signals, month: int, market: Sequence[MarketRow] = ()) -> dict[str, float]:
    """All six, in the order of `WEIGHTS`; `month` (1–12) is that of the moment, UTC.

    Missing counts and ratings add nothing, a missing login counts as 999 days ago, a missing number of features as 0.
    """
    vendor = signals.get("vendor_type")
    competitors, season = press(market, vendor if isinstance(vendor, str) else None, month)
    return {
        "declining_health_score": _declining_health(signals),
        "low_engagement": _low_engagement(signals),
        "billing_issues": _billing_issues(signals),
        "support_dissatisfaction": _support_dissatisfaction(signals),
        "competitor_activity": competitors,
        "seasonal_factors": season,
    }


def composite(factors: Mapping[str, float]) -> float:
    """The weighted sum of the factors, 0–1."""
    return sum(weight * factors.get(name, 0.0) for name, weight in WEIGHTS.items())


def press(market: Sequence[MarketRow], vendor_type: str | None, month: int) -> tuple[float, float]:
    """competitor_activity and seasonal_factors of this trade in this month, each from the most exact row that says it.

    A row that names a trade beats one that doesn't, and then one that names a month; of equals the last holds.
    """
    found = [0.0, 0.0]
    exact = [-1, -1]
    for row in market:
        if row.vendor_type not in (None, vendor_type) or row.month not in (None, month):
            continue
        how = 2 * (row.vendor_type is not None) + (row.month is not None)
        for index, value in enumerate((row.competitor_activity, row.seasonal_factors)):
            if value is not None and how >= exact[index]:
                found[index], exact[index] = value, how
    return found[0], found[1]


def choose_actions(
    factors: Mapping[str, float], level: str, urgency: str, multi_channel: bool
) -> tuple[str, ...]:
    """What to do, most pressing first: by factor; where none stands out by urgency, and at a low level nothing."""
    chosen = [RESCUE] if multi_channel else []
    for name, above, actions in ACTIONS:
        if factors.get(name, 0.0) > above:
            chosen.extend(actions)
    if level != "low" and len(chosen) == multi_channel:
        chosen.extend(OTHERWISE[urgency] or (CHECK_IN,))
    return tuple(chosen)


def _declining_health(signals: Signals) -> float:
    score = read_number(signals, "health_score", 100)
    mean = read_number(signals, "avg_health_30d", score)
    trend = signals.get("health_trend")
    failing = DECLINING if trend == "declining" else 0.0
    if trend == "stable" and mean < LOW_MEAN:
        failing = STABLE_AND_LOW
    fall = _clamp((mean - score) / FALL_POINTS)
    low = _clamp((REVIEWED_BELOW - score) / REVIEWED_BELOW)
    return min(1.0, failing + HALF * fall + HALF * low)


def _low_engagement(signals: Signals) -> float:
    away = read_number(signals, "days_since_last_login", NEVER_DAYS)
    absence = _clamp((away - ABSENT_AFTER_DAYS) / (ABSENT_BY_DAYS - ABSENT_AFTER_DAYS))
    fall = _clamp(read_number(signals, "usage_drop_percent", 0) / 100)
    few = _clamp((ENOUGH_FEATURES - read_number(signals, "unique_features_used", 0)) / ENOUGH_FEATURES)
    return ABSENCE * absence + USE * fall + FEATURES * few


def _billing_issues(signals: Signals) -> float:
    past_due = PAST_DUE if signals.get("subscription_status") == "past_due" else 0.0
    return min(1.0, past_due + FAILED_PAYMENT * max(0.0, read_number(signals, "failed_payments_30d", 0)))


def _support_dissatisfaction(signals: Signals) -> float:
    last = read_number(signals, "last_support_rating", CONTENT_RATING)
    rating = read_number(signals, "avg_support_rating_30d", last)
    unhappy = _clamp((CONTENT_RATING - rating) / (CONTENT_RATING - WORST_RATING))
    tickets = OPEN_TICKET * max(0.0, read_number(signals, "open_tickets", 0))
    return min(1.0, UNHAPPY * unhappy + min(OPEN_TICKETS_MOST, tickets))


def _clamp(value: float) -> float:
    return 0.0 if value < 0 else 1.0 if value > 1 else value
