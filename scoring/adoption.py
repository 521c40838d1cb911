"""How far each of the product's features has become a habit of one customer, from the days on which it was used.

The stages agree with the signal features_adopted: from 3 days of the last 30 on a feature is being adopted. What the
score of value and the risk of abandonment are made of is said at each function; both are rules of thumb.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Frequency = Literal["daily", "weekly", "monthly", "rarely"]
Stage = Literal["never_used", "trial", "adopting", "power_user", "churned"]

# The event that says a feature was used.
FEATURE_EVENT = "feature_used"
WINDOW_DAYS = 30
ADOPTING_DAYS = 3
# Three days of each week.
POWER_DAYS = 12
DAILY_DAYS = 20
WEEKLY_DAYS = 4
# Whoever used a feature on one day only has no rhythm of its own yet: it is expected back within so many.
FIRST_GAP_DAYS = 14.0


@dataclass(frozen=True, slots=True)
class UseDay:
    """How often one feature was used on one UTC day."""

    feature: str
    day: date
    count: int


@dataclass(frozen=True, slots=True)
class FeatureAdoption:
    """One customer and feature. Days are UTC; `usage_count` is of all time.

    `value_realization_score` is 0–100, `abandonment_risk` 0–1 (None for what was never used: nothing can be abandoned).
    """

    feature_key: str
    adoption_stage: Stage
    usage_frequency: Frequency | None = None
    first_used_at: date | None = None
    last_used_at: date | None = None
    usage_count: int = 0
    days_used_30d: int = 0
    value_realization_score: int = 0
    abandonment_risk: float | None = None


def adopt_features(uses: Iterable[UseDay], features: Collection[str], today: date) -> list[FeatureAdoption]:
    """The adoption of `features` and of every other that was used, those first and in their order.

    Uses after `today` don't count. Several of one feature and day are added up.
    """
    days: dict[str, dict[date, int]] = {}
    for use in uses:
        if use.day <= today and use.count > 0:
            counts = days.setdefault(use.feature, {})
            counts[use.day] = counts.get(use.day, 0) + use.count
    others = sorted(days.keys() - set(features))
    return [_adopt(feature, days.get(feature, {}), today) for feature in (*features, *others)]


def _adopt(feature: str, counts: Mapping[date, int], today: date) -> FeatureAdoption:
    if not counts:
        return FeatureAdoption(feature, "never_used")
    recent = [day for day in counts if today - day < timedelta(days=WINDOW_DAYS)]
    before = sum(WINDOW_DAYS <= (today - day).days < 2 * WINDOW_DAYS for day in counts)
    first, last = min(counts), max(counts)
    stage = stage_of(len(recent))
    return FeatureAdoption(
        feature_key=feature,
        adoption_stage=stage,
        usage_frequency=frequency_of(len(recent)),
        first_used_at=first,
        last_used_at=last,
        usage_count=sum(counts.values()),
        days_used_30d=len(recent),
        value_realization_score=value_of(
            len(recent), sum(counts[day] for day in recent), (today - first).days
        ),
        abandonment_risk=abandonment_risk(
            silent_days=(today - last).days,
            span_days=(last - first).days,
            days_used=len(counts),
            recent=len(recent),
            before=before,
        ),
    )


def stage_of(days_used_30d: int) -> Stage:
    """The stage of a feature that was used at all: churned where not in the last 30 days."""
    if days_used_30d >= POWER_DAYS:
        return "power_user"
    if days_used_30d >= ADOPTING_DAYS:
        return "adopting"
    return "trial" if days_used_30d else "churned"


def frequency_of(days_used_30d: int) -> Frequency:
    """daily from 20 days of the last 30 on, weekly from 4, monthly from 1; else rarely."""
    if days_used_30d >= DAILY_DAYS:
        return "daily"
    if days_used_30d >= WEEKLY_DAYS:
        return "weekly"
    return "monthly" if days_used_30d else "rarely"


def value_of(days_used_30d: int, count_30d: int, age_days: int) -> int:
    """Value from 0 to 100: 60 for the habit (12 days of the last 30), 25 for how much was done on those days (5 uses a
    day), 15 for how long it has lasted (90 days since the first use); nothing without use in the last 30 days.
    """
    if not days_used_30d:
        return 0
    habit = min(1.0, days_used_30d / POWER_DAYS)
    depth = min(1.0, count_30d / days_used_30d / 5)
    lasting = min(1.0, max(0, age_days) / 90)
    return int(60 * habit + 25 * depth + 15 * lasting + 0.5)


def abandonment_risk(*, silent_days: int, span_days: int, days_used: int, recent: int, before: int) -> float:
    """How likely the feature is being given up, from 0 to 1, rounded to 3 digits.

    The silence against the customer's own rhythm: nothing up to its usual gap, one half at twice the gap, two thirds at
    three times. A decline of the days of use against the 30 days before counts up to one half of what is left. Without
    use in the last 30 days it is 1. The view feature_adoption says the same in SQL, to the digit.
    """
    if not recent:
        return 1.0
    gap = max(1.0, span_days / (days_used - 1)) if days_used > 1 else FIRST_GAP_DAYS
    silence = max(0.0, 1 - gap / silent_days) if silent_days > 0 else 0.0
    decline = max(0.0, (before - recent) / before) if before else 0.0
    return math.floor((1 - (1 - silence) * (1 - decline / 2)) * 1000 + 0.5) / 1000
