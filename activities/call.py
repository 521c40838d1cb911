"""The step `call`: a phone call on a customer success manager's list."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from schemas.assignee import OWN_CSM, TeamChoice
from schemas.duration import Duration
from schemas.form import DAY
from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.step_type import StepType

PersonOrRole = Annotated[str, Field(min_length=1, max_length=100)]


class Escalation(Frozen):
    """Who takes over when it isn't done."""

    model_config = ConfigDict(populate_by_name=True)

    after_seconds: Duration = Field(alias="after", description="Counted from assignment.", examples=["24h"])
    to: str = Field(
        min_length=1, max_length=100, examples=["cs-lead"],
        description="A role or a person; lead is the lead of the team that the work went to.",
    )  # fmt: skip


class CallArguments(Frozen):
    """What is to be said, by whom, and until when."""

    model_config = ConfigDict(populate_by_name=True)

    title: Part = Field(
        description="One line for the list; Jinja2.",
        examples=['"{{ customer.first_name }}: usage is down"'],
    )
    about: Part | None = Field(None, description="What whoever does it should know; Jinja2.")
    assign: PersonOrRole | TeamChoice = Field(
        OWN_CSM,
        description="csm (the customer's own, where left out), a role or a person; or somebody of a team of the "
        "policy, as in {team: cs, by: round_robin}.",
        examples=["csm"],
    )
    due_seconds: Duration = Field(
        DAY, alias="due", description="When it should be done, moved to working hours; 24h where left out."
    )
    remind_seconds: Duration | None = Field(
        None,
        alias="remind",
        description="So much working time before it is due whoever has it is reminded; a quarter of `due`, at most 4h, "
        "where left out.",
    )
    escalate: Escalation | None = Field(None, description="Who is told when it isn't done.")
    give_up_seconds: Duration = Field(
        7 * DAY,
        alias="give_up",
        description="So long after it was due the step ends as `overdue`; 7d where left out.",
    )


STEP = StepType(
    word="call",
    about="Puts a call on a person's list and waits for its outcome.",
    arguments=CallArguments,
    activity="Tasks.assign",
    outcomes=("reached", "no_answer", "declined", "rescheduled", "done", "overdue"),
    human=True,
)
