"""Which way a message goes: the channel, the address there, and whether it may leave now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from activities.answers import AnswerBook
from activities.messages import ANY_CHANNEL, parts_of
from activities.steps import Opened
from rules.best_channel import (
    LOOKS_BACK,
    Answers,
    Rate,
    count_answers,
    describe_rate,
    draw_channel,
    rank_channels,
    rate_channels,
    share_out,
)
from rules.best_time import ACTIVITY_DAYS, count_visits
from rules.budget import goes_first
from rules.consent import CONSENT_CHANNELS, consented
from rules.instants import span
from rules.reaching import choose_channel, order_channels
from rules.sending import SendDecision, SendRequest, decide_send, valid_seconds
from rules.silence import NO_CONTACT, REPLY_EVENT, Contact
from rules.whereabouts import country_of, zone_of
from rules.zones import zone_or_default
from schemas.facts import Facts
from schemas.plan import Act, CompiledPlaybook, SendWindow
from schemas.policy import Policy
from schemas.run import StepCall
from schemas.sent import Sent, Waiting
from store.activity import load_presence
from store.addresses import address_of
from store.database import Connection
from store.deliveries import delivery_id, load_recent_sends
from store.message_history import load_contact, load_waiting


@dataclass(frozen=True)
class DueMessage:
    """One message that is due, and all that its way depends on; `key` is its delivery's id.

    `recent` are messages sent before, `waiting` those that caps hold; `contact` is when people were in contact with the
    customer. `presence` are the instants of the last ACTIVITY_DAYS at which the customer was there, needed only where
    `wants_presence`; `everybody` says how all customers answer by channel, needed only where `picks_channel`.
    `parked` are the channels by which only critical messages leave.
    """

    playbook: CompiledPlaybook
    step: Act
    policy: Policy
    facts: Facts
    due_at: datetime
    recent: Sequence[Sent] = ()
    presence: Sequence[datetime] = ()
    waiting: Sequence[Waiting] = ()
    contact: Contact = NO_CONTACT
    everybody: Mapping[str, Answers] = field(default_factory=dict)
    key: str = ""
    parked: Collection[str] = ()


@dataclass(frozen=True)
class Route:
    """What is decided for one message; `why` says in words why it takes this channel, where there was a choice.

    `unprovided` where no channel of it has a provider here. `valid_for_seconds`: see `valid_seconds`. `evidence` is
    what the choice of channel and moment went by.
    """

    channel: str
    address: str | None
    decision: SendDecision
    why: str = ""
    unprovided: bool = False
    valid_for_seconds: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


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


def picks_channel(step: Act) -> bool:
    """Whether the message looks for the channel on which the customer answers best: the author names none."""
    return step.word == ANY_CHANNEL and not step.args.get("channels")


def open_channels(facts: Facts, policy: Policy) -> dict[str, bool]:
    """Of each channel that needs consent, whether consent and an address that may be used are there."""
    return {
        channel: address_of(channel, facts.profile) is not None
        and channel not in facts.suppressed
        and consented(policy, facts.consent, channel)[0]
        for channel in CONSENT_CHANNELS
    }


async def load_due(
    connection: Connection, opened: Opened, step: Act, call: StepCall, answers: AnswerBook
) -> DueMessage:
    """Read what the way of one message depends on, under the customer's lock."""
    playbook, policy, now = opened.version.playbook, opened.policy, opened.now
    customer, key = opened.run.customer_id, delivery_id(call.run_id, call.step, call.occurrence)
    parked = await answers.read_parked(connection)
    due = DueMessage(playbook, step, policy, opened.known.facts, call.due_at, key=key, parked=parked)
    # What shadow runs would have sent uses up caps of shadow runs only.
    shadow = opened.run.arm == "shadow"
    if policy.caps or picks_channel(step):
        longest = max((span(cap.seconds) for cap in policy.caps.values()), default=LOOKS_BACK)
        since = now - max(LOOKS_BACK, longest)
        recent = await load_recent_sends(connection, customer, since, but=key, shadow=shadow)
        due = replace(due, recent=recent)
    if wants_presence(playbook, step):
        there = await load_presence(connection, customer, now - timedelta(days=ACTIVITY_DAYS), now)
        due = replace(due, presence=there)
    if policy.caps:
        due = replace(due, waiting=await load_waiting(connection, customer, shadow=shadow))
    if policy.silence is not None:
        replied_at, called_at = await load_contact(connection, customer, REPLY_EVENT, now)
        due = replace(due, contact=Contact(replied_at, called_at, open_tickets(due.facts)))
    if picks_channel(step):
        due = replace(due, everybody=await answers.read(connection, now))
    return due


def open_tickets(facts: Facts) -> float:
    """How many support tickets the customer has open, as far as is known."""
    number = facts.signals.get("open_tickets")
    return number if isinstance(number, int | float) else 0


def decide_route(
    due: DueMessage,
    *,
    now: datetime,
    available: Collection[str],
    only: str | None = None,
    without: Mapping[str, str] | None = None,
) -> Route:
    """Decide for one message that is due.

    available: channels with a provider. only: it must stay on this one. without: channels that it can't take, and why.
    """
    playbook, step = due.playbook, due.step
    channels = (only,) if only else channels_of(playbook, step, due.policy)
    missing = {channel: why for channel, why in (without or {}).items() if channel in channels}
    for channel in channels:
        if channel in missing:
            continue
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
    why, evidence = "", dict[str, Any]()
    if step.word != ANY_CHANNEL:
        channel, request = step.word, requests[step.word]
        decision = decide_send(request, now=now)
    else:
        told = ""
        if picks_channel(step) and not only:
            candidates, evidence, told = _order_by_answers(due, requests, now)
        choice = choose_channel([requests[channel] for channel in candidates], now=now, missing=missing)
        channel = choice.channel or candidates[0]
        why, request = "; ".join(filter(None, (choice.why, told))), requests[channel]
        decision = replace(choice.decision, detail=choice.why)
    return Route(
        channel, request.address, decision, why, valid_for_seconds=valid_seconds(request, now=now),
        evidence={"channel": {"chosen": channel, **evidence}, "time": _tell_time(due, decision)},
    )  # fmt: skip


def _order_by_answers(
    due: DueMessage, requests: Mapping[str, SendRequest], now: datetime
) -> tuple[list[str], dict[str, Any], str]:
    """The candidates, the one to take first; what that went by; and in words, where anything is known."""
    own = count_answers(due.recent, now)
    rates = rate_channels(requests, own, due.everybody)
    ranked = rank_channels(list(requests), rates)
    # Only what can reach the customer now is tried out.
    reaching = [channel for channel in ranked if decide_send(requests[channel], now=now).outcome == "sent"]
    shares = share_out(reaching, due.policy.exploration_percent / 100)
    drawn = draw_channel(shares, due.key)
    order = [*([drawn] if drawn else []), *(channel for channel in ranked if channel != drawn)]
    explored = bool(reaching) and drawn != reaching[0]
    evidence = {
        "by": "exploration" if explored else "answers",
        "shares": {channel: round(share, 4) for channel, share in shares.items()},
        "rates": {channel: _tell_rate(rate) for channel, rate in rates.items()},
    }
    known = [channel for channel in ranked if rates[channel].own.sent or rates[channel].everybody.sent]
    told = (
        f"answers: {', '.join(describe_rate(channel, rates[channel]) for channel in known)}" if known else ""
    )
    if explored:
        told = "; ".join(filter(None, (f"{drawn} is tried out", told)))
    return order, evidence, told


def _tell_rate(rate: Rate) -> dict[str, Any]:
    return {
        "rate": round(rate.rate, 4),
        "sent": rate.own.sent, "answered": rate.own.answered,
        "everybody": {"sent": rate.everybody.sent, "answered": rate.everybody.answered},
    }  # fmt: skip


def _tell_time(due: DueMessage, decision: SendDecision) -> dict[str, Any]:
    told: dict[str, Any] = {"due_at": due.due_at.isoformat()}
    if (best := decision.best) is not None:
        told |= {"best_hour": best.hour, "visits_around": best.visits, "visits": best.of}
    return told


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
        ahead=goes_first(due.waiting, priority=due.playbook.priority, due_at=due.due_at, key=due.key),
        contact=due.contact,
        hold_seconds=_hold_seconds(step, "held_quiet_hours"),
        cap_hold_seconds=_hold_seconds(step, "capped"),
        visits=visits,
        parked=channel in due.parked,
        due_at=due.due_at,
    )


def _hold_seconds(step: Act, outcome: str) -> int:
    """How long the step lets itself be held for this reason."""
    reaction = step.outcomes.get(outcome)
    return (reaction.hold_seconds or 0) if reaction else 0
