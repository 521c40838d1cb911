"""The step `push`: one notification on the customer's phone."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class PushArguments(Frozen):
    """A template of `playbooks/templates/`, or title and text themselves."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has a `push` part.",
        pattern=NAME_PATTERN, examples=["short-nudge"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    title: Part | None = Field(None, description="The headline; Jinja2.")
    text: Part | None = Field(None, description="The text; Jinja2, as in {{ customer.first_name }}.")
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="push",
    about="Sends one push notification: `push: NAME` sends a template, a mapping gives its parts here.",
    arguments=PushArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="push",
    sends=True,
)
