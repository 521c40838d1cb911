"""The language's section Sending rules, from `policy.yaml` and a step as written to what may leave and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from activities.registry import find_step_types
from rules.calendar import working_due
from rules.reaching import order_channels
from rules.sending import SendDecision, SendRequest, decide_send
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.language import Language
from schemas.plan import Act
from schemas.policy import Policy
from schemas.policy_file import read_policy
from schemas.yaml_source import load_yaml, read_yaml

LANGUAGE = Language(load_catalogue(), find_step_types())
EVERYTHING = """
default_zone: Europe/Berlin
quiet_hours: "21:00-08:00"
caps: {total: 3 per 7d, email: 2 per 7d, sms: 1 per 3d}
entries: 2 per 7d
consent: {email: assumed, topics: [tips, offers, product]}
holdout: 5%
working_hours: {days: weekdays, between: "09:00-17:00"}
costs: {email: 0.001, sms: 0.04, csm_minute: 0.8}
"""
BERLIN = ZoneInfo("Europe/Berlin")
NOON, NIGHT = datetime(2026, 3, 10, 12, tzinfo=BERLIN), datetime(2026, 3, 10, 23, tzinfo=BERLIN)
PARTS = {
    "email": "{subject: Hi, text: Hello}", "sms": "{text: Hello}", "push": "{title: Hi, text: Hello}",
    "in_app": "{title: Hi, text: Hello}",
    "whatsapp": "{content_sid: HX00000000000000000000000000000000}",
}  # fmt: skip
CHANNELS = tuple(PARTS)
YES = dict.fromkeys(CHANNELS, True)


def govern(text: str) -> Policy:
    source, problems = read_yaml(text or "{}", "policy.yaml")
    assert source is not None
    policy, problems = read_policy(source, LANGUAGE, problems)
    assert policy is not None, [str(problem) for problem in problems]
    return policy


def step(channel: str, beside: str) -> Act:
    text = (
        f"playbook: p\ntitle: P\nowner: cs\nstatus: live\nsteps:\n  - {channel}: {PARTS[channel]}\n{beside}"
    )
    compiled = compile_playbook(load_yaml(text, "p.yaml"), LANGUAGE, {})
    assert compiled.playbook is not None, [str(problem) for problem in compiled.problems]
    [made] = compiled.playbook.steps
    assert isinstance(made, Act)
    return made


def decide(
    channel: str, policy: str = EVERYTHING, beside: str = "", *, at: datetime = NOON, **facts: Any
) -> SendDecision:
    """What is decided of this step, for somebody in Berlin who has an address everywhere."""
    made, now = step(channel, beside), at.astimezone(UTC)
    request = SendRequest(
        channel=channel,
        policy=govern(policy),
        due_at=now,
        topic=made.args.get("topic"),
        critical=bool(made.args.get("critical")),
        window=made.send,
        **{"address": "+4915112345678", "zone": "Europe/Berlin", "consent": YES, **facts},
    )
    return decide_send(request, now=now)


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_left_out_of_the_policy_doesnt_govern(channel: str) -> None:
    recent = [(one, NIGHT) for one in CHANNELS * 5]
    assert decide(channel, "", at=NIGHT, recent=recent).outcome == "sent"


@pytest.mark.parametrize(
    ("channel", "outcome"),
    [
        ("email", "sent"),
        ("sms", "no_consent"),
        ("whatsapp", "no_consent"),
        ("push", "no_consent"),
        ("in_app", "sent"),
    ],
)
def test_consent_is_assumed_where_the_policy_says_so_and_others_need_a_yes(
    channel: str, outcome: str
) -> None:
    assert decide(channel, consent={}).outcome == outcome
    assert decide(channel, consent={channel: True}).outcome == "sent"
    assert decide(channel, consent={channel: False}).outcome == "no_consent"


def test_without_a_policy_email_needs_a_yes_too() -> None:
    assert decide("email", "", consent={}).outcome == "no_consent"


DENIALS = ({"email": False}, {"tips": False}, {"email:tips": False})


@pytest.mark.parametrize("denied", DENIALS)
@pytest.mark.parametrize("beside", ["    topic: tips\n", "    topic: tips\n    critical: true\n"])
def test_denial_of_a_channel_or_topic_wins_over_everything(denied: dict[str, bool], beside: str) -> None:
    allowing = EVERYTHING + "critical_in_quiet_hours: true\n"
    everything = {"email": True, "email:tips": True, "tips": True}
    assert decide("email", allowing, beside, consent=everything).outcome == "sent"
    decision = decide("email", allowing, beside, consent={**everything, **denied})
    assert (decision.outcome, decision.detail) == ("no_consent", f"{next(iter(denied))} was refused")


def test_the_denial_of_another_topic_or_channel_says_nothing_of_this_one() -> None:
    for denied in ({"offers": False}, {"email:offers": False}, {"sms": False}, {"sms:tips": False}):
        assert decide("email", beside="    topic: tips\n", consent=denied).outcome == "sent"


FULL = [("email", NOON - timedelta(hours=1)), ("email", NOON - timedelta(hours=2))]


def test_critical_passes_caps() -> None:
    assert decide("email", recent=FULL).outcome == "capped"
    assert decide("email", beside="    critical: true\n", recent=FULL).outcome == "sent"


def test_critical_passes_quiet_hours_only_where_the_policy_says_so() -> None:
    critical = "    critical: true\n"
    allowing = EVERYTHING + "critical_in_quiet_hours: true\n"
    assert decide("email", beside=critical, at=NIGHT).outcome == "held_quiet_hours"
    assert decide("email", allowing, critical, at=NIGHT).outcome == "sent"
    assert decide("email", allowing, at=NIGHT).outcome == "held_quiet_hours"


def test_critical_passes_no_missing_consent_no_suppression_and_no_missing_address() -> None:
    critical, allowing = "    critical: true\n", EVERYTHING + "critical_in_quiet_hours: true\n"
    assert decide("sms", allowing, critical, consent={}).outcome == "no_consent"
    assert decide("email", allowing, critical, suppressed="complaint").outcome == "suppressed"
    assert decide("email", allowing, critical, address=None).outcome == "unreachable"


@pytest.mark.parametrize(
    ("channel", "sent", "outcome"),
    [
        ("email", [("email", 6), ("email", 1)], "capped"), ("email", [("email", 7), ("email", 1)], "sent"),
        ("email", [("sms", 1), ("push", 1), ("in_app", 1)], "capped"), ("email", [("sms", 1), ("push", 1)], "sent"),
        ("sms", [("sms", 2)], "capped"), ("sms", [("sms", 3)], "sent"), ("sms", [("email", 1)], "sent"),
        ("in_app", [("sms", 1), ("push", 1), ("email", 1)], "capped"), ("push", [("sms", 1)], "sent"),
    ],
)  # fmt: skip
def test_caps_are_rolling_windows_over_all_channels_and_over_each(
    channel: str, sent: list[tuple[str, int]], outcome: str
) -> None:
    recent = [(one, NOON - timedelta(days=days)) for one, days in sent]
    assert decide(channel, recent=recent).outcome == outcome


@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp", "push"])
def test_quiet_hours_hold_until_they_end_by_the_customers_clock(channel: str) -> None:
    decision = decide(channel, at=NIGHT)
    assert (decision.outcome, decision.until) == ("held_quiet_hours", datetime(2026, 3, 11, 8, tzinfo=BERLIN))
    assert decide(channel, at=NIGHT, zone="America/New_York").outcome == "sent"


def test_in_app_messages_know_no_quiet_hours() -> None:
    assert decide("in_app", at=NIGHT).outcome == "sent"


@pytest.mark.parametrize("zone", [None, "Mars/Olympus"])
@pytest.mark.parametrize("channel", ["sms", "whatsapp", "push"])
def test_of_unknown_zone_it_must_be_day_in_every_zone_the_customer_may_be_in(
    channel: str, zone: str | None
) -> None:
    """In the United States: from eight on Hawaii to nine in New York there are nine hours."""
    for country, at, outcome in (
        ("DE", NOON, "sent"), ("US", NOON, "held_quiet_hours"), ("US", NOON.replace(hour=19), "sent"),
        ("US", NOON.replace(hour=20, minute=30), "sent"), (None, NOON, "held_quiet_hours"),
    ):  # fmt: skip
        found = decide(channel, at=at, zone=zone, country=country, address="token")
        assert found.outcome == outcome, (country, at)
    assert "time zone isn't known" in decide(channel, zone=zone, country="US").detail


def test_of_unknown_zone_mail_goes_by_the_default_zone() -> None:
    assert decide("email", zone=None, country="US").outcome == "sent"
    assert decide("email", zone=None, country="US", at=NIGHT).outcome == "held_quiet_hours"


@pytest.mark.parametrize(
    ("words", "until"),
    [
        ("{between: '13:00-18:00'}", "2026-03-10T13:00"), ("{between: '09:00-18:00'}", None),
        ("{days: weekend}", "2026-03-14T08:00"), ("{days: tuesday}", None), ("{days: [monday]}", "2026-03-16T08:00"),
        ("{days: weekend, between: '07:00-09:00'}", "2026-03-14T08:00"),
        ("{days: saturday, between: '22:00-10:00'}", "2026-03-15T08:00"),
    ],
)  # fmt: skip
def test_a_window_holds_until_it_opens_outside_quiet_hours(words: str, until: str | None) -> None:
    decision = decide("email", beside=f"    send: {words}\n")
    expected = None if until is None else datetime.fromisoformat(until).replace(tzinfo=BERLIN)
    assert (decision.outcome, decision.until) == ("held_quiet_hours" if until else "sent", expected)


def test_local_times_are_worked_out_at_the_target_instant() -> None:
    """On the eve of summer time, and of winter time."""
    for day, hours in ((28, 9), (27, 10)):
        at = datetime(2026, 3, day, 22, tzinfo=BERLIN)
        decision = decide("email", at=at)
        assert decision.until is not None
        assert decision.until - at.astimezone(UTC) == timedelta(hours=hours)
    autumn = datetime(2026, 10, 24, 22, tzinfo=BERLIN)
    decision = decide("email", at=autumn)
    assert decision.until is not None
    assert decision.until - autumn.astimezone(UTC) == timedelta(hours=11)


def test_working_hours_of_the_team_move_due_times() -> None:
    policy = govern(EVERYTHING)
    friday = datetime(2026, 3, 6, 16, tzinfo=BERLIN)
    assert working_due(friday, 86_400, policy) == datetime(2026, 3, 9, 9, tzinfo=BERLIN)
    assert working_due(friday, 86_400, govern("")) == friday + timedelta(days=1)


def test_costs_say_which_channel_is_best_where_none_are_listed() -> None:
    policy = govern("costs: {email: 0.001, sms: 0.04, whatsapp: 0.0005, push: 0.1}")
    assert order_channels(None, policy.costs) == ("in_app", "whatsapp", "email", "sms", "push", "voice")
    assert order_channels(("sms", "email"), policy.costs) == ("sms", "email")


def test_the_policy_may_name_further_keywords_and_whose_holidays_the_teams_are() -> None:
    policy = govern("keywords: {stop: [lopeta, älä lähetä], help: [apua]}\nworking_hours: {holidays: DE-BY}")
    assert policy.keywords == {"stop": ("lopeta", "älä lähetä"), "help": ("apua",)}
    assert policy.working_hours is not None
    assert policy.working_hours.holidays == "DE-BY"
