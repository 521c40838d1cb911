"""The step `set`: marks the customer with a tag or with attributes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.step_type import StepType

Tag = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Attribute = Annotated[str, StringConstraints(max_length=64, pattern="^[A-Za-z][A-Za-z0-9_]*$")]


class MarkArguments(Frozen):
    """What is true of the customer from now on."""

    tag: Tag | None = Field(
        None, description="A tag that the customer has from now on.", examples=["vip"],
        json_schema_extra={"x-expects": "a tag"},
    )  # fmt: skip
    untag: Tag | None = Field(
        None, description="A tag that the customer no longer has.", examples=["vip"],
        json_schema_extra={"x-expects": "a tag"},
    )  # fmt: skip
    attributes: dict[Attribute, Part | bool | int | float] | None = Field(
        None,
        description="Attributes by name, as an identify call sets them; texts are Jinja2.",
        min_length=1,
        examples=[{"tier": "gold"}],
        json_schema_extra={"x-expects": "a mapping of name to value"},
    )

    @model_validator(mode="after")
    def _says_something(self) -> MarkArguments:
        if self.tag is None and self.untag is None and self.attributes is None:
            raise ValueError("This sets nothing: write tag, untag or attributes")
        if self.attributes and "tags" in self.attributes:
            raise ValueError("Tags are set one by one: write tag or untag")
        return self


STEP = StepType(
    word="set",
    about="Marks the customer: `set: {tag: vip}`, `{untag: vip}`, `{attributes: {tier: gold}}`.",
    arguments=MarkArguments,
    activity="Mark.set",
    outcomes=("set", "failed"),
)
