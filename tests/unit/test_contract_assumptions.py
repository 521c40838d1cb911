"""What a wait says of what had to be assumed about the customer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from rules.waits import describe_assumptions
from schemas.facts import Facts
from schemas.plan import BeforeDate, CalendarDays, Elapsed, UntilWeekday, WaitSpec

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DATE = BeforeDate(signal="renewal_date", seconds=86_400)
BUSINESS = CalendarDays(days=2, business=True)


def assumed(spec: WaitSpec, profile: dict[str, Any], **signals: Any) -> str:
    return describe_assumptions(spec, Facts("c1", NOW, signals, profile=profile), "Europe/Berlin")


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus"])
@pytest.mark.parametrize("spec", [CalendarDays(days=1), UntilWeekday(weekday=5), DATE, BUSINESS])
def test_an_unknown_or_missing_zone_means_the_default_zone_and_is_flagged(
    spec: WaitSpec, zone: str | None
) -> None:
    told = assumed(
        spec, {"timezone": zone} if zone is not None else {}, renewal_date=date(2026, 5, 1), country="DE"
    )
    assert told.startswith("default zone Europe/Berlin")
    known = assumed(spec, {"timezone": "America/New_York"}, renewal_date=date(2026, 5, 1), country="DE")
    assert known == ""


def test_where_no_clock_is_looked_at_nothing_is_assumed() -> None:
    assert assumed(Elapsed(seconds=86_400), {}) == ""
    assert assumed(DATE, {}, renewal_date=datetime(2026, 5, 1, 12, tzinfo=UTC)) == ""
    assert assumed(DATE, {}) == ""


def test_holidays_of_an_unknown_country_are_flagged() -> None:
    profile = {"timezone": "Europe/Berlin"}
    assert "no holidays known" in assumed(BUSINESS, profile)
    assert "XX" in assumed(BUSINESS, profile, country="XX")
    assert assumed(BUSINESS, profile, country="DE") == ""
