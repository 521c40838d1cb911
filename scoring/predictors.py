"""Who predicts leaving: the fitted model, else the health score recalibrated, else the rule of thumb."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.policy import ChurnPolicy
from scoring.churn import (
    INTERVENE_FROM,
    MULTI_CHANNEL_ABOVE,
    YOUNGEST_DAYS,
    Level,
    level_of,
    priority_of,
    probability_of,
    score_points,
    urgency_of,
)
from scoring.features import feature_row
from scoring.hazard.artifact import version_of
from scoring.hazard.curve import covers, outlook
from scoring.hazard.model import HazardModel
from scoring.hazard.outlook import HORIZONS, Outlook, Reason
from scoring.health import NEVER_DAYS, Signals, read_number
from scoring.named_factors import choose_actions, name_factors
from scoring.prediction import Confidence, Prediction, Source

RULE_OF_THUMB = "rule-of-thumb"
# The model predicts where at least this share of its columns is known of the customer, and surely from the second on.
COVERED, WELL_COVERED = 0.5, 0.8
# Probabilities are told in this many parts, so that two ways to work one out tell the same.
PARTS = 1_000_000
_POLICY = ChurnPolicy()


@dataclass(frozen=True)
class Predictors:
    """What predicts now. `model` and `health` are the champions of their kinds (None: there is none).

    `policy` says the horizon, what customers are worth and how markets weigh; `stale` whether the model was trained
    too long ago to be sure of.
    """

    model: HazardModel | None = None
    health: HazardModel | None = None
    policy: ChurnPolicy = _POLICY
    stale: bool = False

    @cached_property
    def model_version(self) -> str:
        """The version of `model`, empty without one."""
        return _version(self.model)

    @cached_property
    def health_version(self) -> str:
        """The version of `health`, empty without one."""
        return _version(self.health)

    @cached_property
    def horizon(self) -> int:
        """Where the horizon stands among `HORIZONS`."""
        return HORIZONS.index(self.policy.horizon_days)


RULES_ONLY = Predictors()


@dataclass(frozen=True, slots=True)
class Risk:
    """How likely one customer is to leave within the policy's horizon, and who says so; what the signals are made of.

    `outlook` is the model's, None where the rule of thumb tells.
    """

    probability: float
    level: Level
    source: Source
    confidence: Confidence
    version: str
    outlook: Outlook | None
    expected: date | None
    ltv_at_risk: float | None


def predict_one(
    predictors: Predictors, signals: Signals, now: datetime, catalogue: Catalogue
) -> Prediction | None:
    """What is told of one customer's risk of leaving, from all signals at `now`, ages and health among them.

    None in the first 7 days and once the customer has cancelled. Without a known sign-up nobody counts as young.
    """
    risk = rate_one(predictors, signals, now, catalogue)
    return None if risk is None else describe_risk(predictors, risk, signals, now)


def rate_one(predictors: Predictors, signals: Signals, now: datetime, catalogue: Catalogue) -> Risk | None:
    """The risk alone, which is all that most customers are asked for most of the time."""
    if not is_scored(signals):
        return None
    found: Outlook | None = None
    source: Source = "rule_of_thumb"
    confidence: Confidence = "medium"
    version = RULE_OF_THUMB
    model, health = predictors.model, predictors.health
    if model is not None or health is not None:
        features = feature_row(signals, catalogue)
        if model is not None and (known := covers(model, features)) >= COVERED:
            found = outlook(model, features, renewal_days(signals, now))
            source, version = "model", predictors.model_version
            if known >= WELL_COVERED and not predictors.stale:
                confidence = "high"
        elif health is not None and features.get("health_score") is not None:
            found = outlook(health, features, renewal_days(signals, now))
            source, version = "health", predictors.health_version
    if found is None:
        probability = probability_of(score_points(signals))
        expected = None
    else:
        probability = round_probability(found.within[predictors.horizon])
        expected = _day(now, found.expected)
    at_risk = value_at_risk(probability, signals, predictors.policy)
    return Risk(probability, level_of(probability), source, confidence, version, found, expected, at_risk)


def is_scored(signals: Signals) -> bool:
    """Whether churn is predicted of this customer at all."""
    young = read_number(signals, "account_age_days", NEVER_DAYS) < YOUNGEST_DAYS
    return not young and signals.get("subscription_status") != "cancelled"


def churn_signals(risk: Risk | Prediction | None) -> dict[str, Value]:
    """The catalogue's churn signals of a prediction; none without one."""
    if risk is None:
        return {}
    found: dict[str, Value] = {"churn_probability": risk.probability, "churn_risk_level": risk.level}
    if risk.expected is not None:
        found["predicted_churn_date"] = risk.expected
    if risk.ltv_at_risk is not None:
        found["ltv_at_risk"] = risk.ltv_at_risk
    return found


def renewal_days(signals: Signals, now: datetime) -> float | None:
    """Days from the UTC day of `now` to the renewal; None where it isn't known or over."""
    renewal = signals.get("renewal_date")
    # A time is a date to Python, too.
    if not isinstance(renewal, date) or isinstance(renewal, datetime):
        return None
    days = (renewal - now.astimezone(UTC).date()).days
    return float(days) if days >= 0 else None


def round_probability(exact: float) -> float:
    """To six decimals, half up."""
    return math.floor(exact * PARTS + 0.5) / PARTS


def value_at_risk(probability: float, signals: Signals, policy: ChurnPolicy) -> float | None:
    """The lifetime value at risk, in account currency; None where no monthly price is known."""
    price = read_number(signals, "monthly_price", math.nan)
    return None if math.isnan(price) else probability * policy.lifetime_months * price


def describe_risk(predictors: Predictors, risk: Risk, signals: Signals, now: datetime) -> Prediction:
    """The risk with everything that is told of it, from the same signals at the same `now`."""
    policy, probability, found = predictors.policy, risk.probability, risk.outlook
    urgency = urgency_of(probability)
    factors = name_factors(signals, now.astimezone(UTC).month, policy.market)
    multi_channel = probability > MULTI_CHANNEL_ABOVE
    reasons: tuple[Reason, ...]
    if found is None:
        strongest = sorted(score_points(signals).items(), key=lambda one: -one[1])
        reasons = tuple(Reason(signal, points / 100) for signal, points in strongest if points)
    else:
        reasons = found.reasons
    cost = None
    if risk.ltv_at_risk is not None:
        cost = min(policy.prevention_share * risk.ltv_at_risk, policy.prevention_limit)
    return Prediction(
        probability=probability,
        level=risk.level,
        urgency=urgency,
        source=risk.source,
        confidence=risk.confidence,
        version=risk.version,
        within=found.within if found else None,
        score=found.score if found else probability,
        base=found.base if found else 0.0,
        reasons=reasons,
        expected=risk.expected,
        earliest=_day(now, found.earliest) if found else None,
        latest=_day(now, found.latest) if found else None,
        factors=factors,
        actions=choose_actions(factors, risk.level, urgency, multi_channel),
        recommended=probability >= INTERVENE_FROM,
        multi_channel=multi_channel,
        priority=priority_of(probability),
        ltv_at_risk=risk.ltv_at_risk,
        prevention_cost=cost,
    )


def _day(now: datetime, days: float | None) -> date | None:
    """The UTC day that lies so many whole days from today."""
    return None if days is None else now.astimezone(UTC).date() + timedelta(days=math.floor(days))


def _version(model: HazardModel | None) -> str:
    return "" if model is None else version_of(model)
