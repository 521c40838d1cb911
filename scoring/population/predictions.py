"""Who is likely to leave, of many customers: what `scoring.predictors.predict_one` says of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import numpy.typing as npt

from schemas.catalogue import Catalogue
from scoring.churn import (
    HIGHEST,
    INTERVENE_FROM,
    MULTI_CHANNEL_ABOVE,
    PRIORITY_STEPS,
    YOUNGEST_DAYS,
    Level,
    Urgency,
)
from scoring.churning.columns import Flags, Floats, Integers
from scoring.churning.model import strongest
from scoring.health import NEVER_DAYS
from scoring.population.known import Known
from scoring.population.named import equals, name_factors
from scoring.population.served import Served, serve
from scoring.prediction import Confidence, Source
from scoring.predictors import PARTS, RULE_OF_THUMB, Predictors

SOURCES: tuple[Source, ...] = get_args(Source)
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)
LEVELS: tuple[Level, ...] = get_args(Level)
URGENCIES: tuple[Urgency, ...] = get_args(Urgency)
REASONS = 3

Codes = npt.NDArray[np.int8]
Dates = npt.NDArray[np.datetime64]

_THUMB = SOURCES.index("rule_of_thumb")
# Where the second and each further level and urgency begin; `scoring.churn` has them in `level_of` and `urgency_of`.
_LEVEL_STEPS = (0.4, 0.6, 0.8)
_URGENCY_STEPS = (0.6, 0.8)
_THUMB_SIGNALS = (
    "days_since_last_login",
    "unique_features_used",
    "health_trend",
    "days_since_last_milestone",
)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionColumns:
    """Risks of leaving, a row each; `scored` says of whom anything is told, the rest means nothing in other rows.

    `source`, `confidence`, `level` and `urgency` are places in SOURCES, CONFIDENCES, LEVELS and URGENCIES; `versions`
    has what predicted, by source. `within` (rows, 3) is for 30, 60 and 90 days, nan where the rule of thumb predicts.
    `factors` (rows, 6) are in the order of NAMED. `reasons` (rows, 3) are places in `sources`, strongest first and -1
    where there are fewer; `effects` what they add. Days are UTC, NaT where none is expected; money is nan without a
    monthly price.
    """

    scored: Flags
    source: Codes
    confidence: Codes
    versions: tuple[str, ...]
    probability: Floats
    within: Floats
    level: Codes
    urgency: Codes
    priority: Codes
    recommended: Flags
    multi_channel: Flags
    factors: Floats
    sources: tuple[str, ...]
    reasons: Integers
    effects: Floats
    expected: Dates
    earliest: Dates
    latest: Dates
    ltv_at_risk: Floats
    prevention_cost: Floats


def predict(predictors: Predictors, known: Known, now: datetime, catalogue: Catalogue) -> PredictionColumns:
    """What is told of every customer's risk, from all signals at `now`, ages and health among them."""
    n, today = known.n, now.astimezone(UTC).date()
    scored = known.filled("account_age_days", NEVER_DAYS) >= YOUNGEST_DAYS
    scored &= ~equals(known, "subscription_status", "cancelled")
    points = _score_points(known)
    probability = np.minimum(HIGHEST, points.sum(axis=1) / 100)
    reasons = strongest(points, REASONS)
    effects = np.take_along_axis(points, reasons, axis=1) / 100
    reasons[effects == 0] = -1
    source, confidence = np.full(n, _THUMB, np.int8), np.full(n, CONFIDENCES.index("medium"), np.int8)
    within = np.full((n, 3), np.nan)
    days = np.full((3, n), np.datetime64("NaT"), "datetime64[D]")
    sources: tuple[str, ...] = _THUMB_SIGNALS
    for served in serve(predictors, known, scored, today, catalogue):
        rows = served.rows
        source[rows] = SOURCES.index(served.source)
        confidence[rows[served.sure]] = CONFIDENCES.index("high")
        within[rows] = served.within
        probability[rows] = np.floor(served.within[:, predictors.horizon] * PARTS + 0.5) / PARTS
        reasons[rows], effects[rows] = _reasons(served, len(sources))
        sources += served.sources
        days[:, rows] = served.days
    at_risk = probability * predictors.policy.lifetime_months * known.filled("monthly_price", np.nan)
    cost = np.minimum(predictors.policy.prevention_share * at_risk, predictors.policy.prevention_limit)
    return PredictionColumns(
        scored=scored,
        source=source,
        confidence=confidence,
        versions=(predictors.model_version, predictors.health_version, RULE_OF_THUMB),
        probability=probability,
        within=within,
        level=count_steps(_LEVEL_STEPS, probability),
        urgency=count_steps(_URGENCY_STEPS, probability),
        priority=count_steps(PRIORITY_STEPS, probability) + np.int8(1),
        recommended=probability >= INTERVENE_FROM,
        multi_channel=probability > MULTI_CHANNEL_ABOVE,
        factors=name_factors(known, today.month, predictors.policy.market),
        sources=sources,
        reasons=reasons,
        effects=effects,
        expected=days[0],
        earliest=days[1],
        latest=days[2],
        ltv_at_risk=at_risk,
        prevention_cost=cost,
    )


def count_steps(steps: tuple[float, ...], probability: Floats) -> Codes:
    """How many of the ascending steps each probability has reached."""
    return np.searchsorted(steps, probability, side="right").astype(np.int8)


def _reasons(served: Served, first: int) -> tuple[Integers, Floats]:
    """The strongest terms as places from `first` on, and what they add."""
    places = strongest(served.effects, REASONS)
    effects = np.zeros((len(places), REASONS))
    reasons = np.full((len(places), REASONS), -1)
    effects[:, : places.shape[1]] = np.take_along_axis(served.effects, places, axis=1)
    reasons[:, : places.shape[1]] = places + first
    return reasons, effects


def _score_points(known: Known) -> Floats:
    """The rule of thumb's points, shape (rows, 4) in the order of _THUMB_SIGNALS: `scoring.churn.score_points`."""
    absent = known.filled("days_since_last_login", NEVER_DAYS)
    features = known.filled("unique_features_used", 0)
    average = known.filled("avg_health_30d", 100)
    stable_and_low = equals(known, "health_trend", "stable") & (average < 50)
    points = np.zeros((known.n, 4))
    points[:, 0] = np.array([0.0, 5, 15, 30])[(absent > 3).astype(np.int8) + (absent > 7) + (absent > 14)]
    points[:, 1] = np.array([20.0, 10, 0])[(features >= 2).astype(np.int8) + (features >= 4)]
    points[:, 2] = 25.0 * equals(known, "health_trend", "declining") + 15.0 * stable_and_low
    points[:, 3] = 10.0 * (known.filled("days_since_last_milestone", NEVER_DAYS) > 30)
    return points
