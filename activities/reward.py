"""The step `reward`: a feature of the product, for a while or for good."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from schemas.duration import Duration
from schemas.frozen import Frozen
from schemas.step_type import StepType


class RewardArguments(Frozen):
    """Which feature is unlocked, and for how long."""

    model_config = ConfigDict(populate_by_name=True)

    feature: str = Field(
        description="The feature, by the name that the product knows it by.",
        pattern="^[a-z0-9]+([_-][a-z0-9]+)*$",
        max_length=64,
        examples=["premium"],
        json_schema_extra={"x-expects": "lower-case words with dashes"},
    )
    for_seconds: Duration | None = Field(
        None,
        alias="for",
        description="It is taken back after so long, whatever ended the run; for good where left out.",
    )


STEP = StepType(
    word="reward",
    about="Unlocks a feature for the customer: `reward: {feature: premium, for: 7d}`.",
    arguments=RewardArguments,
    activity="Reward.grant",
    outcomes=("granted",),
    shorthand="feature",
)
