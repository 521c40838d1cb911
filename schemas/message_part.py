"""The parts of a message: each a text, or a text with what is sent where a value is missing."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from schemas.frozen import Frozen


class DefaultedText(Frozen):
    """A text with what is sent instead where a value that it uses is missing."""

    text: str = Field(min_length=1, description="The text, with values as in {{ customer.first_name }}.")
    default: str = Field(description="What is sent instead where a value is missing.")


Part = str | DefaultedText

# Channel -> its parts.
CHANNEL_PARTS: dict[str, tuple[str, ...]] = {
    "email": ("subject", "text", "html"),
    "sms": ("text",),
    "push": ("title", "text"),
    "in_app": ("title", "text"),
    "whatsapp": ("content_sid", "variables", "text"),
    "voice": ("text",),
}
HTML_PARTS = ("html",)

NAME_PATTERN = "^[a-z0-9]+(-[a-z0-9]+)*$"

# What a message step can end with; `held_quiet_hours` and `capped` are tried again, the others are final.
MESSAGE_OUTCOMES = (
    "sent", "held_quiet_hours", "capped", "unreachable", "no_consent", "suppressed", "failed", "unknown",
)  # fmt: skip
HELD_OUTCOMES = ("held_quiet_hours", "capped")


def is_message(channel: str | None, outcomes: Collection[str]) -> bool:
    """Whether a step type sends the customer a message: it has a channel, or picks one when it is due."""
    return channel is not None or any(name in outcomes for name in HELD_OUTCOMES)
