"""What somebody should do about a customer now: a call, another address, a bill, a feature that is being given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from schemas.situation import Situation

UrgentKind = Literal["call_required", "email_bounce", "billing_issue", "feature_abandonment"]
Priority = Literal["critical", "high", "medium", "low"]
_RANK: dict[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}

# From these churn probabilities on somebody calls: at once, or within two days. As the levels of churn have it.
CALL_AT_ONCE = 0.8
CALL_SOON = 0.6
# Whoever was talked to so lately isn't called again only because the score is still low.
TALKED_LATELY = timedelta(days=7)
# A feature that was a habit and is abandoned this likely is worth a word.
GIVEN_UP = 0.6
MOST_FEATURES = 3


@dataclass(frozen=True, slots=True)
class UrgentAction:
    """One thing to do, by its UTC due date; the effort is what it usually takes, in minutes."""

    kind: UrgentKind
    description: str
    priority: Priority
    due_date: date
    effort_minutes: int


def urgent_actions(situation: Situation, *, now: datetime) -> list[UrgentAction]:
    """What is to be done, the most pressing first; at most one of each kind.

    call_required: an open call, else a churn probability from 0.6 on or a critical risk, unless they were talked to in
    the last 7 days. email_bounce: the last mail came back. billing_issue: past due, or a payment failed in 30 days.
    feature_abandonment: a feature with a risk of abandonment from 0.6 on. Who cancelled has open calls only.
    """
    found = [_call(situation, now)]
    if situation.active:
        found += [_bounce(situation, now), _billing(situation, now), _features(situation, now)]
    return sorted(
        (one for one in found if one is not None),
        key=lambda one: (_RANK[one.priority], one.due_date, one.kind),
    )


def _call(situation: Situation, now: datetime) -> UrgentAction | None:
    churn = situation.churn_probability or 0.0
    if situation.call_due_at is not None:
        late = situation.call_due_at < now
        return UrgentAction(
            "call_required",
            f"{situation.call_title or 'Call them'}{' (overdue)' if late else ''}",
            "critical" if late or churn >= CALL_AT_ONCE else "high",
            situation.call_due_at.astimezone(UTC).date(),
            30,
        )
    talked_lately = situation.talked_at is not None and now - situation.talked_at < TALKED_LATELY
    if not situation.active or talked_lately:
        return None
    today = now.astimezone(UTC).date()
    if churn >= CALL_AT_ONCE:
        return UrgentAction(
            "call_required", f"Call today: likely to leave ({churn:.0%})", "critical", today, 30
        )
    if churn >= CALL_SOON:
        return UrgentAction(
            "call_required", f"Call: likely to leave ({churn:.0%})", "high", today + timedelta(days=2), 30
        )
    if situation.risk_level == "critical":
        return UrgentAction(
            "call_required", "Call: health is critical", "high", today + timedelta(days=2), 30
        )
    return None


def _bounce(situation: Situation, now: datetime) -> UrgentAction | None:
    if situation.bounced_at is None:
        return None
    day = situation.bounced_at.astimezone(UTC).date()
    return UrgentAction(
        "email_bounce",
        f"Find another e-mail address: the mail of {day:%b} {day.day} came back",
        "medium",
        max(day + timedelta(days=3), now.astimezone(UTC).date()),
        10,
    )


def _billing(situation: Situation, now: datetime) -> UrgentAction | None:
    failed = int(situation.failed_payments_30d or 0)
    past_due = situation.subscription_status == "past_due"
    if not failed and not past_due:
        return None
    told = []
    if past_due:
        told.append("payment is past due")
    if failed:
        told.append(f"{failed} payment{'s' if failed > 1 else ''} failed in 30 days")
    return UrgentAction(
        "billing_issue",
        f"Settle billing: {', '.join(told)}",
        "high" if past_due else "medium",
        now.astimezone(UTC).date() + timedelta(days=1 if past_due else 3),
        15,
    )


def _features(situation: Situation, now: datetime) -> UrgentAction | None:
    given_up = sorted(
        (one for one in situation.abandoned if one.abandonment_risk >= GIVEN_UP),
        key=lambda one: (-one.abandonment_risk, one.last_used_at, one.feature_key),
    )
    if not given_up:
        return None
    names = [one.feature_key.replace("_", " ") for one in given_up[:MOST_FEATURES]]
    more = len(given_up) - len(names)
    return UrgentAction(
        "feature_abandonment",
        f"Show them again: {', '.join(names)}{f' and {more} more' if more else ''}",
        "medium" if len(given_up) >= MOST_FEATURES else "low",
        now.astimezone(UTC).date() + timedelta(days=7),
        20,
    )
