"""How far a customer has come on the path to success, what stands in the way, and what to do next; no I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from schemas.milestones import Milestone

BlockerKind = Literal["milestone_overdue", "no_login", "open_ticket", "failed_payment", "email_bounce"]
# The first days, during which everybody is in onboarding.
ONBOARDING_DAYS = 30
# Whoever hasn't been there for so long is stuck with more than a milestone.
ABSENT_DAYS = 7
# Nobody is taken to be slower, or faster, than so many times the targets.
SLOWEST, FASTEST = 4.0, 0.25
MOST_ACTIONS = 4


@dataclass(frozen=True, slots=True)
class OnboardingFacts:
    """What is known of one customer; None: not known. `reached` has the moment of every milestone, by type.

    `bounced`: the last mail came back.
    """

    signed_up_at: datetime
    reached: Mapping[str, datetime]
    days_since_last_login: int | None = None
    open_tickets: int = 0
    failed_payments_30d: int = 0
    past_due: bool = False
    bounced: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One milestone of a customer's path: `day` is the day since the sign-up on which it was reached.

    `late_days`: by how many days it was, or is, past its target.
    """

    milestone: Milestone
    achieved_at: datetime | None
    day: int | None
    due_on: date
    late_days: int


@dataclass(frozen=True, slots=True)
class Blocker:
    """What stands in the way, for people."""

    kind: BlockerKind
    description: str


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Where a customer stands. Steps are those of the critical path, or of the whole path where none is critical.

    `current_step` counts from 1; it is `total_steps` + 1 when all are done. `current` is None then.
    `share` is the weight of what is reached of all weight on the path.
    """

    path: Sequence[Step]
    current_step: int
    total_steps: int
    current: Milestone | None
    milestones_completed: int
    total_milestones: int
    share: float
    days_in_onboarding: int
    in_onboarding: bool
    expected_completion: date | None
    completed_on: date | None
    late_days: int
    blockers: Sequence[Blocker]
    next_actions: Sequence[str]

    @property
    def off_track(self) -> bool:
        """Whether a step of the critical path is past its target and not done."""
        return self.late_days > 0


def describe_onboarding(path: Sequence[Milestone], facts: OnboardingFacts, *, now: datetime) -> Onboarding:
    """Progress on `path` (a customer's own, in its order).

    In onboarding is whoever signed up within 30 days, or hasn't done the critical path. The expected completion is the
    last target day of what is left, stretched by the customer's own pace (`pace_of`), and never before tomorrow.
    """
    age_days = max(0, (now - facts.signed_up_at).days)
    steps = [_step(one, facts, age_days) for one in path]
    critical = [step for step in steps if step.milestone.critical] or steps
    left = [step for step in critical if step.achieved_at is None]
    done = len(critical) - len(left)
    current = left[0] if left else None
    late = max((step.late_days for step in left), default=0)
    whole = sum(step.milestone.weight for step in steps)
    has = sum(step.milestone.weight for step in steps if step.achieved_at is not None)
    blockers = _blockers(current, left, facts)
    finished = [step.achieved_at for step in critical if step.achieved_at is not None]
    return Onboarding(
        path=steps,
        current_step=done + 1,
        total_steps=len(critical),
        current=current.milestone if current else None,
        milestones_completed=sum(step.achieved_at is not None for step in steps),
        total_milestones=len(steps),
        share=has / whole if whole else (1.0 if not left else 0.0),
        days_in_onboarding=_days_in(facts, finished, age_days, done=not left),
        in_onboarding=age_days < ONBOARDING_DAYS or bool(left),
        expected_completion=_expected(critical, left, facts, age_days) if left else None,
        completed_on=max(finished).date() if finished and not left else None,
        late_days=late,
        blockers=blockers,
        next_actions=_actions(current, blockers, facts),
    )


def _step(milestone: Milestone, facts: OnboardingFacts, age_days: int) -> Step:
    at = facts.reached.get(milestone.type)
    day = None if at is None else max(0, (at - facts.signed_up_at).days)
    late = (age_days if day is None else day) - milestone.target_days
    due = (facts.signed_up_at + timedelta(days=milestone.target_days)).date()
    return Step(milestone, at, day, due, max(0, late))


def _days_in(facts: OnboardingFacts, finished: Sequence[datetime], age_days: int, *, done: bool) -> int:
    if done and finished and age_days >= ONBOARDING_DAYS:
        return max(0, (max(finished) - facts.signed_up_at).days)
    return age_days


def pace_of(steps: Sequence[Step]) -> float:
    """How many times the target days a customer takes: the mean of day reached / target day (a day at least) over what
    is done, held to 0.25–4; 1 before anything is done.
    """
    taken = [step.day / max(1, step.milestone.target_days) for step in steps if step.day is not None]
    return min(SLOWEST, max(FASTEST, sum(taken) / len(taken))) if taken else 1.0


def _expected(steps: Sequence[Step], left: Sequence[Step], facts: OnboardingFacts, age_days: int) -> date:
    target = max(step.milestone.target_days for step in left)
    day = math.ceil(target * pace_of(steps))
    return (facts.signed_up_at + timedelta(days=max(day, age_days + 1))).date()


def _blockers(current: Step | None, left: Sequence[Step], facts: OnboardingFacts) -> list[Blocker]:
    found = []
    late = [step for step in left if step.late_days > 0]
    if current is not None and late:
        worst = current if current.late_days else late[0]
        more = f", and {len(late) - 1} more" if len(late) > 1 else ""
        told = f"{worst.milestone.name} is {_days(worst.late_days)} past its target{more}"
        found.append(Blocker("milestone_overdue", told))
    if facts.days_since_last_login is None:
        found.append(Blocker("no_login", "Has never logged in"))
    elif facts.days_since_last_login >= ABSENT_DAYS:
        found.append(Blocker("no_login", f"No login for {_days(facts.days_since_last_login)}"))
    if facts.open_tickets:
        what = (
            "A support ticket is open"
            if facts.open_tickets == 1
            else f"{facts.open_tickets} support tickets are open"
        )
        found.append(Blocker("open_ticket", what))
    if facts.failed_payments_30d or facts.past_due:
        found.append(
            Blocker(
                "failed_payment", "A payment failed" if facts.failed_payments_30d else "A payment is past due"
            )
        )
    if facts.bounced:
        found.append(Blocker("email_bounce", "The last mail came back"))
    return found


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


_ACTIONS: Mapping[BlockerKind, str] = {
    "open_ticket": "See that the open ticket is answered first.",
    "failed_payment": "Settle the payment with them, so that they aren't locked out.",
    "email_bounce": "Ask for another e-mail address.",
}


def _actions(current: Step | None, blockers: Sequence[Blocker], facts: OnboardingFacts) -> list[str]:
    kinds = {blocker.kind for blocker in blockers}
    found = [told for kind, told in _ACTIONS.items() if kind in kinds]
    if "no_login" in kinds:
        invite = (
            "Invite them in, with the link to sign in"
            if facts.days_since_last_login is None
            else "Get in touch"
        )
        reach = "by phone" if facts.bounced else "personally"
        found.append(f"{invite}, {reach}.")
    if current is not None:
        name, about = current.milestone.name, current.milestone.description
        if current.late_days > current.milestone.target_days:
            found.append(f"Offer a call to do “{name}” together.")
        else:
            found.append(f"Help with “{name}”{f': {about}' if about else '.'}")
    return found[:MOST_ACTIONS]
