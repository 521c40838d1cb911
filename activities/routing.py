"""Which way a message goes: the channel, the address there, and whether it may leave now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from activities.messages import ANY_CHANNEL, parts_of
from activities.steps import Opened
from rules.best_time import ACTIVITY_DAYS, count_visits
from rules.reaching import choose_channel, order_channels
from rules.sending import (
    CONSENT_CHANNELS,
    SendDecision,
    SendRequest,
    consented,
    decide_send,
    valid_seconds,
)
from rules.whereabouts import country_of, zone_of
from rules.zones import zone_or_default
from schemas.facts import Facts
from schemas.plan import Act, CompiledPlaybook, SendWindow
from schemas.policy import Policy
from schemas.run import StepCall
from store.activity import load_presence
from store.contact import address_of
from store.database import Connection
from store.deliveries import delivery_id, load_recent_sends

# Caps look back no further.
RECENT = timedelta(days=31)


@dataclass(frozen=True)
class DueMessage:
    """One message that is due, and all that its way depends on.

    `recent` are messages sent before, by channel and instant; `presence` the instants of the last ACTIVITY_DAYS at
    which the customer was there, needed only where `wants_presence`.
    """

    playbook: CompiledPlaybook
    step: Act
    policy: Policy
    facts: Facts
    due_at: datetime
    recent: Sequence[tuple[str, datetime]] = ()
    presence: Sequence[datetime] = ()


@dataclass(frozen=True)
class Route:
    """What is decided for one message; `why` says in words why it takes this channel, where there was a choice.

    `unprovided` where no channel of it has a provider here. `valid_for_seconds`: see `valid_seconds`.
    """

    channel: str
    address: str | None
    decision: SendDecision
    why: str = ""
    unprovided: bool = False
    valid_for_seconds: int | None = None


def channels_of(playbook: CompiledPlaybook, step: Act, policy: Policy) -> tuple[str, ...]:
    """The channels that a message may take, the most wanted first."""
    if step.word != ANY_CHANNEL:
        return (step.word,)
    written = step.args.get("channels")
    ordered = order_channels(written, policy.costs)
    if written:
        return ordered
    having = tuple(channel for channel in ordered if parts_of(playbook, step, channel))
    return having or ordered


def topic_of(playbook: CompiledPlaybook, step: Act) -> str | None:
    """What the customer can unsubscribe from, by the step or its send window."""
    topic: str | None = step.args.get("topic")
    return topic or (window.topic if (window := _window(playbook, step)) else None)


def wants_presence(playbook: CompiledPlaybook, step: Act) -> bool:
    """Whether the message looks for the customer's best hour, and so for when they were there before."""
    window = _window(playbook, step)
    return window is not None and bool(window.best_time)


def open_channels(facts: Facts, policy: Policy) -> dict[str, bool]:
    """Of each channel that needs consent, whether consent and an address that may be used are there."""
    return {
        channel: address_of(channel, facts.profile) is not None
        and channel not in facts.suppressed
        and consented(policy, facts.consent, channel)[0]
        for channel in CONSENT_CHANNELS
    }


async def find_route(
    connection: Connection,
    opened: Opened,
    step: Act,
    call: StepCall,
    *,
    available: Collection[str],
    only: str | None = None,
) -> Route:
    """Read what the way of one message depends on, and decide it (see `decide_route`)."""
    playbook, now, customer = opened.version.playbook, opened.now, opened.run.customer_id
    key = delivery_id(call.run_id, call.step, call.occurrence)
    # What shadow runs would have sent uses up caps of shadow runs only.
    shadow = opened.run.arm == "shadow"
    recent = await load_recent_sends(connection, customer, now - RECENT, but=key, shadow=shadow)
    presence: Sequence[datetime] = ()
    if wants_presence(playbook, step):
        presence = await load_presence(connection, customer, now - timedelta(days=ACTIVITY_DAYS), now)
    due = DueMessage(playbook, step, opened.policy, opened.known.facts, call.due_at, recent, presence)
    return decide_route(due, now=now, available=available, only=only)


def decide_route(
    due: DueMessage, *, now: datetime, available: Collection[str], only: str | None = None
) -> Route:
    """Decide for one message that is due. `available`: channels with a provider; `only`: it must stay on this one."""
    playbook, step = due.playbook, due.step
    channels = (only,) if only else channels_of(playbook, step, due.policy)
    missing = {}
    for channel in channels:
        if step.word == ANY_CHANNEL and not parts_of(playbook, step, channel):
            missing[channel] = "the template has no part for it"
        elif channel != "in_app" and channel not in available:
            missing[channel] = f"no provider is configured for {channel}"
    candidates = [channel for channel in channels if channel not in missing]
    if not candidates:
        why = "; ".join(f"{channel}: {reason}" for channel, reason in missing.items())
        unprovided = any(parts_of(playbook, step, channel) for channel in channels)
        told = missing[channels[0]] if len(channels) == 1 else why
        return Route(channels[0], None, SendDecision("unreachable", None, told), told, unprovided)
    requests = {channel: _make_request(due, channel) for channel in candidates}
    if step.word != ANY_CHANNEL:
        request = requests[step.word]
        decision, why, channel = decide_send(request, now=now), "", step.word
    else:
        choice = choose_channel(list(requests.values()), now=now, missing=missing)
        channel = choice.channel or candidates[0]
        why, request = choice.why, requests[channel]
        decision = replace(choice.decision, detail=choice.why)
    return Route(channel, request.address, decision, why, valid_for_seconds=valid_seconds(request, now=now))


def _window(playbook: CompiledPlaybook, step: Act) -> SendWindow | None:
    return step.send or playbook.send


def _make_request(due: DueMessage, channel: str) -> SendRequest:
    step, facts, zone = due.step, due.facts, zone_of(due.facts)
    visits: tuple[int, ...] = ()
    if wants_presence(due.playbook, step):
        visits = count_visits(due.presence, zone_or_default(zone, due.policy.default_zone))
    return SendRequest(
        channel=channel,
        topic=topic_of(due.playbook, step),
        critical=bool(step.args.get("critical")),
        address=address_of(channel, facts.profile),
        consent=facts.consent,
        suppressed=facts.suppressed.get(channel),
        zone=zone,
        country=country_of(facts),
        policy=due.policy,
        window=_window(due.playbook, step),
        recent=due.recent,
        hold_seconds=_hold_seconds(step, "held_quiet_hours"),
        cap_hold_seconds=_hold_seconds(step, "capped"),
        visits=visits,
        due_at=due.due_at,
    )


def _hold_seconds(step: Act, outcome: str) -> int:
    """How long the step lets itself be held for this reason."""
    reaction = step.outcomes.get(outcome)
    return (reaction.hold_seconds or 0) if reaction else 0
