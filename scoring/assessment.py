"""Everything that health and churn say of one customer at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from schemas.health_model import HealthModel
from scoring.cohorts import Place
from scoring.health import Health, Trend
from scoring.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Assessment:
    """One customer at `at`: health by `model`, and what is predicted (None: too young, or cancelled).

    `previous_score` is the last of an earlier day, `trend` the change against it; `plan` picks the model's weights;
    `scores` are those of the midnights of the last 31 days, `place` is where the customer was counted before.
    """

    customer_id: str
    user_id: str
    at: datetime
    model: HealthModel
    health: Health
    plan: str | None
    enhanced_score: int | None
    previous_score: int | None
    trend: Trend | None
    influencer: bool | None
    prediction: Prediction | None
    scores: Mapping[date, int]
    place: Place
    cancelled: bool = False
