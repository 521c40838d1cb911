"""Silence: while a person is in contact with the customer, messages hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.sending import SendDecision, SendRequest, decide_send
from rules.silence import LOOK_AGAIN, Contact
from schemas.policy import Policy, Silence

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = Silence(after_reply_seconds=48 * 3600, after_call_seconds=24 * 3600, open_ticket=True)
PASSES = ALL.model_copy(update={"critical_passes": True})


def decide(contact: Contact, silence: Silence | None = ALL, **fields: Any) -> SendDecision:
    policy = Policy(silence=silence, consent={"email": "assumed"}, **fields.pop("policy", {}))
    known = {"channel": "email", "address": "a@b.example", "zone": "UTC", "due_at": NOW, **fields}
    return decide_send(SendRequest(policy=policy, contact=contact, **known), now=NOW)


@pytest.mark.parametrize(
    ("contact", "until"),
    [
        (Contact(), None),
        (Contact(replied_at=NOW - 47 * HOUR), NOW + HOUR),
        (Contact(replied_at=NOW - 48 * HOUR), None),
        (Contact(called_at=NOW - 23 * HOUR), NOW + HOUR),
        (Contact(called_at=NOW - 24 * HOUR), None),
        (Contact(open_tickets=2), NOW + LOOK_AGAIN),
        # The longest of it holds.
        (Contact(NOW - 40 * HOUR, NOW - 20 * HOUR, 1), NOW + 8 * HOUR),
        # A clock that is ahead holds nobody for ever.
        (Contact(replied_at=NOW + HOUR), None),
    ],
)
def test_messages_hold_while_a_person_is_in_contact(contact: Contact, until: datetime | None) -> None:
    decision = decide(contact)
    assert (decision.outcome, decision.until) == ("held_quiet_hours" if until else "sent", until)
    assert decision.detail.startswith("silence: ") is (until is not None)
    assert decide(contact, None).outcome == "sent"


def test_each_is_told_in_words() -> None:
    assert decide(Contact(replied_at=NOW - HOUR)).detail == (
        "silence: the customer wrote to us on 2026-03-10 11:00 UTC, less than 2d ago"
    )
    assert decide(Contact(open_tickets=1)).detail == "silence: a support ticket is open"


def test_critical_messages_hold_too_unless_the_policy_lets_them_pass() -> None:
    talking = Contact(replied_at=NOW)
    assert decide(talking, critical=True).outcome == "held_quiet_hours"
    assert decide(talking, PASSES, critical=True).outcome == "sent"
    assert decide(talking, PASSES).outcome == "held_quiet_hours"


def test_what_is_shown_in_the_product_is_a_message_and_a_call_is_none() -> None:
    talking = Contact(replied_at=NOW - HOUR)
    assert decide(talking, channel="in_app").outcome == "held_quiet_hours"
    assert decide(talking, channel="call").outcome == "sent"


def test_what_ends_at_night_waits_for_the_morning_and_what_takes_too_long_is_over() -> None:
    night = {"quiet_hours": (21 * 60, 8 * 60)}
    held = decide(Contact(replied_at=NOW - 38 * HOUR), policy=night)
    assert held.until == datetime(2026, 3, 11, 8, tzinfo=UTC)
    over = decide(Contact(replied_at=NOW - HOUR), hold_seconds=3600)
    assert (over.outcome, over.until) == ("held_quiet_hours", None)
    assert over.detail.endswith("that doesn't end in time")


@given(
    st.integers(0, 100), st.integers(0, 100), st.integers(0, 2),
    st.one_of(st.none(), st.integers(1, 60)), st.one_of(st.none(), st.integers(1, 60)), st.booleans(),
)  # fmt: skip
def test_nothing_leaves_while_it_lasts_and_everything_does_afterwards(
    replied: int,
    called: int,
    tickets: int,
    after_reply: int | None,
    after_call: int | None,
    open_ticket: bool,
) -> None:
    silence = Silence(
        after_reply_seconds=after_reply and after_reply * 3600, after_call_seconds=after_call and after_call * 3600,
        open_ticket=open_ticket,
    )  # fmt: skip
    decision = decide(
        Contact(NOW - replied * HOUR, NOW - called * HOUR, tickets), silence, hold_seconds=10**7
    )
    silent = (
        (after_reply is not None and replied < after_reply)
        or (after_call is not None and called < after_call)
        or (open_ticket and tickets > 0)
    )
    assert (decision.outcome == "sent") is not silent
    assert (decision.until is not None) is silent
