"""The step `in_app`: one message inside the product."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class InAppArguments(Frozen):
    """A template of `playbooks/templates/`, or title and text themselves."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has an `in_app` part.",
        pattern=NAME_PATTERN, examples=["short-nudge"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    title: Part | None = Field(None, description="The headline; Jinja2.")
    text: Part | None = Field(None, description="The text; Jinja2, as in {{ customer.first_name }}.")
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps.")


STEP = StepType(
    word="in_app",
    about="Shows one message inside the product: `in_app: NAME` shows a template, a mapping its parts.",
    arguments=InAppArguments,
    activity="Delivery.show",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="in_app",
)
