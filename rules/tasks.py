"""What a person is asked to do: until when, how it stands with that, and what they may say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rules.calendar import working_due
from rules.working_hours import SLOT, working_before
from schemas.form import HOUR
from schemas.plan import Act
from schemas.policy import Policy

# What a person can say of every call or task; a step's own words come in addition.
OUTCOMES = ("reached", "no_answer", "declined", "rescheduled", "done")
# Whoever has it is reminded so much of the time allowed before it is due, and no earlier than that.
REMIND_SHARE = 4
REMIND_MOST_SECONDS = 4 * HOUR

Sla = Literal["on_time", "due_soon", "overdue"]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When work is due, when whoever has it is reminded, when somebody else is to do it (None: nobody), and when nobody
    is waited for any more.
    """

    due_at: datetime
    remind_at: datetime
    escalate_at: datetime | None
    give_up_at: datetime


def set_deadlines(step: Act, opened_at: datetime, policy: Policy) -> Deadlines:
    """The deadlines of work that is put on a list at `opened_at`; it is due within the team's working hours."""
    due_seconds = int(step.args["due_seconds"])
    due_at = working_due(opened_at, due_seconds, policy)
    escalation = step.args.get("escalate")
    remind = step.args.get("remind_seconds")
    seconds = int(remind) if remind else min(due_seconds // REMIND_SHARE, REMIND_MOST_SECONDS)
    return Deadlines(
        due_at=due_at,
        remind_at=max(opened_at, working_before(due_at, seconds, policy)),
        escalate_at=opened_at + timedelta(seconds=int(escalation["after_seconds"])) if escalation else None,
        give_up_at=due_at + timedelta(seconds=int(step.args["give_up_seconds"])),
    )


def move_deadlines(old: Deadlines, due_at: datetime, now: datetime) -> Deadlines:
    """The deadlines of work that was agreed to be done by `due_at`: as much before and after it as before.

    Nobody else takes it over before it is due, and nobody is waited for less long than was said.
    """
    return Deadlines(
        due_at=due_at,
        remind_at=max(now, due_at - (old.due_at - old.remind_at)),
        escalate_at=max(old.escalate_at, due_at) if old.escalate_at else None,
        give_up_at=max(old.give_up_at, due_at + (old.give_up_at - old.due_at)),
    )


def due_after(starts_at: datetime) -> datetime:
    """When an appointment is over, and so due."""
    return starts_at + SLOT


def sla_of(due_at: datetime, remind_at: datetime | None, done_at: datetime) -> Sla:
    """How open work stands at `done_at`, or how closed work stood then; it is due soon from its reminder on."""
    if done_at > due_at:
        return "overdue"
    return "due_soon" if remind_at is not None and done_at >= remind_at else "on_time"


def outcomes_of(step: Act) -> tuple[str, ...]:
    """What a person can say of this step."""
    return tuple(dict.fromkeys((*OUTCOMES, *(name for name in step.outcomes if name != "overdue"))))
