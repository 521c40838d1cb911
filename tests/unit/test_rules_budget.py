"""Caps per channel, topic and in total, and who goes first when several messages wait for the same one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.budget import TURN, free_caps, goes_first
from rules.sending import SendDecision, SendRequest, decide_send
from schemas.policy import Cap, Policy
from schemas.sent import Sent, Waiting

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEKLY = {"total": Cap(times=3, seconds=7 * 86_400), "topic:tips": Cap(times=1, seconds=7 * 86_400)}


def decide(now: datetime = NOW, **fields: Any) -> SendDecision:
    caps = fields.pop("caps", WEEKLY)
    policy = Policy(caps=caps, consent={"email": "assumed", "sms": "assumed"})
    known = {"channel": "email", "address": "a@b.example", "zone": "UTC", "due_at": now, **fields}
    return decide_send(SendRequest(policy=policy, **known), now=now)


def sent(channel: str, ago: timedelta, topic: str | None = None, by: str = "win-back") -> Sent:
    return Sent(channel, NOW - ago, topic, by)


def waiting(until: datetime = NOW, *, priority: int = 80, **more: Any) -> Waiting:
    return Waiting("email", until, NOW - DAY, priority, more.pop("key", "other"), by="renewal", **more)


def test_a_cap_on_a_topic_counts_its_messages_on_every_channel() -> None:
    recent = [sent("sms", 6 * DAY + 23 * HOUR, "tips")]
    held = decide(topic="tips", recent=recent)
    assert (held.outcome, held.until) == ("capped", NOW + HOUR)
    assert decide(topic="offers", recent=recent).outcome == "sent"
    assert decide(recent=recent).outcome == "sent"


def test_what_is_capped_is_told_by_which_cap_and_who_used_it_up() -> None:
    recent = [sent("email", 6 * DAY, by="win-back"), sent("sms", 6 * DAY, by="renewal"), sent("email", DAY)]
    assert decide(recent=recent, cap_hold_seconds=86_400).detail == (
        "total: 3 within 7d are used up by win-back, renewal"
    )
    held = decide(topic="tips", recent=[sent("email", 6 * DAY, "tips", "course")])
    assert held.detail == "topic tips: 1 within 7d are used up by course"


def test_critical_messages_pass_every_cap_and_everybody_who_waits() -> None:
    assert (
        decide(
            topic="tips", critical=True, recent=[sent("email", HOUR, "tips")] * 3, ahead=[waiting()]
        ).outcome
        == "sent"
    )


def test_who_goes_first_has_the_place_that_is_left_until_its_turn_is_over() -> None:
    caps = {"email": Cap(times=1, seconds=86_400)}
    held = decide(caps=caps, ahead=[waiting()])
    assert (held.outcome, held.until) == ("capped", NOW + TURN)
    assert held.detail == ("email: 1 within 1d are kept for renewal, priority 80, which waits for it, too")
    # It had its turn, and didn't take it: its worker is gone, or its run.
    assert decide(NOW + TURN, caps=caps, ahead=[waiting()]).outcome == "sent"
    # What waits for another channel or another topic is in nobody's way.
    assert decide(caps={"sms": Cap(times=1, seconds=86_400)}, ahead=[waiting()]).outcome == "sent"
    assert decide(topic="tips", ahead=[waiting(topic="offers")]).outcome == "sent"


def test_where_there_is_room_for_both_nobody_waits() -> None:
    assert decide(recent=[sent("email", DAY)], ahead=[waiting()]).outcome == "sent"
    assert decide(recent=[sent("email", DAY), sent("sms", DAY)], ahead=[waiting()]).outcome == "capped"


def test_priority_goes_first_then_who_was_due_first() -> None:
    others = [
        waiting(priority=80, key="high"), waiting(priority=50, key="earlier"), waiting(priority=20, key="low"),
    ]  # fmt: skip
    first = goes_first(others, priority=50, due_at=NOW, key="mine")
    assert [one.key for one in first] == ["high", "earlier"]
    assert [one.key for one in goes_first(others, priority=50, due_at=NOW - 2 * DAY, key="mine")] == ["high"]
    assert goes_first([waiting(key="mine")], priority=1, due_at=NOW, key="mine") == []


messages = st.builds(
    Waiting, st.just("email"), st.just(NOW), st.integers(0, 3).map(lambda hours: NOW - hours * HOUR),
    st.integers(0, 3), st.uuids().map(str),
)  # fmt: skip


@given(st.lists(messages, min_size=2, max_size=6, unique_by=lambda one: one.key))
def test_of_any_that_wait_exactly_one_goes_first_and_nobody_waits_for_each_other(
    queue: list[Waiting],
) -> None:
    ahead = {
        one.key: {
            other.key for other in goes_first(queue, priority=one.priority, due_at=one.due_at, key=one.key)
        }
        for one in queue
    }
    assert sorted(len(others) for others in ahead.values()) == list(range(len(queue)))
    assert not any(one in ahead[other] for one in ahead for other in ahead[one])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 14 * 24), max_size=8),
    st.lists(st.integers(-2, 48), max_size=4),
    st.integers(1, 4),
    st.integers(1, 10),
)
def test_a_cap_frees_exactly_when_it_has_room(
    used_hours_ago: list[int], until_hours: list[int], times: int, days: int
) -> None:
    policy = Policy(caps={"total": Cap(times=times, seconds=days * 86_400)})
    uses = [sent("email", hours * HOUR) for hours in used_hours_ago]
    queue = [waiting(NOW + hours * HOUR, key=str(n)) for n, hours in enumerate(until_hours)]
    free = free_caps(policy, "email", None, uses, queue, NOW).at
    assert free is not None
    assert free >= NOW

    def taken(at: datetime) -> int:
        return sum(at - use.at < days * DAY for use in uses) + sum(one.until + TURN > at for one in queue)

    assert taken(free) < times
    if free > NOW:
        assert taken(free - timedelta(microseconds=1)) >= times


@pytest.mark.parametrize("critical", [True, False])
def test_a_cap_of_nothing_never_frees(critical: bool) -> None:
    decision = decide(caps={"topic:tips": Cap(times=0, seconds=60)}, topic="tips", critical=critical)
    assert decision.outcome == ("sent" if critical else "capped")
    assert decision.until is None
