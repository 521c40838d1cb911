"""What is told of a customer's risk of leaving, whoever predicted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from scoring.churn import Level, Urgency
from scoring.hazard.outlook import Reason

Source = Literal["model", "health", "rule_of_thumb"]
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One customer's risk of leaving. Money is in the account's currency, None where no monthly price is known.

    `probability` is for the policy's horizon; `within` for 30, 60 and 90 days (None: the rule of thumb knows no
    horizons). `version` is the artifact's, or `rule-of-thumb`. `factors` are the six named ones of the domain, 0–1;
    `reasons` say in log-odds (of the rule of thumb: in points over 100) what `score` is made of, strongest first:
    `base` and all of them add up to it. `priority` is 1 (least) to 5.
    """

    probability: float
    level: Level
    urgency: Urgency
    source: Source
    confidence: Confidence
    version: str
    within: tuple[float, float, float] | None = None
    score: float = 0.0
    base: float = 0.0
    reasons: tuple[Reason, ...] = ()
    expected: date | None = None
    earliest: date | None = None
    latest: date | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    recommended: bool = False
    multi_channel: bool = False
    priority: int = 1
    ltv_at_risk: float | None = None
    prevention_cost: float | None = None
