"""What a wait assumes of a customer of whom too little is known, and that it says so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from rules.waits import describe_assumptions, end_of_wait
from schemas.facts import Facts
from schemas.plan import BeforeDate, CalendarDays, Elapsed, UntilWeekday, WaitSpec

BERLIN = "Europe/Berlin"
# The day before Good Friday, 9:00 in Berlin.
SINCE = datetime(2026, 4, 2, 7, tzinfo=UTC)
WORKING = CalendarDays(days=1, business=True)
DATED = BeforeDate(signal="renewal_date", seconds=86_400)


def known(profile: dict[str, Any] | None = None, **signals: Any) -> Facts:
    return Facts("ada", SINCE, signals, profile=profile or {})


def said(spec: WaitSpec, facts: Facts) -> str:
    return describe_assumptions(spec, facts, BERLIN)


@pytest.mark.parametrize(
    "spec", [CalendarDays(days=2), UntilWeekday(weekday=5, at_minute=600), WORKING, DATED], ids=repr
)
def test_without_a_zone_the_default_one_counts_and_is_named(spec: WaitSpec) -> None:
    here, elsewhere = known(country="DE", renewal_date=date(2026, 5, 1)), {"timezone": "Mars/Phobos"}
    assert said(spec, here) == "default zone Europe/Berlin: no zone is known"
    lost = known(elsewhere, country="DE", renewal_date=date(2026, 5, 1))
    assert said(spec, lost) == "default zone Europe/Berlin: Mars/Phobos is unknown"
    at_home = known({"timezone": BERLIN}, country="DE", renewal_date=date(2026, 5, 1))
    assert said(spec, at_home) == ""
    ends = [end_of_wait(spec, SINCE, facts, BERLIN) for facts in (here, lost, at_home)]
    assert len(set(ends)) == 1


def test_what_goes_by_no_clock_needs_no_zone() -> None:
    assert said(Elapsed(seconds=60), known()) == ""
    assert said(DATED, known(renewal_date=datetime(2026, 5, 1, 12, tzinfo=UTC))) == ""
    at_nine = DATED.model_copy(update={"at_minute": 540})
    assert said(at_nine, known(renewal_date=datetime(2026, 5, 1, 12, tzinfo=UTC))).startswith("default zone")


@pytest.mark.parametrize(
    ("profile", "country", "told"),
    [
        ({}, None, "a customer without country"),
        ({}, "Atlantis", "Atlantis"),
        ({"country": "XX"}, None, "XX"),
        ({"country": "DE"}, None, ""),
        ({}, "DE", ""),
    ],
)
def test_where_no_holidays_are_known_only_weekends_are_free_and_that_is_said(
    profile: dict[str, Any], country: str | None, told: str
) -> None:
    facts = known({"timezone": BERLIN, **profile}, **({"country": country} if country else {}))
    assert said(WORKING, facts) == (f"weekends only: no holidays known for {told}" if told else "")
    assert said(CalendarDays(days=1), facts) == ""
    # Good Friday and Easter Monday are free where they are known to be.
    expected = datetime(2026, 4, 3, 7, tzinfo=UTC) if told else datetime(2026, 4, 7, 7, tzinfo=UTC)
    assert end_of_wait(WORKING, SINCE, facts, BERLIN) == expected


def test_both_are_said_together() -> None:
    assert said(WORKING, known()) == (
        "default zone Europe/Berlin: no zone is known; "
        "weekends only: no holidays known for a customer without country"
    )
