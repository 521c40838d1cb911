"""Whether a channel and a topic may be used, by what the customer said and the policy assumes."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.policy import Policy

# What needs a yes and an address, and respects the night: what a machine says on the phone, too. In-app messages, and
# calls and tasks of people, don't.
CONSENT_CHANNELS = ("email", "sms", "whatsapp", "push", "voice")
MESSAGE_CHANNELS = (*CONSENT_CHANNELS, "in_app")


def consented(
    policy: Policy, consent: Mapping[str, bool], channel: str, topic: str | None = None
) -> tuple[bool, str]:
    """Whether `channel` (and `topic`) may be used, and the word that decided it.

    A denial of the channel or the topic wins over everything. Silence is a yes only where the policy assumes
    it, and for what needs no consent; a yes to the topic on this channel is a yes to its messages.
    """
    words = [channel, *([f"{channel}:{topic}", topic] if topic else [])]
    denied = next((word for word in words if consent.get(word) is False), None)
    if denied is not None:
        return False, f"{denied} was refused"
    if channel not in CONSENT_CHANNELS or policy.consent.get(channel) == "assumed":
        return True, ""
    if consent.get(channel) or (topic and consent.get(f"{channel}:{topic}")):
        return True, ""
    return False, f"{channel} needs a yes and has none"


def consent_word(consent: Mapping[str, bool], channel: str, topic: str | None = None) -> str | None:
    """The yes that a message by this channel goes out on; None where it is assumed, or none is needed."""
    words = (f"{channel}:{topic}", channel) if topic else (channel,)
    return next((word for word in words if consent.get(word)), None)
