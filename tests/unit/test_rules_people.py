"""Who gets work, when it is due and reminded of, who can be booked when, and what a calendar is told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from rules.assigning import Assignment, Share, Wanted, choose_member, escalates_to, team_asked
from rules.booking import bookable_people, choose_free
from rules.invitation import Appointment, Person, write_invitation
from rules.tasks import Deadlines, move_deadlines, sla_of
from rules.working_hours import SLOT, Busy, open_slots, working_before
from schemas.assignee import TeamChoice, read_assignee
from schemas.policy import Policy, Team, WorkingHours

MEMBERS = ("anna", "ben", "carla", "dora", "emil")
CS = Team(members=MEMBERS, lead="lena")
# Monday.
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOURS = WorkingHours(weekdays=(1, 2, 3, 4, 5), between=(540, 1020))
BERLIN = Policy(default_zone="Europe/Berlin", working_hours=HOURS)


def policy(**teams: Team) -> Policy:
    return Policy(teams=teams)


def assign(by: str | None, team: Team = CS, share: Share = Share(), owner: str | None = None) -> Assignment:  # noqa: B008
    asked = team_asked(read_assignee({"team": "cs", "by": by}), owner, policy(cs=team))
    return asked if isinstance(asked, Assignment) else choose_member(asked, team, share)


def test_turns_go_round_in_the_order_of_the_policy() -> None:
    last, got = "", []
    for _ in range(7):
        last = assign("round_robin", share=Share(last)).assignee
        got.append(last)
    assert got == [*MEMBERS, "anna", "ben"]


def test_who_is_away_loses_no_turn_of_others() -> None:
    team = CS.model_copy(update={"away": ("ben",)})
    assert assign("round_robin", team, Share("anna")).assignee == "carla"
    # Whoever had the last turn may have left for good.
    assert assign("round_robin", team, Share("zoe")).assignee == "anna"


def test_load_goes_to_who_has_the_least_and_ties_go_by_turns() -> None:
    share = Share("anna", {"anna": 1, "ben": 3, "carla": 1, "dora": 2, "emil": 2})
    found = assign("load", share=share)
    assert (found.assignee, found.because) == ("carla", "least open work of 5 of cs: 1")


@given(st.lists(st.sampled_from(MEMBERS), max_size=60), st.sets(st.sampled_from(MEMBERS), max_size=4))
def test_load_evens_out_and_nobody_away_gets_anything(closed: list[str], away: set[str]) -> None:
    team = CS.model_copy(update={"away": tuple(sorted(away))})
    open_work: Counter[str] = Counter()
    last = ""
    for number in range(60):
        found = assign("load", team, Share(last, dict(open_work)))
        assert found.assignee not in away
        last = found.assignee
        open_work[last] += 1
        if number < len(closed) and open_work[closed[number]] > 0:
            open_work[closed[number]] -= 1
        least = min(open_work[member] for member in MEMBERS if member not in away)
        assert open_work[assign("load", team, Share(last, dict(open_work))).assignee] == least


def test_the_owner_is_first_and_their_team_stands_in() -> None:
    assert assign("owner", owner="dora").assignee == "dora"
    away = CS.model_copy(update={"away": ("dora",)})
    assert assign("owner", away, Share("anna"), owner="dora") == Assignment(
        "ben", "cs", "dora is away: next in turn of cs after anna", "ben"
    )
    assert assign("owner", owner=None).because == "the customer has no CSM: next in turn of cs"
    assert assign("owner", owner="zoe").because == "zoe isn't of cs: next in turn of cs"


def test_where_everybody_is_away_the_lead_has_it_and_without_one_the_team() -> None:
    away = CS.model_copy(update={"away": MEMBERS})
    assert assign("load", away).assignee == "lena"
    assert assign("load", away.model_copy(update={"lead": None})).assignee == "cs"


def test_without_a_way_it_waits_on_the_teams_list() -> None:
    found = assign(None)
    assert (found.assignee, found.team, found.turn) == ("cs", "cs", None)


def test_csm_is_the_customers_own_else_the_team_for_those_without() -> None:
    assert team_asked("csm", "grace", Policy()) == Assignment("grace", None, "the customer's own CSM")
    assert team_asked("csm", None, Policy()).assignee == "unassigned"  # type: ignore[union-attr]
    new = policy(cs=CS, onboarding=Team(members=("otto",), unowned=True))
    assert team_asked("csm", None, new) == Wanted("onboarding", "round_robin", "the customer has no CSM")
    assert team_asked("csm", "anna", new) == Assignment("anna", "cs", "the customer's own CSM")
    away = policy(cs=CS.model_copy(update={"away": ("anna",)}))
    assert team_asked("csm", "anna", away) == Wanted("cs", "round_robin", "anna is away")


def test_work_for_a_team_that_the_policy_lost_is_not_lost() -> None:
    assert team_asked(TeamChoice(team="gone", by="load"), None, Policy()).assignee == "gone"  # type: ignore[union-attr]


def test_lead_is_the_teams_lead_where_there_is_one() -> None:
    here = policy(cs=CS, small=Team(members=("otto",)))
    assert escalates_to("lead", "cs", here) == "lena"
    assert escalates_to("lead", "small", here) == "lead"
    assert escalates_to("cs-lead", "cs", here) == "cs-lead"
    assert escalates_to(None, "cs", here) is None


# Time


def test_reminders_count_back_in_working_time() -> None:
    monday_nine = datetime(2026, 3, 9, 8, tzinfo=UTC)  # 9:00 in Berlin
    assert working_before(monday_nine, 3600, BERLIN) == datetime(2026, 3, 6, 15, tzinfo=UTC)
    assert working_before(monday_nine, 9 * 3600, BERLIN) == datetime(2026, 3, 5, 15, tzinfo=UTC)
    assert working_before(monday_nine, 3600, Policy()) == monday_nine - timedelta(hours=1)


@given(st.integers(0, 365 * 24 * 60), st.integers(60, 40 * 3600))
def test_no_reminder_comes_at_night(minutes: int, seconds: int) -> None:
    moment = NOW + timedelta(minutes=minutes)
    found = working_before(moment, seconds, BERLIN).astimezone(ZoneInfo("Europe/Berlin"))
    assert found.isoweekday() <= 5
    assert 9 <= found.hour + found.minute / 60 <= 17
    assert found <= moment


def test_work_is_due_soon_from_its_reminder_on() -> None:
    due, remind = NOW + timedelta(hours=4), NOW + timedelta(hours=3)
    ats = (NOW, remind, due, due + timedelta(seconds=1))
    assert [sla_of(due, remind, at) for at in ats] == ["on_time", "due_soon", "due_soon", "overdue"]


def test_what_is_moved_is_waited_for_as_long_after_it_as_before() -> None:
    day = timedelta(days=1)
    old = Deadlines(NOW + day, NOW + day * 0.75, NOW + 2 * day, NOW + 8 * day)
    later = move_deadlines(old, NOW + 5 * day, NOW)
    assert later == Deadlines(NOW + 5 * day, NOW + 4.75 * day, NOW + 5 * day, NOW + 12 * day)
    # Nobody gives up sooner because it is to be done sooner.
    assert move_deadlines(old, NOW + day / 2, NOW).give_up_at == old.give_up_at


def test_five_working_days_are_offered_in_half_hours_and_not_the_next_hour() -> None:
    slots = open_slots(NOW, [], BERLIN)  # Monday, 10:00 in Berlin
    assert slots[0] == NOW + timedelta(hours=1)
    assert slots[-1] == datetime(2026, 3, 6, 15, 30, tzinfo=UTC)
    assert len(slots) == 12 + 4 * 16
    friday_night = datetime(2026, 3, 6, 20, tzinfo=UTC)
    assert open_slots(friday_night, [], BERLIN)[0] == datetime(2026, 3, 9, 8, tzinfo=UTC)


def test_slots_keep_the_local_hour_over_a_change_of_time() -> None:
    slots = open_slots(datetime(2026, 3, 27, 20, tzinfo=UTC), [], BERLIN)
    assert slots[0] == datetime(2026, 3, 30, 7, tzinfo=UTC)  # 9:00, summer time since Sunday


def test_appointments_take_the_slots_that_they_touch() -> None:
    begins = NOW + timedelta(hours=1, minutes=15)
    left = open_slots(NOW, [Busy(begins, begins + SLOT)], BERLIN)
    assert left[0] == NOW + timedelta(hours=2)


def test_who_can_be_booked() -> None:
    here = policy(cs=CS.model_copy(update={"away": ("ben",)}), new=Team(members=("otto",), unowned=True))
    there = ("anna", "carla", "dora", "emil")
    assert bookable_people("anna", "cs", "ben", here) == ("anna",)
    assert bookable_people("cs", "cs", "ben", here) == there
    assert bookable_people(None, None, "ben", here) == there
    assert bookable_people(None, None, "grace", here) == ("grace",)
    assert bookable_people(None, None, None, here) == ("otto",)
    assert bookable_people(None, None, None, Policy()) == ()


def test_of_several_who_are_free_the_one_with_fewest_calls_gets_it() -> None:
    at = NOW + timedelta(hours=2)
    other, same = Busy(NOW, NOW + SLOT), Busy(at, at + SLOT)
    assert choose_free(("anna", "ben"), at, {"anna": [other], "ben": []}) == "ben"
    assert choose_free(("anna", "ben"), at, {"anna": [other], "ben": [same]}) == "anna"
    assert choose_free(("anna",), at, {"anna": [same]}) is None


# Calendars


def appointment(**more: Any) -> Appointment:
    given: dict[str, Any] = {
        "id": "5f0c", "title": "Call Ada; soon, please", "about": "Usage is down.\nAsk why.", "sequence": 1,
        "starts_at": NOW, "ends_at": NOW + SLOT, "organizer": Person("Anna", "anna@example.com"),
        "attendee": Person("Ada & Co", "ada@example.com"), "zone": "Europe/Berlin",
    }  # fmt: skip
    return Appointment(**given | more)


def test_a_calendar_reads_what_was_agreed() -> None:
    calendar = Calendar.from_ical(write_invitation(appointment(), NOW))
    [event] = calendar.walk("VEVENT")
    assert (calendar["METHOD"], calendar["VERSION"]) == ("REQUEST", "2.0")
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == ("5f0c@holdfast", 1, "CONFIRMED")
    assert (event["SUMMARY"], event["DESCRIPTION"]) == ("Call Ada; soon, please", "Usage is down.\nAsk why.")
    assert event.decoded("DTSTART") == NOW
    assert event.decoded("DTEND") - event.decoded("DTSTART") == SLOT
    assert (event["ORGANIZER"], event["ATTENDEE"]) == ("mailto:anna@example.com", "mailto:ada@example.com")
    assert [zone["TZID"] for zone in calendar.walk("VTIMEZONE")] == ["Europe/Berlin"]


def test_a_change_keeps_the_uid_and_a_cancellation_ends_it() -> None:
    moved = Calendar.from_ical(
        write_invitation(appointment(sequence=2, starts_at=NOW + SLOT, ends_at=NOW + 2 * SLOT), NOW)
    )
    off = Calendar.from_ical(write_invitation(appointment(sequence=3, cancelled=True), NOW))
    events = [calendar.walk("VEVENT")[0] for calendar in (moved, off)]
    assert [(event["UID"], event["SEQUENCE"]) for event in events] == [
        ("5f0c@holdfast", 2),
        ("5f0c@holdfast", 3),
    ]
    assert (off["METHOD"], events[1]["STATUS"]) == ("CANCEL", "CANCELLED")
    assert off.walk("VALARM") == []


def test_times_without_a_zone_are_utc() -> None:
    written = write_invitation(appointment(zone="Europe/Nowhere"), NOW)
    assert b"DTSTART:20260302T090000Z" in written
    assert b"VTIMEZONE" not in written


@pytest.mark.parametrize("evil", ["\r\nATTENDEE:mailto:eve@example.com", "\n X", '"', "\x00", "ü" * 200])
def test_names_and_titles_smuggle_nothing_in(evil: str) -> None:
    one = appointment(
        title=f"Call{evil}", about=evil, attendee=Person(f"Ada{evil}", f"ada@example.com{evil}"),
        organizer=Person(f"Anna{evil}", "anna@example.com"),
    )  # fmt: skip
    written = write_invitation(one, NOW)
    [event] = Calendar.from_ical(written).walk("VEVENT")
    assert event.get("ATTENDEE", "mailto:ada@example.com" + evil) == "mailto:ada@example.com" + evil
    assert all(len(line) <= 75 for line in written.split(b"\r\n"))
    assert b"\n" not in written.replace(b"\r\n", b"")
