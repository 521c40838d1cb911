"""The step `message`: one message on the channel that reaches the customer best."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN
from schemas.step_type import StepType

MessageChannel = Literal["in_app", "push", "email", "whatsapp", "sms", "voice"]


class MessageArguments(Frozen):
    """A template of `playbooks/templates/`, and the channels that it may take."""

    template: str = Field(
        description="Name of a file in playbooks/templates; it needs parts for at least one channel.",
        pattern=NAME_PATTERN, examples=["short-nudge"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    channels: Annotated[tuple[MessageChannel, ...], Field(min_length=1)] | None = Field(
        None,
        description="The best first; where left out, all that the template has parts for, first the one on which the "
        "customer answers best, of equal ones the cheapest.",
        examples=[["in_app", "sms"]],
        json_schema_extra={"x-expects": "a list of channels, such as [in_app, sms]", "uniqueItems": True},
    )
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="message",
    about="Sends one message on the best channel that can reach the customer: "
    "`message: NAME` takes any that the template has, `channels` names them in order of preference.",
    arguments=MessageArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    sends=True,
)
