"""Which channel a customer answers best on, from their own answers and everybody's.

A customer's rate on a channel is the mean of a Beta distribution (conjugate to the binomial; Gelman et al., Bayesian
Data Analysis, 2.4): everybody's rate counts as STRENGTH messages, so that one lucky answer proves nothing, and after
some dozens of messages the customer's own habit does. Everybody's rate is drawn to that over all channels in the same
way, by POPULATION_STRENGTH messages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.sent import Sent

STRENGTH = 20.0
POPULATION_STRENGTH = 50.0
# Before anything is known of anybody: even odds, worth two messages.
_UNKNOWN = (1.0, 2.0)
# Rates that differ by less are as good as each other, and what costs less is taken.
ALIKE = 0.02
# What was sent so short a time ago may still be answered, and what was sent long ago says little of today.
SETTLED = timedelta(days=1)
LOOKS_BACK = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Answers:
    """How many messages were sent on a channel, and how many of them were answered."""

    sent: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """How likely a customer is to answer on a channel, 0–1, and what that is known from."""

    rate: float
    own: Answers
    everybody: Answers


def count_answers(sent: Iterable[Sent], now: datetime) -> dict[str, Answers]:
    """A customer's answers by channel to what was sent 1 to 90 days ago, as far as they had come by `now`."""
    counts: dict[str, list[int]] = {}
    for one in sent:
        if not now - LOOKS_BACK <= one.at <= now - SETTLED:
            continue
        answered = one.answered_at is not None and one.answered_at <= now
        tally = counts.setdefault(one.channel, [0, 0])
        tally[0] += 1
        tally[1] += answered
    return {channel: Answers(*tally) for channel, tally in counts.items()}


def rate_channels(
    channels: Iterable[str], own: Mapping[str, Answers], everybody: Mapping[str, Answers]
) -> dict[str, Rate]:
    """The customer's rate on each of these channels."""
    answered = sum(one.answered for one in everybody.values()) + _UNKNOWN[0]
    overall = answered / (sum(one.sent for one in everybody.values()) + _UNKNOWN[1])
    rates = {}
    for channel in channels:
        all_, mine = everybody.get(channel, Answers()), own.get(channel, Answers())
        prior = _smooth(all_, overall, POPULATION_STRENGTH)
        rates[channel] = Rate(_smooth(mine, prior, STRENGTH), mine, all_)
    return rates


def rank_channels(by_cost: Sequence[str], rates: Mapping[str, Rate]) -> tuple[str, ...]:
    """The channels of `by_cost` (the cheapest first), the best first; of those that are alike, the cheapest."""
    left, ranked = list(by_cost), []
    while left:
        best = max(rates[channel].rate for channel in left)
        chosen = next(channel for channel in left if rates[channel].rate > best - ALIKE)
        left.remove(chosen)
        ranked.append(chosen)
    return tuple(ranked)


def share_out(ranked: Sequence[str], exploration: float) -> dict[str, float]:
    """How often each channel is to be taken, 0–1, summing to 1: the best but for `exploration`, which the others share.

    exploration: 0–1; nothing is explored where there is only one.
    """
    if not ranked:
        return {}
    others = ranked[1:]
    explored = min(max(exploration, 0.0), 1.0) if others else 0.0
    return {ranked[0]: 1.0 - explored, **{channel: explored / len(others) for channel in others}}


def draw_channel(shares: Mapping[str, float], key: str) -> str:
    """One of the channels, each in its share of all keys; the same for the same key, on every machine."""
    point = int.from_bytes(hashlib.sha256(f"channel:{key}".encode()).digest()[:8]) / 2**64
    chosen = ""
    for channel, share in shares.items():
        if share <= 0:
            continue
        chosen = channel
        point -= share
        if point < 0:
            break
    return chosen


def describe_rate(channel: str, rate: Rate) -> str:
    """For people: what speaks for a channel."""
    return f"{rate.rate:.0%} on {channel} ({rate.own.answered} of {rate.own.sent} answered)"


def _smooth(counted: Answers, prior: float, strength: float) -> float:
    return (counted.answered + prior * strength) / (counted.sent + strength)
