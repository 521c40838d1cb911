"""Which way a message goes: the channel, the address there, and whether it may leave now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from activities.messages import ANY_CHANNEL, parts_of
from activities.steps import Opened
from rules.best_time import ACTIVITY_DAYS, count_visits
from rules.reaching import choose_channel, order_channels
from rules.sending import SendDecision, SendRequest, decide_send, valid_seconds
from rules.zones import zone_or_default
from schemas.plan import Act, SendWindow
from schemas.run import StepCall
from store.activity import load_presence
from store.contact import address_of
from store.database import Connection
from store.deliveries import delivery_id, load_recent_sends

# Caps look back no further.
RECENT = timedelta(days=31)


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


def channels_of(step: Act, opened: Opened) -> tuple[str, ...]:
    """The channels that a message may take, the most wanted first."""
    if step.word != ANY_CHANNEL:
        return (step.word,)
    written = step.args.get("channels")
    ordered = order_channels(written, opened.policy.costs)
    if written:
        return ordered
    having = tuple(channel for channel in ordered if parts_of(opened.version.playbook, step, channel))
    return having or ordered


async def find_route(
    connection: Connection,
    opened: Opened,
    step: Act,
    call: StepCall,
    *,
    available: Collection[str],
    only: str | None = None,
) -> Route:
    """Decide for one message that is due. `available`: channels with a provider; `only`: it must stay on this one."""
    channels = (only,) if only else channels_of(step, opened)
    missing = {}
    for channel in channels:
        if step.word == ANY_CHANNEL and not parts_of(opened.version.playbook, step, channel):
            missing[channel] = "the template has no part for it"
        elif channel != "in_app" and channel not in available:
            missing[channel] = f"no provider is configured for {channel}"
    candidates = [channel for channel in channels if channel not in missing]
    if not candidates:
        why = "; ".join(f"{channel}: {reason}" for channel, reason in missing.items())
        unprovided = any(parts_of(opened.version.playbook, step, channel) for channel in channels)
        told = missing[channels[0]] if len(channels) == 1 else why
        return Route(channels[0], None, SendDecision("unreachable", None, told), told, unprovided)
    common = await _make_request(connection, opened, step, call)
    requests = {channel: _on_channel(common, channel, opened) for channel in candidates}
    if step.word != ANY_CHANNEL:
        request = requests[step.word]
        decision, why, channel = decide_send(request, now=opened.now), "", step.word
    else:
        choice = choose_channel(list(requests.values()), now=opened.now, missing=missing)
        channel = choice.channel or candidates[0]
        why, request = choice.why, requests[channel]
        decision = replace(choice.decision, detail=choice.why)
    return Route(
        channel, request.address, decision, why, valid_for_seconds=valid_seconds(request, now=opened.now)
    )


def topic_of(step: Act, opened: Opened) -> str | None:
    """What the customer can unsubscribe from, by the step or its send window."""
    topic: str | None = step.args.get("topic")
    return topic or (window.topic if (window := _window(step, opened)) else None)


def _window(step: Act, opened: Opened) -> SendWindow | None:
    return step.send or opened.version.playbook.send


async def _make_request(connection: Connection, opened: Opened, step: Act, call: StepCall) -> SendRequest:
    """What is asked alike for every channel."""
    facts, now, customer = opened.known.facts, opened.now, opened.run.customer_id
    key = delivery_id(call.run_id, call.step, call.occurrence)
    # What shadow runs would have sent uses up caps of shadow runs only.
    shadow = opened.run.arm == "shadow"
    zone, country, window = facts.profile.get("timezone"), facts.signals.get("country"), _window(step, opened)
    zone = zone if isinstance(zone, str) else None
    visits: tuple[int, ...] = ()
    if window is not None and window.best_time:
        local = zone_or_default(zone, opened.policy.default_zone)
        there = await load_presence(connection, customer, now - timedelta(days=ACTIVITY_DAYS), now)
        visits = count_visits(there, local)
    held = (step.outcomes.get(name) for name in ("held_quiet_hours", "capped"))
    return SendRequest(
        channel=step.word,
        topic=topic_of(step, opened),
        critical=bool(step.args.get("critical")),
        consent=facts.consent,
        zone=zone,
        country=country if isinstance(country, str) else None,
        policy=opened.policy,
        window=window,
        recent=await load_recent_sends(connection, customer, now - RECENT, but=key, shadow=shadow),
        hold_seconds=max((reaction.hold_seconds or 0 for reaction in held if reaction), default=0),
        visits=visits,
        due_at=call.due_at,
    )


def _on_channel(common: SendRequest, channel: str, opened: Opened) -> SendRequest:
    facts = opened.known.facts
    return replace(
        common,
        channel=channel,
        address=address_of(channel, facts.profile),
        suppressed=facts.suppressed.get(channel),
    )
