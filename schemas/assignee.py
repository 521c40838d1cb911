"""Whose list a call or task goes on, as a step says it: a person, or somebody of a team."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import NAME_PATTERN

# The customer's own customer success manager, and the lead of the team that the work went to.
OWN_CSM = "csm"
LEAD = "lead"

Way = Literal["round_robin", "load", "owner"]


class TeamChoice(Frozen):
    """Somebody of a team."""

    team: str = Field(
        pattern=NAME_PATTERN, max_length=64, examples=["cs"], description="A team of the policy.",
        json_schema_extra={"x-team": True},
    )  # fmt: skip
    by: Way | None = Field(
        None,
        description="round_robin: in turns. load: whoever has the least open work. owner: the customer's own CSM where "
        "they are of the team and there, else in turns. Left out: it waits on the team's list until somebody takes it.",
    )


Assignee = str | TeamChoice


def read_assignee(value: Any) -> Assignee:
    """What a compiled step's `assign` says; `csm` where it says nothing."""
    return TeamChoice.model_validate(value) if isinstance(value, dict) else str(value or OWN_CSM)


def name_assignee(value: Any) -> str:
    """The same in a word, for counting: a team's work is the team's."""
    assignee = read_assignee(value)
    return assignee if isinstance(assignee, str) else assignee.team
