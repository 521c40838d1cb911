"""What a score is made of: each factor's share, and the points of 100 that it weighs and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from schemas.health_model import EVERYONE, HealthModel
from scoring.health import Health


def weights_of(model: HealthModel, segment: str, plan: str | None) -> dict[str, float]:
    """The points of 100 that each factor weighs for customers of this segment and plan."""
    rows = model.plans.get(plan, {}) if plan is not None else {}
    row = (
        rows.get(segment)
        or rows.get(EVERYONE)
        or model.weights.get(segment)
        or model.weights.get(EVERYONE, {})
    )
    return {factor.name: row.get(factor.name, 0.0) for factor in model.factors}


def factor_shares(model: HealthModel, health: Health, plan: str | None) -> dict[str, float]:
    """The factors as shares, 0–1, whatever the model shows; there is none of what was left out or has no weight."""
    if model.shown != "points":
        return dict(health.factors)
    weights = weights_of(model, health.segment, plan)
    return {name: worth / weights[name] for name, worth in health.factors.items() if weights[name] > 0}


def in_percent(share: float) -> int:
    """A share as a whole number 0–100, half up; the inner rounding takes back what binary fractions do to a half."""
    return math.floor(round(100 * share, 9) + 0.5)


def percents(shares: Mapping[str, float]) -> dict[str, int]:
    """Each of these in whole numbers 0–100."""
    return {name: in_percent(share) for name, share in shares.items()}
