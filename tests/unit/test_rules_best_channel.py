"""The channel on which a customer answers best: smoothed, explored in bounds, never one that doesn't reach them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from activities.routing import DueMessage, decide_route
from rules.best_channel import (
    ALIKE,
    STRENGTH,
    Answers,
    count_answers,
    draw_channel,
    rank_channels,
    rate_channels,
    share_out,
)
from schemas.facts import Facts
from schemas.plan import Act, CompiledPlaybook
from schemas.policy import Policy
from schemas.sent import Sent

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CHANNELS = ("in_app", "push", "email", "whatsapp", "sms")
counts = st.integers(0, 200).flatmap(lambda n: st.builds(Answers, st.just(n), st.integers(0, n)))
tallies = st.dictionaries(st.sampled_from(CHANNELS), counts)
orders = st.lists(st.sampled_from(CHANNELS), unique=True, min_size=1)


def test_only_settled_answers_of_the_last_90_days_count_and_only_those_known_by_then() -> None:
    sent = [
        Sent("email", NOW - 2 * DAY, answered_at=NOW - DAY),
        Sent("email", NOW - 3 * DAY),
        Sent("email", NOW - 3 * DAY, answered_at=NOW + DAY),
        # Both are too young and too old to tell anything.
        Sent("email", NOW - DAY / 2, answered_at=NOW - DAY / 4),
        Sent("email", NOW - 91 * DAY, answered_at=NOW - 90 * DAY),
        Sent("sms", NOW - 5 * DAY),
    ]
    assert count_answers(sent, NOW) == {"email": Answers(3, 1), "sms": Answers(1, 0)}


def test_one_lucky_answer_proves_nothing_and_a_habit_does() -> None:
    everybody = {"email": Answers(1000, 400), "sms": Answers(1000, 200)}
    lucky = rate_channels(("sms", "email"), {"sms": Answers(1, 1)}, everybody)
    assert rank_channels(("sms", "email"), lucky) == ("email", "sms")
    habit = rate_channels(("sms", "email"), {"sms": Answers(30, 25), "email": Answers(10, 0)}, everybody)
    assert rank_channels(("email", "sms"), habit) == ("sms", "email")


def test_the_rate_is_the_mean_of_a_beta_distribution() -> None:
    everybody = {"email": Answers(10**9, 3 * 10**8)}
    [rate] = rate_channels(("email",), {"email": Answers(10, 9)}, everybody).values()
    assert rate.rate == pytest.approx((9 + 0.3 * STRENGTH) / (10 + STRENGTH), rel=1e-6)


def test_where_nothing_is_known_or_all_are_alike_the_cheapest_comes_first() -> None:
    assert rank_channels(("sms", "email", "push"), rate_channels(("sms", "email", "push"), {}, {})) == (
        "sms", "email", "push",
    )  # fmt: skip
    close = {"email": Answers(10_000, 3010), "sms": Answers(10_000, 3000)}
    assert rank_channels(("sms", "email"), rate_channels(("sms", "email"), {}, close))[0] == "sms"


@given(orders, tallies, tallies)
def test_rates_lie_between_everybodys_and_ones_own_and_the_order_goes_by_them(
    channels: list[str], own: dict[str, Answers], everybody: dict[str, Answers]
) -> None:
    rates = rate_channels(channels, own, everybody)
    assert all(0 < rate.rate < 1 for rate in rates.values())
    ranked = rank_channels(channels, rates)
    assert sorted(ranked) == sorted(channels)
    for n, channel in enumerate(ranked):
        assert rates[channel].rate > max(rates[other].rate for other in ranked[n:]) - ALIKE


@given(orders, st.floats(0, 1))
def test_shares_sum_to_one_and_exploration_is_bounded(ranked: list[str], exploration: float) -> None:
    shares = share_out(ranked, exploration)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares.values())
    explored = sum(share for channel, share in shares.items() if channel != ranked[0])
    assert explored <= exploration + 1e-9
    assert set(shares) == set(ranked)
    assert share_out([], exploration) == {}


def test_channels_are_drawn_in_their_shares_and_the_same_for_the_same_message() -> None:
    shares = share_out(("email", "sms", "push"), 0.1)
    drawn = Counter(draw_channel(shares, f"message {n}") for n in range(20_000))
    assert drawn["email"] / 20_000 == pytest.approx(0.9, abs=0.01)
    assert drawn["sms"] / 20_000 == pytest.approx(0.05, abs=0.01)
    assert {draw_channel(shares, "message 7") for _ in range(5)} == {draw_channel(shares, "message 7")}
    assert {draw_channel(share_out(("email", "sms"), 0.0), str(n)) for n in range(1000)} == {"email"}


# In a message


PARTS: dict[str, dict[str, Any]] = {
    "in_app": {"title": "Hi", "text": "Hi"}, "push": {"title": "Hi", "text": "Hi"}, "sms": {"text": "Hi"},
    "email": {"subject": "Hi", "text": "Hi"}, "whatsapp": {"content_sid": "HX1"},
}  # fmt: skip
STEP = Act(id="nudge", word="message", args={"template": "nudge"})
PLAYBOOK = CompiledPlaybook(
    name="p", title="P", owner="o", status="live", steps=(STEP,), templates={"nudge": PARTS}
)
ADDRESSES = {
    "email": "a@b.example",
    "phone": "+4915100000000",
    "push_token": "t",
    "timezone": "Europe/Berlin",
}
ASSUMED = dict.fromkeys(("email", "sms", "whatsapp", "push"), "assumed")


def due(key: str = "one", *, exploration: float = 0.0, **more: Any) -> DueMessage:
    facts = Facts("ada", NOW, profile=more.pop("profile", ADDRESSES), consent=more.pop("consent", {}))
    policy = Policy(consent=ASSUMED, exploration_percent=exploration, **more.pop("policy", {}))
    return DueMessage(PLAYBOOK, more.pop("step", STEP), policy, facts, NOW, key=key, **more)


HABIT = [Sent("email", NOW - n * DAY, answered_at=NOW - n * DAY + DAY / 24) for n in range(2, 32)]


def test_a_message_goes_where_the_customer_answers_and_keeps_what_it_went_by() -> None:
    route = decide_route(due(recent=HABIT), now=NOW, available=CHANNELS)
    assert route.channel == "email"
    assert route.why.endswith("answers: 80% on email (30 of 30 answered)")
    told = route.evidence["channel"]
    assert (told["chosen"], told["by"]) == ("email", "answers")
    assert told["rates"]["email"] == {
        "rate": 0.8, "sent": 30, "answered": 30, "everybody": {"sent": 0, "answered": 0},
    }  # fmt: skip
    assert route.evidence["time"] == {"due_at": NOW.isoformat()}


def test_who_does_not_answer_there_is_written_to_elsewhere() -> None:
    ignored = [Sent("in_app", NOW - n * DAY) for n in range(2, 32)]
    assert decide_route(due(), now=NOW, available=CHANNELS).channel == "in_app"
    assert decide_route(due(recent=ignored), now=NOW, available=CHANNELS).channel == "push"


def test_the_authors_list_is_not_reordered() -> None:
    listed = STEP.model_copy(update={"args": {"template": "nudge", "channels": ["sms", "email"]}})
    route = decide_route(due(recent=HABIT, step=listed, exploration=99), now=NOW, available=CHANNELS)
    assert route.channel == "sms"
    assert "by" not in route.evidence["channel"]


def test_reachability_comes_first() -> None:
    refused = decide_route(due(recent=HABIT, consent={"email": False}), now=NOW, available=CHANNELS)
    assert refused.channel == "in_app"
    assert refused.decision.outcome == "sent"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(2, 80), st.booleans()), max_size=20),
    st.dictionaries(st.sampled_from(CHANNELS), st.booleans()),
    st.sets(st.sampled_from(("email", "phone", "push_token"))),
    st.floats(0, 99.9),
    st.integers(0, 10_000),
    st.integers(0, 23),
)
def test_no_message_takes_a_channel_that_does_not_reach_the_customer_while_another_does(
    sends: list[tuple[str, int, bool]],
    consent: dict[str, bool],
    without: set[str],
    exploration: float,
    key: int,
    hour: int,
) -> None:
    now = NOW.replace(hour=hour)
    profile = {name: value for name, value in ADDRESSES.items() if name not in without}
    recent = [
        Sent(channel, now - days * DAY, answered_at=now - days * DAY if answered else None)
        for channel, days, answered in sends
    ]
    message = due(
        str(key), exploration=exploration, recent=recent, consent=consent, profile=profile,
        policy={"quiet_hours": (21 * 60, 8 * 60)},
    )  # fmt: skip
    alone = {
        channel: decide_route(message, now=now, available=CHANNELS, only=channel).decision.outcome
        for channel in CHANNELS
    }
    assume("sent" in alone.values())
    route = decide_route(message, now=now, available=CHANNELS)
    assert route.decision.outcome == "sent"
    assert alone[route.channel] == "sent"
    assert decide_route(message, now=now, available=CHANNELS) == route


def test_a_bounded_share_of_messages_tries_out_what_could_leave_just_as_well() -> None:
    taken = Counter(
        decide_route(
            due(str(n), exploration=10, recent=HABIT, consent={"sms": False}), now=NOW, available=CHANNELS
        ).channel
        for n in range(1000)
    )
    assert taken["email"] == pytest.approx(900, abs=30)
    assert taken["sms"] == 0
    assert set(taken) == {"email", "in_app", "push", "whatsapp"}
    tried = next(n for n in range(1000) if draw_channel(share_out(CHANNELS, 0.1), str(n)) != "in_app")
    route = decide_route(due(str(tried), exploration=10), now=NOW, available=CHANNELS)
    assert route.evidence["channel"]["by"] == "exploration"
    assert "is tried out" in route.why
