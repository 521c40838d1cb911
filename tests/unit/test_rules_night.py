"""Quiet hours where it is unclear what time it is for the customer: never outside what all possible zones allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.sending import HANDOVER_SECONDS, SHORTEST_VALIDITY_SECONDS, SendRequest, decide_send, valid_seconds
from rules.zones import possible_zones
from schemas.policy import Policy

START = datetime(2026, 1, 1, tzinfo=UTC)
NIGHT = (21 * 60, 8 * 60)
ASSUMED = dict.fromkeys(("email", "sms", "whatsapp", "push", "voice"), "assumed")
MINUTE = timedelta(minutes=1)


def request(at: datetime, *, quiet: tuple[int, int] = NIGHT, **fields: Any) -> SendRequest:
    policy = Policy(default_zone="Europe/Berlin", quiet_hours=quiet, consent=ASSUMED)
    known = {"channel": "sms", "address": "+18005550100", "due_at": at, **fields}
    return SendRequest(policy=policy, **known)


def is_quiet(quiet: tuple[int, int], at: datetime, zone: ZoneInfo) -> bool:
    local = at.astimezone(zone)
    minute, (begin, end) = local.hour * 60 + local.minute, quiet
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 365 * 24 * 60),
    st.sampled_from(("+18005550100", "+12125550100", "+61412345678", "+79161234567", "+351912345678")),
    st.sampled_from((NIGHT, (22 * 60, 7 * 60), (13 * 60, 15 * 60), (1 * 60, 5 * 60 + 30))),
    st.sampled_from((None, "Etc/Unknown", "Mars/Phobos", "")),
    st.sampled_from(("sms", "whatsapp", "voice")),
)
def test_what_leaves_is_delivered_while_it_is_day_everywhere(
    start: int, number: str, quiet: tuple[int, int], zone: str | None, channel: str
) -> None:
    now = START + start * MINUTE
    due = request(now, quiet=quiet, address=number, zone=zone, channel=channel)
    zones = possible_zones(None, number)
    decision = decide_send(due, now=now)
    if decision.outcome != "sent":
        assert decision.outcome == "held_quiet_hours"
        if decision.until is None:
            return
        now = decision.until
        assert decide_send(due, now=now).outcome == "sent"
    valid = valid_seconds(due, now=now)
    assert valid is not None
    assert valid >= SHORTEST_VALIDITY_SECONDS
    # From the first moment to the last at which a provider that keeps to its validity may deliver it.
    for delay in (0, HANDOVER_SECONDS, valid, valid + HANDOVER_SECONDS - 1):
        assert not any(is_quiet(quiet, now + timedelta(seconds=delay), zone_) for zone_ in zones)


def test_a_toll_free_number_may_ring_anywhere_that_shares_its_code() -> None:
    zones = {str(zone) for zone in possible_zones(None, "+1 800 555 0100")}
    assert len(zones) >= 42
    assert {
        "America/New_York",
        "Pacific/Honolulu",
        "America/St_Johns",
        "Pacific/Guam",
        "America/Anchorage",
    } <= zones
    # From Newfoundland to Guam it is day at once for some three hours, if at all.
    sent = [
        at
        for hour in range(24)
        if decide_send(request(at := START + timedelta(hours=hour)), now=at).outcome == "sent"
    ]
    assert 1 <= len(sent) <= 3
    for at in sent:
        assert all(8 <= at.astimezone(ZoneInfo(zone)).hour < 21 for zone in zones)


@pytest.mark.parametrize(
    "address", ["+80012345678", "+870123456789", "+88212345678", "+38344123456", "0151 234567", "", None]
)
def test_a_number_of_no_country_that_is_known_may_be_anywhere(address: str | None) -> None:
    assert possible_zones(None, address) == possible_zones(None, None)


def test_where_country_and_number_disagree_it_must_be_day_in_both() -> None:
    both = {str(zone) for zone in possible_zones("JP", "+4915112345678")}
    assert {"Asia/Tokyo", "Europe/Berlin"} <= both
    # Eight in the morning in Berlin is four in the afternoon in Tokyo; one in the afternoon is nine in the evening.
    at = datetime(2026, 1, 15, 7, tzinfo=UTC)
    known: dict[str, Any] = {"address": "+4915112345678", "country": "JP", "zone": None}
    assert decide_send(request(at, **known), now=at).outcome == "sent"
    later = at + timedelta(hours=5)
    assert decide_send(request(later, **known), now=later).outcome == "held_quiet_hours"
    # Somebody whose zone is known is asked for nothing else.
    assert decide_send(request(later, **{**known, "zone": "Europe/Berlin"}), now=later).outcome == "sent"


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "push", "voice"])
def test_what_wakes_people_fails_closed_and_mail_goes_by_the_default_zone(channel: str) -> None:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    assert (
        decide_send(request(noon, channel=channel, address="unclear", zone=None), now=noon).outcome
        == "held_quiet_hours"
    )
    assert (
        decide_send(request(noon, channel="email", address="a@b.example", zone=None), now=noon).outcome
        == "sent"
    )


def test_a_machines_call_needs_a_yes_like_what_it_writes() -> None:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    fields = {"channel": "voice", "address": "+4915112345678", "due_at": noon, "zone": "Europe/Berlin"}
    assert decide_send(SendRequest(policy=Policy(), **fields), now=noon).outcome == "no_consent"  # type: ignore[arg-type]
    yes = SendRequest(policy=Policy(), consent={"voice": True}, **fields)  # type: ignore[arg-type]
    assert decide_send(yes, now=noon).outcome == "sent"


NEW_YORK: dict[str, Any] = {"zone": "America/New_York", "address": "+12125550100"}


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        # 02:30 on this day doesn't exist: the quiet hours end with the first instant after the gap.
        ((21 * 60, 2 * 60 + 30), "2026-03-08T06:59:00", "2026-03-08T07:00:00"),
        # 01:30 comes twice: the night that begins then begins with the first, and one that ends then with it, too.
        ((90, 8 * 60), "2026-11-01T05:29:00", "2026-11-01T13:00:00"),
        ((90, 8 * 60), "2026-11-01T06:10:00", None),
        ((90, 8 * 60), "2026-11-01T06:29:00", "2026-11-01T13:00:00"),
        ((21 * 60, 90), "2026-11-01T06:10:00", "2026-11-01T06:30:00"),
        ((21 * 60, 90), "2026-11-01T05:29:59", "2026-11-01T05:30:00"),
        # Across midnight.
        (NIGHT, "2026-06-02T00:59:00", "2026-06-02T12:00:00"),
        (NIGHT, "2026-06-02T03:59:00", "2026-06-02T12:00:00"),
    ],
)  # fmt: skip
def test_nights_by_clocks_that_are_put_forward_and_back(
    quiet: tuple[int, int], now: str, until: str | None
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    decision = decide_send(request(at, quiet=quiet, **NEW_YORK), now=at)
    assert decision.until == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)
    assert decision.outcome == ("held_quiet_hours" if until else "sent")


def test_a_provider_may_keep_a_message_until_the_second_time_that_the_night_begins() -> None:
    at = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)
    assert valid_seconds(request(at, quiet=(90, 8 * 60), **NEW_YORK), now=at) == 20 * 60 - HANDOVER_SECONDS


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(((2026, 3, 8), (2026, 11, 1))),
    st.integers(0, 24 * 60),
    st.integers(0, 47),
    st.integers(1, 47),
)
def test_no_quiet_minute_is_used_on_days_on_which_clocks_change(
    day: tuple[int, int, int], minute: int, begin: int, length: int
) -> None:
    now = datetime(*day, 3, tzinfo=UTC) + minute * MINUTE
    quiet, zone = (begin * 30, (begin + length) % 48 * 30), ZoneInfo("America/New_York")
    due = request(now, quiet=quiet, **NEW_YORK)
    if decide_send(due, now=now).outcome == "sent":
        valid = valid_seconds(due, now=now)
        assert valid is not None
        last = int((valid + HANDOVER_SECONDS - 1) // 60)
        assert not any(is_quiet(quiet, now + passed * MINUTE, zone) for passed in range(last + 1))


def test_what_could_only_be_delivered_in_the_night_waits_for_the_morning() -> None:
    evening = datetime(2026, 6, 2, 1, tzinfo=UTC)  # nine in the evening in New York
    margin = timedelta(seconds=HANDOVER_SECONDS + SHORTEST_VALIDITY_SECONDS)
    in_time = evening - margin
    assert decide_send(request(in_time, **NEW_YORK), now=in_time).outcome == "sent"
    assert valid_seconds(request(in_time, **NEW_YORK), now=in_time) == SHORTEST_VALIDITY_SECONDS
    late = in_time + timedelta(seconds=1)
    held = decide_send(request(late, **NEW_YORK), now=late)
    assert held.until == datetime(2026, 6, 2, 12, tzinfo=UTC)
    # A mail wakes nobody: its recipient's server has it whenever they look.
    mail = request(late, **{**NEW_YORK, "channel": "email", "address": "a@b.example"})
    assert decide_send(mail, now=late).outcome == "sent"
