"""The step `start`: another playbook for the same customer."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import NAME_PATTERN
from schemas.step_type import StepType


class StartArguments(Frozen):
    """Which playbook."""

    playbook: str = Field(
        description="A playbook beside this one; its own entry rules decide, its trigger isn't asked.",
        pattern=NAME_PATTERN, examples=["come-back"],
        json_schema_extra={"x-playbook": True, "x-expects": "the name of a playbook"},
    )  # fmt: skip


STEP = StepType(
    word="start",
    about="Lets the customer into another playbook, by that playbook's entry rules: `start: NAME`.",
    arguments=StartArguments,
    activity="Entry.ask",
    outcomes=("asked", "failed"),
    shorthand="playbook",
)
