"""When a message may leave: the language's sections Sending rules and Steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.sending import SendDecision, SendRequest, decide_send, valid_seconds
from rules.zones import instant_at, possible_zones
from schemas.plan import SendWindow
from schemas.policy import Cap, Policy

BERLIN = "Europe/Berlin"
DAY = 86_400
NIGHT = (21 * 60, 8 * 60)
ASSUMED = {"email": "assumed", "sms": "assumed", "push": "assumed"}
ADDRESSES = {"email": "a@b.example", "sms": "+4915100000000", "push": "token", "whatsapp": "+4915100000000"}


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def decide(at: datetime | str, *, policy: dict[str, Any] | None = None, **more: Any) -> SendDecision:
    now = local(at) if isinstance(at, str) else at
    channel = more.pop("channel", "email")
    given_policy = Policy(**{"default_zone": BERLIN, "consent": ASSUMED, **(policy or {})})
    fields = {"address": ADDRESSES.get(channel), "zone": BERLIN, "due_at": now, **more}
    return decide_send(SendRequest(channel=channel, policy=given_policy, **fields), now=now)


MORNING = "2026-03-10T10:00"


@pytest.mark.parametrize(
    ("channel", "policy", "consent", "topic", "outcome"),
    [
        ("email", {}, {}, None, "sent"),
        ("email", {"consent": {}}, {}, None, "no_consent"),
        ("email", {"consent": {"email": "required"}}, {}, None, "no_consent"),
        ("email", {"consent": {}}, {"email": True}, None, "sent"),
        ("email", {}, {"email": False}, None, "no_consent"),
        ("whatsapp", {}, {"email": True}, None, "no_consent"),
        # Denial of a channel or topic wins over everything.
        ("email", {}, {"email": True, "email:tips": False}, "tips", "no_consent"),
        ("email", {}, {"email": False, "email:tips": True}, "tips", "no_consent"),
        ("email", {}, {"tips": False}, "tips", "no_consent"),
        ("email", {}, {"email:offers": False}, "tips", "sent"),
        ("email", {}, {"sms": False}, None, "sent"),
        ("email", {"consent": {}}, {"email:tips": True}, "tips", "sent"),
        ("email", {"consent": {}}, {"email:tips": True}, "offers", "no_consent"),
        # In-app messages and calls need no yes; a no still counts.
        ("in_app", {"consent": {}}, {}, None, "sent"),
        ("call", {"consent": {}}, {}, None, "sent"),
        ("in_app", {}, {"in_app": False}, None, "no_consent"),
    ],
)
def test_consent(
    channel: str, policy: dict[str, Any], consent: dict[str, bool], topic: str | None, outcome: str
) -> None:
    decision = decide(MORNING, channel=channel, policy=policy, consent=consent, topic=topic, critical=True)
    assert decision.outcome == outcome


def test_consent_comes_before_suppression_and_that_before_the_address() -> None:
    assert decide(MORNING, consent={"email": False}, suppressed="stop").outcome == "no_consent"
    assert decide(MORNING, suppressed="hard_bounce", address=None) == SendDecision(
        "suppressed", None, "hard_bounce"
    )
    assert decide(MORNING, address=" ").outcome == "unreachable"
    assert decide(MORNING, channel="in_app").outcome == "sent"


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-10T20:59", None),
        ("2026-03-10T21:00", "2026-03-11T08:00"),
        ("2026-03-10T23:30", "2026-03-11T08:00"),
        ("2026-03-11T07:59", "2026-03-11T08:00"),
        ("2026-03-11T08:00", None),
        # The night in which clocks go forward is an hour shorter, and the end is still eight o'clock.
        ("2026-03-28T22:00", "2026-03-29T08:00"),
        ("2026-10-24T22:00", "2026-10-25T08:00"),
    ],
)
def test_quiet_hours_by_the_customers_clock(at: str, until: str | None) -> None:
    decision = decide(at, policy={"quiet_hours": NIGHT})
    assert decision.outcome == ("sent" if until is None else "held_quiet_hours")
    assert decision.until == (None if until is None else local(until))


def test_quiet_hours_that_end_in_a_gap_end_after_it() -> None:
    decision = decide("2026-03-29T00:30", policy={"quiet_hours": (22 * 60, 150)})
    assert decision.until == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_quiet_hours_go_by_the_customers_zone_not_the_default() -> None:
    night = {"quiet_hours": NIGHT}
    assert decide("2026-03-10T10:00", policy=night, zone="America/New_York").outcome == "held_quiet_hours"
    assert decide("2026-03-10T23:00", policy=night, zone="America/New_York").outcome == "sent"


@pytest.mark.parametrize("channel", ["in_app", "call"])
def test_in_app_and_calls_know_no_quiet_hours(channel: str) -> None:
    assert decide("2026-03-10T23:00", channel=channel, policy={"quiet_hours": NIGHT}).outcome == "sent"


def test_critical_passes_caps_and_quiet_hours_only_where_the_policy_says_so() -> None:
    recent = [("email", local("2026-03-10T09:00"))]
    capped = {"caps": {"total": Cap(times=1, seconds=DAY)}}
    assert decide(MORNING, policy=capped, recent=recent).outcome == "capped"
    assert decide(MORNING, policy=capped, recent=recent, critical=True).outcome == "sent"
    night = {"quiet_hours": NIGHT}
    assert decide("2026-03-10T23:00", policy=night, critical=True).outcome == "held_quiet_hours"
    night_too = {**night, "critical_in_quiet_hours": True}
    assert decide("2026-03-10T23:00", policy=night_too, critical=True).outcome == "sent"
    assert decide("2026-03-10T23:00", policy=night_too).outcome == "held_quiet_hours"


def test_of_unknown_zone_mail_goes_by_the_default_zone() -> None:
    for zone in (None, "Mars/Olympus", "../etc/passwd", ""):
        assert decide("2026-03-10T10:00", policy={"quiet_hours": NIGHT}, zone=zone).outcome == "sent"
        assert (
            decide("2026-03-10T23:00", policy={"quiet_hours": NIGHT}, zone=zone).outcome == "held_quiet_hours"
        )


def test_of_unknown_zone_texts_wait_until_it_is_day_wherever_the_customer_may_be() -> None:
    night = {"quiet_hours": NIGHT}
    german = decide("2026-03-10T10:00", channel="sms", policy=night, zone=None)
    assert german.outcome == "sent"
    american = decide("2026-03-10T15:00", channel="sms", policy=night, zone=None, address="+12125550100")
    assert american.outcome == "held_quiet_hours"
    assert american.until is not None
    for zone in possible_zones(None, "+12125550100"):
        assert 8 <= american.until.astimezone(zone).hour < 21
    # The profile's country is narrower than the number's.
    canadian = decide(
        "2026-03-10T20:00", channel="sms", policy=night, zone=None, address="+12125550100", country="JM"
    )
    assert canadian.outcome == "sent"


def test_where_nothing_is_known_it_is_never_day_everywhere() -> None:
    decision = decide(MORNING, channel="push", policy={"quiet_hours": NIGHT}, zone=None)
    assert (decision.outcome, decision.until) == ("held_quiet_hours", None)
    assert "time zone isn't known" in decision.detail
    assert decide(MORNING, channel="push", zone=None).outcome == "sent"


CAPS = {"caps": {"total": Cap(times=3, seconds=7 * DAY), "email": Cap(times=2, seconds=7 * DAY)}}


def hours_ago(hours: float) -> datetime:
    return local(MORNING) - timedelta(hours=hours)


@pytest.mark.parametrize(
    ("recent", "outcome", "until_hours"),
    [
        ([("email", 1), ("sms", 2)], "sent", None),
        ([("email", 167), ("email", 2)], "capped", 1),
        ([("email", 168), ("email", 2)], "sent", None),
        ([("sms", 167), ("in_app", 2), ("push", 3)], "capped", 1),
        ([("email", 140), ("email", 130), ("sms", 1)], "capped", 28),
        # Four days away: later than the hold lasts, so it is skipped at once.
        ([("email", 72), ("email", 2)], "capped", None),
    ],
)
def test_caps_are_rolling_windows(
    recent: list[tuple[str, float]], outcome: str, until_hours: float | None
) -> None:
    decision = decide(MORNING, policy=CAPS, recent=[(channel, hours_ago(h)) for channel, h in recent])
    assert decision.outcome == outcome
    assert decision.until == (None if until_hours is None else hours_ago(-until_hours))


def test_a_cap_that_ends_at_night_holds_until_the_morning() -> None:
    policy = {"quiet_hours": NIGHT, "caps": {"email": Cap(times=1, seconds=DAY)}}
    decision = decide("2026-03-10T20:00", policy=policy, recent=[("email", local("2026-03-10T02:00"))])
    assert (decision.outcome, decision.until) == ("capped", local("2026-03-11T08:00"))


def test_caps_of_nothing_let_nothing_through() -> None:
    decision = decide(MORNING, policy={"caps": {"email": Cap(times=0, seconds=DAY)}})
    assert (decision.outcome, decision.until) == ("capped", None)


def test_a_hold_that_cannot_end_in_time_is_over_at_once() -> None:
    night = {"quiet_hours": NIGHT}
    late = decide("2026-03-10T22:00", policy=night, hold_seconds=9 * 3_600)
    assert (late.outcome, late.until) == ("held_quiet_hours", None)
    assert decide("2026-03-10T22:00", policy=night, hold_seconds=10 * 3_600).until == local(
        "2026-03-11T08:00"
    )
    assert decide("2026-03-10T22:00", policy=night, hold_seconds=None).until is None
    # The bound counts from when the step was due, not from the last look.
    due = local("2026-03-09T22:00")
    assert decide("2026-03-10T22:00", policy=night, hold_seconds=30 * 3_600, due_at=due).until is None


OFFICE = SendWindow(between=(9 * 60, 18 * 60), weekdays=(1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-10T09:00", None),
        ("2026-03-10T17:59", None),
        ("2026-03-10T18:00", "2026-03-11T09:00"),
        # Friday evening: Monday morning, though that is more than the two days of a hold.
        ("2026-03-13T18:00", "2026-03-16T09:00"),
        ("2026-03-15T12:00", "2026-03-16T09:00"),
    ],
)
def test_a_window_holds_until_it_opens(at: str, until: str | None) -> None:
    decision = decide(at, window=OFFICE)
    assert decision.until == (None if until is None else local(until))
    assert decision.outcome == ("sent" if until is None else "held_quiet_hours")


def test_a_window_is_bounded_by_at_most_late_alone() -> None:
    window = OFFICE.model_copy(update={"at_most_late_seconds": DAY})
    assert decide("2026-03-13T18:00", window=window).until is None
    assert decide("2026-03-10T18:00", window=window, hold_seconds=None).until == local("2026-03-11T09:00")


def test_window_and_quiet_hours_hold_together() -> None:
    early = SendWindow(between=(6 * 60, 12 * 60), weekdays=(1,))
    decision = decide("2026-03-10T10:00", window=early, policy={"quiet_hours": NIGHT})
    assert decision.until == local("2026-03-16T08:00")
    never = SendWindow(between=(22 * 60, 23 * 60))
    assert decide("2026-03-10T10:00", window=never, policy={"quiet_hours": NIGHT}).until is None


def test_a_window_across_midnight_belongs_to_the_day_it_opens_on() -> None:
    friday_night = SendWindow(between=(22 * 60, 2 * 60), weekdays=(5,))
    assert decide("2026-03-14T01:00", window=friday_night).outcome == "sent"
    assert decide("2026-03-13T01:00", window=friday_night).until == local("2026-03-13T22:00")


zones = st.sampled_from(
    [BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
)
minutes = st.integers(0, 1_439)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 366 * 24 * 60),
    zones,
    st.tuples(minutes, minutes),
    st.one_of(st.none(), st.builds(SendWindow, between=st.tuples(minutes, minutes))),
    st.lists(st.integers(-72, 0), max_size=4),
)
def test_what_was_held_may_leave_when_the_hold_ends(
    start: int, zone: str, quiet: tuple[int, int], window: SendWindow | None, sends: list[int]
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    recent = [("email", now + timedelta(hours=hours)) for hours in sends]
    policy = Policy(
        quiet_hours=quiet, consent={"email": "assumed"}, caps={"total": Cap(times=2, seconds=DAY)}
    )
    request = SendRequest(
        "email",
        policy,
        now,
        address="a@b.example",
        zone=zone,
        window=window,
        recent=recent,
        hold_seconds=5 * DAY,
    )
    decision = decide_send(request, now=now)
    if decision.outcome == "sent":
        moment = now.astimezone(ZoneInfo(zone))
        minute = moment.hour * 60 + moment.minute
        begin, end = quiet
        assert not (begin <= minute < end if begin <= end else minute >= begin or minute < end)
        assert sum(at > now - timedelta(days=1) for _, at in recent) < 2
    elif decision.until is not None:
        assert decision.until > now
        assert decide_send(request, now=decision.until).outcome == "sent"
        assert decide_send(request, now=decision.until - timedelta(microseconds=1)).outcome != "sent"


@pytest.mark.parametrize(
    ("at", "more", "seconds"),
    [
        ("2026-03-10T10:00", {}, 11 * 3600),
        ("2026-03-10T20:59", {}, 60),
        # What is out of date at once would be lost without a word.
        ("2026-03-10T20:59:50", {}, 60),
        # Clocks go forward that night.
        ("2026-03-28T22:00", {"policy": {"quiet_hours": (5 * 60, 8 * 60)}}, 6 * 3600),
        ("2026-03-10T10:00", {"policy": {"quiet_hours": None}}, None),
        ("2026-03-10T10:00", {"channel": "in_app"}, None),
        ("2026-03-10T10:00", {"critical": True, "policy": {"critical_in_quiet_hours": True}}, None),
        # Night falls on the Chatham Islands first, and the customer may be there.
        (
            "2026-03-10T08:00",
            {"channel": "sms", "zone": None, "country": "NZ", "address": "+64"},
            # Handing it over may take half a minute.
            15 * 60 - 30,
        ),
    ],
)
def test_a_provider_may_keep_a_message_until_the_night(
    at: str, more: dict[str, Any], seconds: int | None
) -> None:
    policy = Policy(**{"default_zone": BERLIN, "quiet_hours": NIGHT, **more.pop("policy", {})})
    fields = {"channel": "email", "zone": BERLIN, **more}
    request = SendRequest(policy=policy, due_at=local(at), **fields)
    assert valid_seconds(request, now=local(at)) == seconds


def test_countries_by_number() -> None:
    names = {str(zone) for zone in possible_zones(None, "+49 151")}
    assert "Europe/Berlin" in names
    assert {str(zone) for zone in possible_zones("IS", None)} == {"Atlantic/Reykjavik"}
    assert len(possible_zones(None, None)) > 400
    assert possible_zones("XX", "0151") == possible_zones(None, None)
    assert "Europe/Dublin" in {str(zone) for zone in possible_zones(None, "+353861234567")}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 366 * 24 * 60), zones)
def test_local_times_become_the_first_instant_at_which_clocks_show_them_or_more(
    start: int, name: str
) -> None:
    zone = ZoneInfo(name)
    wanted = datetime(2026, 1, 1) + timedelta(minutes=start)  # noqa: DTZ001 - a local time
    instant = instant_at(wanted, zone)
    shown = instant.astimezone(zone).replace(tzinfo=None, fold=0)
    assert shown >= wanted
    before = (instant - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None, fold=0)
    assert before < wanted
