"""What a person is asked to do: whose it is, until when, and what they may say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rules.calendar import working_due
from schemas.plan import Act
from schemas.policy import Policy

UNASSIGNED = "unassigned"
# What a person can say of every call or task; a step's own words come in addition.
OUTCOMES = ("reached", "no_answer", "declined", "rescheduled", "done")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When work is due, when somebody else is to do it (None: nobody), and when nobody is waited for any more."""

    due_at: datetime
    escalate_at: datetime | None
    give_up_at: datetime


def set_deadlines(step: Act, opened_at: datetime, policy: Policy) -> Deadlines:
    """The deadlines of work that is put on a list at `opened_at`; it is due within the team's working hours."""
    due_at = working_due(opened_at, int(step.args["due_seconds"]), policy)
    escalation = step.args.get("escalate")
    return Deadlines(
        due_at=due_at,
        escalate_at=opened_at + timedelta(seconds=int(escalation["after_seconds"])) if escalation else None,
        give_up_at=due_at + timedelta(seconds=int(step.args["give_up_seconds"])),
    )


def assignee_of(step: Act, profile: Mapping[str, Any]) -> str:
    """Whose list it goes on; `csm` stands for whoever looks after this customer."""
    assignee = str(step.args.get("assign") or "csm")
    return str(profile.get("csm") or UNASSIGNED) if assignee == "csm" else assignee


def outcomes_of(step: Act) -> tuple[str, ...]:
    """What a person can say of this step."""
    return tuple(dict.fromkeys((*OUTCOMES, *(name for name in step.outcomes if name != "overdue"))))
