"""What a customer may choose on the preferences page, and what a posted choice changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rules.consent import CONSENT_CHANNELS, MESSAGE_CHANNELS, consented
from schemas.policy import Policy
from store.addresses import address_of

TITLES: Mapping[str, str] = {
    "email": "E-mail", "sms": "Text messages (SMS)", "whatsapp": "WhatsApp", "push": "Notifications on your phone",
    "voice": "Automatic calls", "in_app": "Messages inside the product",
}  # fmt: skip


@dataclass(frozen=True)
class Switch:
    """One choice: a channel (`topic` is empty), or a topic on it; `word` is what a form calls it."""

    channel: str
    topic: str
    on: bool

    @property
    def word(self) -> str:
        return f"{self.channel}:{self.topic}" if self.topic else self.channel


@dataclass(frozen=True)
class Section:
    """One channel with its topics; `suppressed` says why nothing is sent to the customer's address there."""

    title: str
    switches: Sequence[Switch]
    suppressed: str | None


def list_sections(
    policy: Policy,
    profile: Mapping[str, object],
    consent: Mapping[str, bool],
    suppressed: Mapping[str, str],
) -> list[Section]:
    """The channels that reach this customer, or that they once said yes or no to.

    Topics are those of the policy, and those that the customer unsubscribed from wherever they came from.
    """
    spoken_of = [word.partition(":") for word in consent]
    topics = dict.fromkeys((*policy.topics, *(topic for _, _, topic in spoken_of if topic)))
    sections = []
    for channel in MESSAGE_CHANNELS:
        if address_of(channel, profile) or any(named == channel for named, _, _ in spoken_of):
            allowed = {topic: consented(policy, consent, channel, topic)[0] for topic in ("", *topics)}
            # Whoever said yes to one topic is written to there, about that one.
            writes = any(allowed.values())
            switches = [Switch(channel, "", writes)]
            switches += [
                Switch(channel, topic, allowed[topic] if writes else _wanted(consent, channel, topic))
                for topic in topics
            ]
            sections.append(Section(TITLES[channel], switches, suppressed.get(channel)))
    return sections


def find_changes(
    sections: Sequence[Section], shown: Collection[str], chosen: Collection[str], consent: Mapping[str, bool]
) -> dict[tuple[str, str], bool]:
    """(channel, topic) -> yes or no, for each switch that the customer turned.

    `shown` are the words that were on when the page was opened: what changed elsewhere since then isn't undone by
    somebody who never touched it.
    """
    switches = [switch for section in sections for switch in section.switches]
    changes = {
        (switch.channel, switch.topic): switch.word in chosen
        for switch in switches
        if (switch.word in chosen) != (switch.word in shown)
    }
    for topic in {
        topic for (_, topic), on in changes.items() if on and topic and consent.get(topic) is False
    }:
        # It was refused wherever it may come from, which is over now; here and there it stays refused.
        changes[topic, ""] = True
        changes |= {(one.channel, topic): one.word in chosen for one in switches if one.topic == topic}
    off = {one.channel for one in switches if not one.topic and one.word not in chosen}
    # A yes to a topic is a yes to be written to about it, which isn't meant while the channel is off.
    return changes | {
        (name, ""): False for (name, topic), on in changes.items() if on and topic and name in off
    }


def refuse_all(sections: Sequence[Section]) -> dict[tuple[str, str], bool]:
    """No to everything that needs consent, addresses that come later included, and to what is shown here."""
    shown = {switch.channel for section in sections for switch in section.switches}
    return {
        (channel, ""): False
        for channel in MESSAGE_CHANNELS
        if channel in shown or channel in CONSENT_CHANNELS
    }


def _wanted(consent: Mapping[str, bool], channel: str, topic: str) -> bool:
    return consent.get(f"{channel}:{topic}") is not False and consent.get(topic) is not False
