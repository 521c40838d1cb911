"""The step `sms`: one text message."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class SmsArguments(Frozen):
    """A template of `playbooks/templates/`, or the text itself."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has an `sms` part.",
        pattern=NAME_PATTERN, examples=["short-nudge"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    text: Part | None = Field(None, description="The text; Jinja2, as in {{ customer.first_name }}.")
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="sms",
    about="Sends one text message: `sms: NAME` sends a template, a mapping gives its text here.",
    arguments=SmsArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="sms",
    sends=True,
)
