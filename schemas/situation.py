"""What is known of one customer that may ask for somebody's hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class AbandonedFeature:
    """A feature that a customer used, and how likely it is being given up (0–1); the day is UTC."""

    feature_key: str
    abandonment_risk: float
    last_used_at: date


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of one customer that may ask for somebody's hands.

    `call_due_at` and `call_title` are those of the open call that is due first, `talked_at` is when a call was last
    completed. `bounced_at` is when their last mail came back, None where one arrived since. `active` is false for who
    has left.
    """

    risk_level: str | None = None
    churn_probability: float | None = None
    subscription_status: str | None = None
    failed_payments_30d: float | None = None
    call_title: str | None = None
    call_due_at: datetime | None = None
    talked_at: datetime | None = None
    bounced_at: datetime | None = None
    abandoned: Sequence[AbandonedFeature] = ()

    @property
    def active(self) -> bool:
        """Whether they are a customer still."""
        return self.subscription_status != "cancelled"
