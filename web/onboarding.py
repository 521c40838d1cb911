"""From what is stored of a customer to where they stand in their onboarding."""

from __future__ import annotations

from datetime import datetime

from schemas.milestones import Milestones
from scoring.onboarding import Onboarding, OnboardingFacts, describe_onboarding
from store.reading_onboarding import OnboardingRow


def tell_onboarding(row: OnboardingRow, milestones: Milestones, now: datetime) -> Onboarding:
    """Where the customer stands at `now`, on the path of their segment."""
    away = None if row.last_login is None else max(0, (now - row.last_login).days)
    facts = OnboardingFacts(
        signed_up_at=row.signed_up_at,
        reached=row.reached,
        days_since_last_login=away,
        open_tickets=int(row.open_tickets or 0),
        failed_payments_30d=int(row.failed_payments_30d or 0),
        past_due=row.subscription_status == "past_due",
        bounced=row.bounced_at is not None,
    )
    return describe_onboarding(milestones.path_of(row.segment), facts, now=now)
