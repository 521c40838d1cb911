"""`message`: which channel reaches the customer best."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.reaching import Choice, choose_channel, order_channels
from rules.sending import SendRequest
from schemas.plan import SendWindow
from schemas.policy import Cap, Policy

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NIGHT = datetime(2026, 3, 10, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADDRESSES = {"email": "a@b.example", "sms": "+4915100000000", "whatsapp": "+4915100000000", "push": "device"}
ALL = {"email": "assumed", "sms": "assumed", "whatsapp": "assumed", "push": "assumed"}
QUIET = {"quiet_hours": (21 * 60, 8 * 60)}


def choose(*channels: str, now: datetime = NOON, policy: dict[str, Any] | None = None, **more: Any) -> Choice:
    missing = more.pop("missing", None)
    without = more.pop("without", ())
    suppressed = more.pop("suppressed", {})
    rules = Policy(**{"default_zone": "UTC", "consent": ALL, **(policy or {})})
    requests = [
        SendRequest(
            channel=channel, policy=rules, due_at=now, zone="UTC", suppressed=suppressed.get(channel),
            address=None if channel in without else ADDRESSES.get(channel), **more,
        )
        for channel in channels
    ]  # fmt: skip
    return choose_channel(requests, now=now, missing=missing)


# The order of preference


@pytest.mark.parametrize(
    ("written", "costs", "order"),
    [
        (["sms", "in_app"], {"sms": 9.0}, ["sms", "in_app"]),
        (["sms", "sms"], {}, ["sms"]),
        (None, {}, ["in_app", "push", "email", "whatsapp", "sms", "voice"]),
        (None, {"email": 0.001, "sms": 0.04}, ["in_app", "push", "email", "whatsapp", "sms", "voice"]),
        (None, {"email": 0.05, "sms": 0.01}, ["in_app", "push", "sms", "email", "whatsapp", "voice"]),
        (None, {"push": 0.02, "email": 0.001}, ["in_app", "email", "push", "whatsapp", "sms", "voice"]),
        (None, {"csm_minute": 0.8, "whatsapp": 0.03, "sms": 0.02},
         ["in_app", "push", "email", "sms", "whatsapp", "voice"]),
    ],
)  # fmt: skip
def test_the_written_order_counts_else_the_cheapest_comes_first(
    written: list[str] | None, costs: dict[str, float], order: list[str]
) -> None:
    assert list(order_channels(written, costs)) == order


# Who may leave now


def test_the_first_that_may_leave_now_is_taken() -> None:
    choice = choose("whatsapp", "sms", "email")
    assert (choice.channel, choice.decision.outcome, choice.why) == ("whatsapp", "sent", "by whatsapp")


def test_what_was_passed_over_is_told_with_its_reason() -> None:
    choice = choose(
        "push", "email", "whatsapp", "sms", without=["push"], consent={"email": False},
        suppressed={"whatsapp": "invalid_address"}, missing={"in_app": "the template has no part for it"},
    )  # fmt: skip
    assert choice.channel == "sms"
    assert choice.why == (
        "by sms; not push: there is no address for push; not email: email was refused; "
        "not whatsapp: invalid_address; not in_app: the template has no part for it"
    )


def test_a_channel_that_may_leave_now_beats_a_preferred_one_that_must_wait() -> None:
    choice = choose("email", "in_app", now=NIGHT, policy=QUIET)
    assert (choice.channel, choice.decision.outcome) == ("in_app", "sent")
    assert choice.why == "by in_app; not email: quiet hours, until 2026-03-11 08:00 UTC"


# Who must wait


def test_of_those_that_must_wait_the_one_that_may_leave_first_is_taken() -> None:
    caps = {"caps": {"email": Cap(times=1, seconds=86_400), "sms": Cap(times=1, seconds=3 * 3600)}}
    recent = [("email", NOON - HOUR), ("sms", NOON - HOUR)]
    choice = choose("email", "sms", policy=caps, recent=recent)
    assert (choice.channel, choice.decision.outcome) == ("sms", "capped")
    assert choice.decision.until == NOON + 2 * HOUR
    assert choice.why.startswith("by sms from 2026-03-10 14:00 UTC: sms: 1 within 3h are used up; not email")


def test_of_those_that_may_leave_at_the_same_moment_the_preferred_one_is_taken() -> None:
    assert choose("sms", "email", now=NIGHT, policy=QUIET).channel == "sms"


def test_the_hold_rules_bound_the_wait() -> None:
    choice = choose("sms", "email", now=NIGHT, policy=QUIET, hold_seconds=3600)
    assert (choice.decision.outcome, choice.decision.until) == ("held_quiet_hours", None)


def test_the_send_window_holds_all_of_them() -> None:
    choice = choose("sms", "in_app", now=NIGHT, window=SendWindow(between=(9 * 60, 18 * 60)))
    assert choice.decision.until == datetime(2026, 3, 11, 9, tzinfo=UTC)


# Who can't be reached


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"consent": {"email": False, "sms": False}}, "no_consent"),
        ({"without": ["email", "sms"]}, "unreachable"),
        ({"suppressed": {"email": "hard_bounce", "sms": "opted_out"}}, "suppressed"),
        ({"consent": {"email": False}, "without": ["sms"]}, "unreachable"),
        ({"consent": {"email": False}, "suppressed": {"sms": "opted_out"}}, "unreachable"),
    ],
)
def test_where_none_can_reach_the_outcome_is_what_they_share(more: dict[str, Any], outcome: str) -> None:
    choice = choose("email", "sms", **more)
    assert (choice.channel, choice.decision.outcome, choice.decision.until) == ("email", outcome, None)
    assert "not email: " in choice.why
    assert "not sms: " in choice.why


def test_who_is_only_capped_can_be_reached_just_not_now() -> None:
    never = {"caps": {"sms": Cap(times=0, seconds=86_400)}}
    choice = choose("email", "sms", consent={"email": False}, policy=never)
    assert (choice.channel, choice.decision.outcome) == ("sms", "capped")


def test_without_a_candidate_nobody_is_reached() -> None:
    choice = choose(missing={"push": "no provider is configured for push"})
    assert (choice.channel, choice.decision.outcome) == (None, "unreachable")
    assert choice.why == "not push: no provider is configured for push"
