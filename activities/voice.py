"""The step `voice`: a phone call in which a text is read out."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class VoiceArguments(Frozen):
    """A template of `playbooks/templates/`, or the text itself."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has a `voice` part.",
        pattern=NAME_PATTERN, examples=["payment-last-notice"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    text: Part | None = Field(
        None, description="What is read out to whoever picks up; Jinja2, as in {{ customer.first_name }}."
    )
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="voice",
    about="Calls the customer and reads a text out: `voice: NAME` reads a template, a mapping gives its text here. "
    "`call` is for people who call.",
    arguments=VoiceArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="voice",
    sends=True,
)
