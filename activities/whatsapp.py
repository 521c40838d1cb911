"""The step `whatsapp`: one WhatsApp message."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class WhatsappArguments(Frozen):
    """A template of `playbooks/templates/`, or an approved template at Twilio with its variables."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has a `whatsapp` part.",
        pattern=NAME_PATTERN, examples=["short-nudge"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    content_sid: str | None = Field(
        None, description="The template that WhatsApp approved, as Twilio calls it.",
        pattern="^HX[0-9a-fA-F]{32}$", examples=["HX00000000000000000000000000000000"],
        json_schema_extra={"x-expects": "HX and 32 hexadecimal digits"},
    )  # fmt: skip
    variables: dict[str, Part] | None = Field(
        None, description="The template's variables by name; Jinja2, as in {{ customer.first_name }}."
    )
    text: Part | None = Field(
        None,
        description="What is written instead of the template within 24 hours of the customer's own message, when "
        "WhatsApp takes any text; Jinja2.",
    )
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="whatsapp",
    about="Sends one WhatsApp message: `whatsapp: NAME` sends a template, a mapping gives its parts here.",
    arguments=WhatsappArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="whatsapp",
    sends=True,
)
