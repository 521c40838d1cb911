"""Health by a model, from signals alone: a score from 0 to 100, its risk, and the factors behind it.

What the factors are and how they weigh is said by the model (`schemas.health_model`); here it is carried out. A value
of the wrong type counts as missing, scores round half up, and risk is taken from the rounded score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Literal

from schemas.condition import Value
from schemas.health_model import DEFAULT_MODEL, EVERYONE, SEGMENTS, HealthModel, Row, Segment
from schemas.health_model import RiskLevel as Level
from schemas.health_model import Trend as TrendRules
from schemas.shipped_health import shipped_model
from scoring.health_condition import compile_predicate
from scoring.health_factors import compile_factor, compile_known

RiskLevel = Literal[Level, "unknown"]
Trend = Literal["improving", "stable", "declining"]
Signals = Mapping[str, Value]

NEVER_DAYS = 999
NEW_USER_DAYS = 30
# The days whose mean is the signal avg_health_30d.
MEAN_DAYS = 30
_TREND = TrendRules()
_SEGMENTS: Mapping[str, Segment] = {segment: segment for segment in SEGMENTS}


@dataclass(frozen=True, slots=True)
class Health:
    """A score from 0 to 100, its risk, and the factors behind it: 0–1, or points where the model shows points.

    Where too little is known, `score` is None and the risk unknown. Factors that are left out have no key.
    """

    score: int | None
    risk_level: RiskLevel
    factors: dict[str, float]
    segment: Segment


class Scorer:
    """A health model, compiled once: a function from signals to `Health`."""

    def __init__(self, model: HealthModel) -> None:
        self.model = model
        self._factors = tuple((factor.name, compile_factor(factor)) for factor in model.factors)
        self._known = tuple(compile_known(factor) for factor in model.factors)
        self._rows = {segment: self._row(model.weights, segment) for segment in SEGMENTS}
        self._plan_rows = {
            (plan, segment): self._row(rows, segment)
            for plan, rows in model.plans.items()
            for segment in SEGMENTS
            if segment in rows or EVERYONE in rows
        }
        self._points = model.shown == "points"
        self._healthy, self._at_risk = model.bands.healthy, model.bands.at_risk
        self._minimum = model.minimum_coverage
        self._overrides = tuple((compile_predicate(one.when), one) for one in model.overrides)

    def _row(self, rows: Mapping[str, Row], segment: Segment) -> tuple[float, ...]:
        row = rows.get(segment) or rows.get(EVERYONE, {})
        return tuple(row.get(factor.name, 0.0) for factor in self.model.factors)

    def __call__(self, signals: Signals) -> Health:
        """The health that follows from these signals."""
        segment = given_segment(signals)
        weights = self._weights(signals, segment) if self._plan_rows else self._rows[segment]
        points, factors = self._points, {}
        total, counted = 0.0, 100.0
        for (name, evaluate), weight in zip(self._factors, weights):  # noqa: B905 - of one length by construction
            value = evaluate(signals)
            if value is None:
                counted -= weight
                continue
            worth = value * weight
            total += worth
            factors[name] = worth if points else value
        if counted < 1e-9 or (self._minimum and self._coverage(signals, weights) < self._minimum - 1e-9):
            return Health(None, "unknown", factors, segment)
        score = _round_score(total if counted == 100 else 100 * total / counted)
        risk: RiskLevel
        if self._overrides:
            score, risk = self._override(signals, score)
        else:
            risk = (
                "healthy" if score >= self._healthy else "at_risk" if score >= self._at_risk else "critical"
            )
        return Health(score, risk, factors, segment)

    def coverage(self, signals: Signals) -> float:
        """The share of the weights (0–1) whose signals are known of this customer."""
        return self._coverage(signals, self._weights(signals, given_segment(signals)))

    def _weights(self, signals: Signals, segment: Segment) -> tuple[float, ...]:
        plan = signals.get("plan")
        found = self._plan_rows.get((plan, segment)) if type(plan) is str else None
        return found or self._rows[segment]

    def _coverage(self, signals: Signals, weights: tuple[float, ...]) -> float:
        return sum(weight for known, weight in zip(self._known, weights, strict=True) if known(signals)) / 100

    def _override(self, signals: Signals, score: int) -> tuple[int, RiskLevel]:
        risk: RiskLevel | None = None
        for holds, one in self._overrides:
            if holds(signals):
                if one.at_most is not None and score > one.at_most:
                    score = one.at_most
                if one.at_least is not None and score < one.at_least:
                    score = one.at_least
                risk = one.risk or risk
        return score, risk or self.model.risk_of(score)


@cache
def shipped_scorer(name: str = DEFAULT_MODEL) -> Scorer:
    """The scorer of a model that ships. Raises KeyError for another name."""
    return Scorer(shipped_model(name))


def segment_weighted(signals: Signals) -> Health:
    """Health model `segment-weighted` as it ships: six factors, weighted by segment."""
    return shipped_scorer("segment-weighted")(signals)


def points(signals: Signals) -> Health:
    """Health model `points` as it ships: recency, adoption, clients, forms, journeys."""
    return shipped_scorer("points")(signals)


def segment_of(signals: Signals) -> Segment:
    """new_user below 30 days of account age; power_user with 6 of 8 features adopted and 20 active days of
    30.
    """
    if read_number(signals, "account_age_days", NEW_USER_DAYS) < NEW_USER_DAYS:
        return "new_user"
    powerful = (
        read_number(signals, "features_adopted", 0) >= 6 and read_number(signals, "active_days_30d", 0) >= 20
    )
    return "power_user" if powerful else "established"


def score_trend(score: int, previous: int | None, rules: TrendRules = _TREND) -> Trend:
    """The change against the previous score: up to `stable_within` points (5) either way is stable."""
    change = 0 if previous is None else score - previous
    return "stable" if abs(change) <= rules.stable_within else "improving" if change > 0 else "declining"


def long_trend(scores: Mapping[date, int], today: date, rules: TrendRules = _TREND) -> Trend | None:
    """The slope of the daily score over the 30 days up to `today`: above 1 a day improving, below −1
    declining; `rules` may say other days and slopes.

    Least squares over the days that have a score; None with fewer than 7 of them.
    """
    days = _window(scores, today, rules.days)
    if len(days) < rules.least_scores:
        return None
    mean_x = sum(x for x, _ in days) / len(days)
    mean_y = sum(y for _, y in days) / len(days)
    spread = sum((x - mean_x) ** 2 for x, _ in days)
    # Rounded, so that a slope of exactly 1 isn't 1.0000000000000002.
    slope = round(sum((x - mean_x) * (y - mean_y) for x, y in days) / spread, 9)
    stable = rules.stable_slope
    return "improving" if slope > stable else "declining" if slope < -stable else "stable"


def average_health(scores: Mapping[date, int], today: date) -> float | None:
    """The mean daily score of the 30 days up to `today`; None where none of them has one."""
    days = _window(scores, today, MEAN_DAYS)
    return sum(score for _, score in days) / len(days) if days else None


def _window(scores: Mapping[date, int], today: date, length: int) -> list[tuple[int, int]]:
    """Days before today (negative) and scores, of the last `length` days."""
    ordinal = today.toordinal()
    placed = ((day.toordinal() - ordinal, score) for day, score in scores.items())
    return [(x, score) for x, score in placed if -length < x <= 0]


def given_segment(signals: Signals) -> Segment:
    """The segment among the signals; without one new_user below 30 days of account age, else established."""
    segment = signals.get("segment")
    if type(segment) is str and segment in _SEGMENTS:
        return _SEGMENTS[segment]
    young = read_number(signals, "account_age_days", NEW_USER_DAYS) < NEW_USER_DAYS
    return "new_user" if young else "established"


def read_number(signals: Signals, name: str, missing: float) -> float:
    """The signal as a finite number, or `missing` where it is missing or isn't one."""
    value: Any = signals.get(name)
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return float(value)
    return missing


def _round_score(exact: float) -> int:
    """Half up; the inner rounding takes back what binary fractions do to a score that is exactly a half."""
    return math.floor(round(exact, 9) + 0.5)
