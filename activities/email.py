"""The step `email`: one e-mail."""

from __future__ import annotations

from pydantic import Field

from schemas.frozen import Frozen
from schemas.message_part import MESSAGE_OUTCOMES, NAME_PATTERN, Part
from schemas.step_type import StepType


class EmailArguments(Frozen):
    """A template of `playbooks/templates/`, or the parts themselves: a subject with text, html or both."""

    template: str | None = Field(
        None, description="Name of a file in playbooks/templates that has an `email` part.",
        pattern=NAME_PATTERN, examples=["best-invitations"],
        json_schema_extra={"x-expects": "the name of a template"},
    )  # fmt: skip
    subject: Part | None = Field(
        None, description="The subject line; Jinja2, as in {{ customer.first_name }}."
    )
    text: Part | None = Field(None, description="The plain text; made from `html` where left out.")
    html: Part | None = Field(None, description="The HTML; values are escaped.")
    from_name: str | None = Field(
        None, min_length=1, max_length=100, description="The name that the customer sees as the sender."
    )
    topic: str | None = Field(
        None, description="What the customer can unsubscribe from.", pattern=NAME_PATTERN
    )
    critical: bool = Field(False, description="Passes caps, but neither consent nor quiet hours.")


STEP = StepType(
    word="email",
    about="Sends one e-mail: `email: NAME` sends a template, a mapping gives its parts here.",
    arguments=EmailArguments,
    activity="Delivery.send",
    outcomes=MESSAGE_OUTCOMES,
    shorthand="template",
    channel="email",
    sends=True,
)
