"""Waits and due times: the language's section Steps, by the clocks of customers and of the team."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rules.calendar import midnight_before, next_midnight, wait_ends, working_due
from rules.holidays import has_holidays, holidays_for, holidays_within
from schemas.plan import BeforeDate, CalendarDays, Elapsed, UntilWeekday, WaitSpec
from schemas.policy import Policy, WorkingHours

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
DAY = 86_400


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def ends(spec: WaitSpec, since: str, *, zone: str | None = BERLIN, **more: Any) -> datetime | None:
    known = zone if zone in (BERLIN, NEW_YORK) else BERLIN
    return wait_ends(spec, since=local(since, known), zone=zone, default_zone=BERLIN, **more)


def test_elapsed_time_is_elapsed_time() -> None:
    # The clocks go forward on 29 March: a day later they show an hour more.
    assert ends(Elapsed(seconds=DAY), "2026-03-28T10:00") == local("2026-03-29T11:00")


@pytest.mark.parametrize(
    ("days", "at", "since", "until"),
    [
        (3, 570, "2026-03-10T15:00", "2026-03-13T09:30"),
        (1, 570, "2026-03-28T10:00", "2026-03-29T09:30"),
        # Without `at` the local time of day stays, whatever the clocks do.
        (1, None, "2026-03-28T10:00", "2026-03-29T10:00"),
        (1, None, "2026-10-24T10:00", "2026-10-25T10:00"),
        # A local time that doesn't exist means the first instant after the gap.
        (1, 150, "2026-03-28T10:00", "2026-03-29T03:00"),
        # One that comes twice means the first.
        (1, 150, "2026-10-24T10:00", "2026-10-25T02:30"),
        (0, 570, "2026-03-10T15:00", "2026-03-10T09:30"),
    ],
)
def test_calendar_days(days: int, at: int | None, since: str, until: str) -> None:
    assert ends(CalendarDays(days=days, at_minute=at), since) == local(until)


def test_the_first_of_a_time_that_comes_twice() -> None:
    end = ends(CalendarDays(days=1, at_minute=150), "2026-10-24T10:00")
    assert end == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_first_instant_after_a_gap() -> None:
    spec = CalendarDays(days=1, at_minute=150)
    assert ends(spec, "2026-03-28T10:00") == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert ends(spec, "2026-03-07T10:00", zone=NEW_YORK) == datetime(2026, 3, 8, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "since", "until"),
    [
        (2, "2026-03-10T15:00", "2026-03-12T15:00"),
        (2, "2026-03-13T15:00", "2026-03-17T15:00"),
        (1, "2026-03-14T15:00", "2026-03-16T15:00"),
        (5, "2026-03-10T15:00", "2026-03-17T15:00"),
        (1, "2026-04-02T15:00", "2026-04-07T15:00"),
    ],
)
def test_business_days_are_weekdays_without_holidays(days: int, since: str, until: str) -> None:
    easter = (date(2026, 4, 3), date(2026, 4, 6))
    assert ends(CalendarDays(days=days, business=True), since, holidays=easter) == local(until)


@pytest.mark.parametrize(
    ("since", "at", "until"),
    [
        ("2026-03-10T15:00", 600, "2026-03-13T10:00"),
        ("2026-03-13T09:59", 600, "2026-03-13T10:00"),
        ("2026-03-13T10:00", 600, "2026-03-20T10:00"),
        ("2026-03-14T08:00", 600, "2026-03-20T10:00"),
        ("2026-03-10T15:00", None, "2026-03-13T15:00"),
        ("2026-03-13T15:00", None, "2026-03-20T15:00"),
    ],
)
def test_until_friday(since: str, at: int | None, until: str) -> None:
    assert ends(UntilWeekday(weekday=5, at_minute=at), since) == local(until)


@pytest.mark.parametrize(
    ("value", "at", "until"),
    [
        (date(2026, 4, 20), None, "2026-04-06T00:00"),
        (date(2026, 4, 20), 540, "2026-04-06T09:00"),
        # The change to summer time in between moves no hour.
        (date(2026, 4, 5), 540, "2026-03-22T09:00"),
        (datetime(2026, 4, 20, 12, tzinfo=UTC), None, "2026-04-06T14:00"),
        (datetime(2026, 4, 20, 12, tzinfo=UTC), 540, "2026-04-06T09:00"),
        (date(2026, 3, 1), None, "2026-02-15T00:00"),
    ],
)
def test_before_a_date(value: date, at: int | None, until: str) -> None:
    spec = BeforeDate(signal="renewal_date", seconds=14 * DAY, at_minute=at)
    assert ends(spec, "2026-03-10T15:00", signal_value=value) == local(until)


@pytest.mark.parametrize("missing", [None, "soon", 5])
def test_a_missing_date_has_no_moment(missing: object) -> None:
    spec = BeforeDate(signal="renewal_date", seconds=14 * DAY)
    assert ends(spec, "2026-03-10T15:00", signal_value=missing) is None


def test_waits_go_by_the_customers_zone_else_by_the_default() -> None:
    spec = CalendarDays(days=1, at_minute=570)
    assert ends(spec, "2026-03-10T12:00", zone=NEW_YORK) == local("2026-03-11T09:30", NEW_YORK)
    for unknown in (None, "", "Mars/Olympus"):
        assert ends(spec, "2026-03-10T12:00", zone=unknown) == local("2026-03-11T09:30")


HOURS = Policy(default_zone=BERLIN, working_hours=WorkingHours())


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-03-10T10:00", 24, "2026-03-11T10:00"),
        ("2026-03-10T10:00", 6, "2026-03-10T16:00"),
        ("2026-03-10T10:00", 8, "2026-03-11T09:00"),
        ("2026-03-10T16:00", 1, "2026-03-11T09:00"),
        ("2026-03-10T00:00", 4, "2026-03-10T09:00"),
        ("2026-03-13T10:00", 24, "2026-03-16T09:00"),
        ("2026-03-27T17:30", 24, "2026-03-30T09:00"),
    ],
)
def test_due_is_elapsed_time_moved_to_the_next_opening(start: str, hours: int, due: str) -> None:
    assert working_due(local(start), hours * 3_600, HOURS) == local(due)


def test_without_working_hours_nothing_is_moved() -> None:
    start = local("2026-03-14T23:00")
    assert working_due(start, 3_600, Policy()) == start + timedelta(hours=1)
    closed = Policy(working_hours=WorkingHours(weekdays=()))
    assert working_due(start, 3_600, closed) == start + timedelta(hours=1)


def test_days_of_the_default_zone() -> None:
    now = local("2026-03-29T12:00")
    assert midnight_before(now, BERLIN) == local("2026-03-29T00:00")
    assert next_midnight(now, BERLIN) == local("2026-03-30T00:00")
    assert next_midnight(now, BERLIN) - midnight_before(now, BERLIN) == timedelta(hours=23)


@pytest.mark.parametrize("value", [date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC), "2026-05-01", None, 5])
def test_what_is_no_date_or_lies_outside_the_calendar_has_no_day_before_it(value: object) -> None:
    assert (
        ends(BeforeDate(signal="renewal_date", seconds=14 * DAY), "2026-03-10T10:00", signal_value=value)
        is None
    )


def business(days: int, since: str, country: str | None, region: str | None = None) -> datetime | None:
    spec = CalendarDays(days=days, business=True)
    free = holidays_within(spec, local(since), country, region)
    return ends(spec, since, holidays=free)


@pytest.mark.parametrize(
    ("country", "region", "until"),
    [
        # Good Friday and Easter Monday are free in Germany, neither in the United States.
        ("DE", None, "2026-04-08T15:00"),
        ("de", "BY", "2026-04-08T15:00"),
        ("US", None, "2026-04-06T15:00"),
        (None, None, "2026-04-06T15:00"),
        ("XX", None, "2026-04-06T15:00"),
    ],
)
def test_business_days_leave_out_the_holidays_of_the_country(
    country: str | None, region: str | None, until: str
) -> None:
    assert business(2, "2026-04-02T15:00", country, region) == local(until)


def test_a_region_has_holidays_of_its_own() -> None:
    # Epiphany, in Bavaria and not in Berlin; a subdivision may carry its country's code.
    day = date(2026, 1, 6)
    found = {
        region: day in holidays_for("DE", region, day, day)
        for region in ("BY", "de-by", "BE", "nowhere", None)
    }
    assert found == {"BY": True, "de-by": True, "BE": False, "nowhere": False, None: False}


def test_holidays_across_the_turn_of_the_year_include_substitute_days() -> None:
    found = holidays_for("GB", "ENG", date(2027, 12, 25), date(2028, 1, 3))
    assert found == {date(2027, 12, 25), date(2027, 12, 26), date(2027, 12, 27), date(2027, 12, 28)} | {
        date(2028, 1, 1), date(2028, 1, 3),
    }  # fmt: skip


def test_a_country_is_known_by_its_code_alone() -> None:
    codes = ("DE", " de ", "DEU", "GB", "Germany", "", None, "XX", "../x")
    assert [code for code in codes if has_holidays(code)] == ["DE", " de ", "DEU", "GB"]


def test_only_business_days_ask_for_holidays() -> None:
    assert holidays_within(Elapsed(seconds=DAY), local("2026-04-02T15:00"), "DE", None) == frozenset()


def test_a_wait_of_a_year_of_business_days_leaves_out_all_holidays_on_its_way() -> None:
    # 260 weekdays remain of 2026, six of them free; New Year is a Friday, and six more days are to come.
    assert business(260, "2026-01-01T09:00", "DE") == local("2027-01-11T09:00")
