"""When a customer may book a call: the team's hours, by day where the customer is, and on nobody's holidays."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rules.booking import bookable_times
from schemas.policy import Policy, WorkingHours

MONDAY = datetime(2026, 3, 2, 7, tzinfo=UTC)
BERLIN = Policy(default_zone="Europe/Berlin")


def clocks(zone: str, **more: str) -> tuple[str, str, bool]:
    """The first and the last time of day that is offered, by the customer's clock, and whether they are unusual."""
    times = bookable_times(MONDAY, BERLIN, zone=zone, **more)
    local = sorted(start.astimezone(ZoneInfo(zone)).strftime("%H:%M") for start in times.starts)
    return local[0], local[-1], times.unusual


@pytest.mark.parametrize(
    ("zone", "first", "last", "unusual"),
    [
        ("Europe/Berlin", "09:00", "16:30", False),
        ("Europe/Lisbon", "08:00", "15:30", False),
        # Nine in Berlin is three in New York: what is left begins at eight there.
        ("America/New_York", "08:00", "10:30", False),
        ("Asia/Tokyo", "17:00", "19:30", False),
        # Nine to five in Berlin is nine in the evening to five in the morning.
        ("Pacific/Auckland", "00:00", "23:30", True),
    ],
)
def test_what_is_offered_lies_in_the_customers_day_where_that_can_be(
    zone: str, first: str, last: str, unusual: bool
) -> None:
    assert clocks(zone) == (first, last, unusual)


def test_where_the_zone_is_unknown_the_teams_hours_are_offered() -> None:
    for zone in (None, "Mars/Olympus"):
        times = bookable_times(MONDAY, BERLIN, zone=zone)
        assert (len(times.starts), times.unusual) == (5 * 16, False)


def days(policy: Policy, now: datetime, **more: str) -> list[date]:
    return sorted({start.date() for start in bookable_times(now, policy, **more).starts})


def test_nobody_is_booked_on_the_teams_or_the_customers_holidays() -> None:
    before_easter = datetime(2026, 4, 1, 5, tzinfo=UTC)
    easter = {date(2026, 4, 3), date(2026, 4, 6)}
    offered = days(BERLIN, before_easter)
    assert not easter & set(offered)
    assert offered == [date(2026, 4, day) for day in (1, 2, 7, 8, 9)]
    # The fifth of May is Children's Day in Japan, the sixth a substitute holiday.
    may = datetime(2026, 5, 4, 5, tzinfo=UTC)
    assert date(2026, 5, 5) in days(BERLIN, may)
    assert not {date(2026, 5, day) for day in (4, 5, 6)} & set(days(BERLIN, may, country="JP"))


def test_the_policy_says_whose_holidays_the_teams_are() -> None:
    epiphany = datetime(2026, 1, 5, 5, tzinfo=UTC)

    def offered(holidays: str | None, zone: str = "Europe/Berlin") -> bool:
        policy = Policy(default_zone=zone, working_hours=WorkingHours(holidays=holidays))
        return date(2026, 1, 6) in days(policy, epiphany)

    assert offered(None)
    assert offered("DE-BE")
    assert not offered("DE-BY")
    assert not offered("AT")
    # UTC lies in no country.
    assert offered(None, "UTC")
