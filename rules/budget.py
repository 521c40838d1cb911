"""What a customer may still be sent: caps over all, by channel and by topic, shared out by the playbooks' priority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.instants import later, span
from schemas.form import format_duration
from schemas.policy import Cap, Policy
from schemas.sent import Sent, Waiting

# A message that waits for a cap has its turn so long after the cap frees; then the next one may take the place.
TURN = timedelta(minutes=5)
# So many of those who used a cap up are named.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Freed:
    """When no cap stands against a message any more (None: never), and what the cap that holds longest says."""

    at: datetime | None
    detail: str = ""


def goes_first(waiting: Sequence[Waiting], *, priority: int, due_at: datetime, key: str) -> list[Waiting]:
    """Those of `waiting` who have their turn before this message: of higher priority, or due before it.

    Of any two messages one goes first, so that nobody waits for each other.
    """
    mine = (-priority, due_at, key)
    return [one for one in waiting if one.key != key and (-one.priority, one.due_at, one.key) < mine]


def free_caps(
    policy: Policy,
    channel: str,
    topic: str | None,
    sent: Sequence[Sent],
    ahead: Sequence[Waiting],
    at: datetime,
) -> Freed:
    """From `at` on, when every cap on this message has room, as far as is known now.

    sent: all of the messages before, whatever their channel. ahead: who waits and goes first: each takes a place until
    its turn is over.
    """
    found = Freed(at)
    for name in ("total", channel, f"topic:{topic}" if topic else ""):
        cap = policy.caps.get(name)
        if cap is None:
            continue
        uses = [one for one in sent if _counts(name, one.channel, one.topic)]
        queue = [one for one in ahead if _counts(name, one.channel, one.topic)]
        freed = _frees(name, cap, uses, queue, at)
        if freed.at is None:
            return freed
        if found.at is None or freed.at > found.at:
            found = freed
    return found


def _frees(name: str, cap: Cap, uses: Sequence[Sent], queue: Sequence[Waiting], at: datetime) -> Freed:
    length = span(cap.seconds)
    counted = [one for one in uses if at - one.at < length]
    standing = [one for one in queue if one.until + TURN > at]
    if len(counted) + len(standing) < cap.times:
        return Freed(at)
    detail = _tell(name, cap, counted, standing)
    if cap.times <= 0:
        return Freed(None, detail)
    ends = sorted(
        [end for one in counted if (end := later(one.at, length)) is not None]
        + [end for one in standing if (end := later(one.until, TURN)) is not None]
    )
    # A use that never ends within the calendar takes its place for good.
    place = len(counted) + len(standing) - cap.times
    return Freed(ends[place] if place < len(ends) else None, detail)


def _counts(name: str, channel: str, topic: str | None) -> bool:
    return name in ("total", channel) or (topic is not None and name == f"topic:{topic}")


def _tell(name: str, cap: Cap, counted: Sequence[Sent], standing: Sequence[Waiting]) -> str:
    shown = name.replace("topic:", "topic ")
    by = dict.fromkeys(one.by for one in reversed(counted) if one.by)
    users = f" by {', '.join(list(by)[:_NAMED])}" if by else ""
    first = max(standing, key=lambda one: one.priority, default=None)
    told = f"{shown}: {cap.times} within {format_duration(cap.seconds)} are "
    if len(counted) >= cap.times or first is None:
        return f"{told}used up{users}"
    kept = f"kept for {first.by or 'another message'}, priority {first.priority}, which waits for it, too"
    return f"{told}used up{users} or {kept}" if counted else f"{told}{kept}"
