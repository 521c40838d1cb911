"""What would raise a customer's health most, in words, from the health model's own factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.health_model import HealthModel

# A factor that costs less than this isn't worth a word.
LEAST_POINTS = 3.0
MOST = 3

# What to do about the factors that ship; others are told by what their file says of them.
_WORDS: Mapping[str, str] = {
    "login_frequency": "Bring them back: invite them to log in, with a reason of their own to do so.",
    "login_recency": "Bring them back: invite them to log in, with a reason of their own to do so.",
    "feature_adoption": "Show them a core feature that they don't use yet.",
    "adoption": "Help them to their first form, client import, journey or template.",
    "client_engagement": "Help them to bring their clients into the product.",
    "client_activity": "Help them to bring their clients into the product.",
    "support_health": "Ask how their last tickets went, and close what is open.",
    "billing_health": "Settle the subscription with them.",
    "onboarding_progress": "Take them through the next milestone of their onboarding.",
    "form_completion": "Look at their forms with them: clients leave them half done.",
    "journey_performance": "Look at their journeys with them: too few reach their end.",
}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do about a factor that is short; `points` is what its shortfall costs, of 100."""

    factor: str
    points: float
    text: str


def recommend(
    model: HealthModel, shares: Mapping[str, float], weights: Mapping[str, float]
) -> list[Recommendation]:
    """Up to three, the costliest shortfall (weight × what is missing of the share) first.

    `shares` are 0–1, `weights` points of 100; factors without a share aren't known, so nothing is said of them. They
    speak of factors, never of a customer's own figures.
    """
    told = {factor.name: factor.about for factor in model.factors}
    known = sum(weights.get(name, 0.0) for name in shares)
    # Where factors are left out, the others count for more.
    scale = 100 / known if known > 0 else 0.0
    found = [
        Recommendation(name, points, _word(name, told.get(name, "")))
        for name, share in shares.items()
        if (points := round(scale * weights.get(name, 0.0) * (1 - share), 1)) >= LEAST_POINTS
    ]
    return sorted(found, key=lambda one: (-one.points, one.factor))[:MOST]


def _word(name: str, about: str) -> str:
    if name in _WORDS:
        return _WORDS[name]
    words = name.replace("_", " ").replace("-", " ")
    return f"Work on {words}. {about}".strip() if about else f"Work on {words}."
