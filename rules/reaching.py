"""Which channel a message takes: the best one that can reach the customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rules.sending import SendDecision, SendRequest, decide_send

# From the cheapest to the dearest, where a policy says nothing of costs.
CHANNELS = ("in_app", "push", "email", "whatsapp", "sms", "voice")


@dataclass(frozen=True, slots=True)
class Choice:
    """The channel that a message takes, what is decided for it there, and why it is this one.

    `channel` is None where there is no candidate at all. `why` is for people and names no address.
    """

    channel: str | None
    decision: SendDecision
    why: str


def order_channels(written: Sequence[str] | None, costs: Mapping[str, float]) -> tuple[str, ...]:
    """Channels by preference: as `written`, or all of them, the cheapest first.

    costs: per message. A channel without a cost keeps its usual place (in_app, push, email, whatsapp, sms, voice): it
    counts as much as the dearest of those before it.
    """
    if written:
        return tuple(dict.fromkeys(written))
    prices: dict[str, float] = {}
    dearest = 0.0
    for channel in CHANNELS:
        prices[channel] = costs.get(channel, dearest)
        dearest = max(dearest, prices[channel])
    return tuple(sorted(CHANNELS, key=lambda channel: prices[channel]))


def choose_channel(
    requests: Sequence[SendRequest], *, now: datetime, missing: Mapping[str, str] | None = None
) -> Choice:
    """Decide one message on the first of `requests` (candidates by preference) on which it may leave now.

    Where none may leave now, the one that may leave first; where none may in time, the outcome that they share,
    and `unreachable` where they share none. What only had to wait too long outweighs what is refused: such a
    customer can be reached, just not now.
    missing: why a channel is no candidate (no part in the template, no provider), by channel.
    """
    passed = [f"not {channel}: {reason}" for channel, reason in (missing or {}).items()]
    decided = [(request.channel, decide_send(request, now=now)) for request in requests]
    for index, (channel, decision) in enumerate(decided):
        if decision.outcome == "sent":
            return Choice(channel, decision, _why(channel, decision, decided[:index], passed))
    waiting = [(decision.until, channel, decision) for channel, decision in decided if decision.until]
    if waiting:
        _, channel, decision = min(waiting, key=lambda one: one[0])
        others = [one for one in decided if one[0] != channel]
        return Choice(channel, decision, _why(channel, decision, others, passed))
    if not decided:
        return Choice(None, SendDecision("unreachable"), "; ".join(passed) or "there is no channel for it")
    held = [one for one in decided if one[1].outcome in ("held_quiet_hours", "capped")]
    telling = held or decided
    channel, first = telling[0]
    shared = all(decision.outcome == first.outcome for _, decision in telling)
    outcome = first.outcome if held or shared else "unreachable"
    return Choice(channel, SendDecision(outcome), "; ".join([*_tell(decided), *passed]))


def _why(
    channel: str, decision: SendDecision, others: Sequence[tuple[str, SendDecision]], passed: Sequence[str]
) -> str:
    chosen = f"by {channel}"
    if decision.until is not None:
        chosen = f"by {channel} from {decision.until:%Y-%m-%d %H:%M} UTC: {decision.detail}"
    return "; ".join([chosen, *_tell(others), *passed])


def _tell(decided: Sequence[tuple[str, SendDecision]]) -> list[str]:
    told = []
    for channel, decision in decided:
        until = f", until {decision.until:%Y-%m-%d %H:%M} UTC" if decision.until else ""
        told.append(f"not {channel}: {decision.detail or decision.outcome}{until}")
    return told
