"""What the language says of waits, by the clocks of the customer, played."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.integration.simulated import ANN, POLICY, Theatre, Told, on, open_theatre

pytestmark = pytest.mark.asyncio(loop_scope="module")

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
AFTER = "  - {id: after, in_app: {title: A, text: b}}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre() -> AsyncIterator[Theatre]:
    async with open_theatre() as theatre:
        yield theatre


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def over(told: Told) -> datetime:
    """When the step after the wait was taken."""
    [at] = [line["at"] for line in told.lines if line.get("step") == "after"]
    assert isinstance(at, datetime)
    return at.replace(microsecond=0)


async def wait(
    theatre: Theatre, spec: str, since: str, *happens: Any, zone: str | None = BERLIN, **facts: Any
) -> datetime:
    """When a wait that begins at `since` by the clocks of Berlin is over for a customer of `zone`."""
    profile = {**ANN, "timezone": zone} if zone else {k: v for k, v in ANN.items() if k != "timezone"}
    text = f"steps:\n  - {{id: stand, wait: {spec}}}\n{AFTER}"
    return over(await theatre.play(text, *happens, start=local(since), profile=profile, **facts))


@pytest.mark.parametrize(
    ("spec", "since", "until"),
    [
        # Elapsed time: the clocks go forward on 29 March and back on 25 October.
        ("3d", "2026-03-02T10:00", "2026-03-05T10:00"),
        ("1d", "2026-03-28T10:00", "2026-03-29T11:00"),
        ("1d", "2026-10-24T10:00", "2026-10-25T09:00"),
        ("90m", "2026-03-29T01:00", "2026-03-29T03:30"),
        # Calendar days, at a time or, without `at`, at the same time of day.
        ("{days: 3, at: '09:30'}", "2026-03-02T10:00", "2026-03-05T09:30"),
        ("{days: 1, at: '10:00'}", "2026-03-28T10:00", "2026-03-29T10:00"),
        ("{days: 1}", "2026-03-28T10:00", "2026-03-29T10:00"),
        ("{days: 1}", "2026-10-24T10:00", "2026-10-25T10:00"),
        # A local time that doesn't exist means the first instant after the gap.
        ("{days: 1, at: '02:30'}", "2026-03-28T10:00", "2026-03-29T03:00"),
        ("{days: 1}", "2026-03-28T02:30", "2026-03-29T03:00"),
        # A weekday before `at` on that day means the same day.
        ("{until: monday, at: '11:00'}", "2026-03-02T10:00", "2026-03-02T11:00"),
        ("{until: monday, at: '10:00'}", "2026-03-02T10:00", "2026-03-09T10:00"),
        ("{until: monday, at: '09:00'}", "2026-03-02T10:00", "2026-03-09T09:00"),
        ("{until: friday, at: '10:00'}", "2026-03-02T10:00", "2026-03-06T10:00"),
        ("{until: sunday}", "2026-03-28T02:30", "2026-03-29T03:00"),
        # Two business days from Thursday are Monday's, at the same time of day.
        ("{business_days: 2}", "2026-03-05T10:00", "2026-03-09T10:00"),
        ("{business_days: 1, at: '08:00'}", "2026-03-06T10:00", "2026-03-09T08:00"),
    ],
)
async def test_a_wait_ends_by_the_clocks_of_the_customer(
    theatre: Theatre, spec: str, since: str, until: str
) -> None:
    assert await wait(theatre, spec, since) == local(until)


async def test_of_a_time_that_comes_twice_the_first_counts(theatre: Theatre) -> None:
    found = await wait(theatre, "{days: 1, at: '02:30'}", "2026-10-24T10:00")
    assert found == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", [None, "Mars/Olympus", ""])
async def test_an_unknown_or_missing_zone_means_the_default_zone(theatre: Theatre, zone: str | None) -> None:
    found = await wait(theatre, "{days: 1, at: '09:30'}", "2026-03-02T10:00", zone=zone)
    assert found == local("2026-03-03T09:30")
    theirs = await wait(theatre, "{days: 1, at: '09:30'}", "2026-03-02T10:00", zone=NEW_YORK)
    assert theirs == local("2026-03-03T09:30", NEW_YORK)


@pytest.mark.parametrize(("country", "until"), [("DE", "2026-04-08T10:00"), ("US", "2026-04-06T10:00")])
async def test_holidays_are_those_of_the_customers_country(
    theatre: Theatre, country: str, until: str
) -> None:
    """Good Friday and Easter Monday are free in Germany alone."""
    found = await wait(theatre, "{business_days: 2}", "2026-04-02T10:00", signals={"country": country})
    assert found == local(until)


@pytest.mark.parametrize(
    ("spec", "zone", "until"),
    [
        ("{before: renewal_date, by: 14d}", BERLIN, local("2026-04-06T00:00")),
        ("{before: renewal_date, by: 14d}", NEW_YORK, local("2026-04-06T00:00", NEW_YORK)),
        ("{before: renewal_date, by: 14d, at: '09:00'}", NEW_YORK, local("2026-04-06T09:00", NEW_YORK)),
        ("{before: renewal_date}", BERLIN, local("2026-04-20T00:00")),
        # Winter time there, summer time here.
        ("{before: renewal_date, by: 28d, at: '09:00'}", BERLIN, local("2026-03-23T09:00")),
    ],
)
async def test_a_date_counts_from_the_customers_local_midnight_or_at(
    theatre: Theatre, spec: str, zone: str, until: datetime
) -> None:
    found = await wait(theatre, spec, "2026-03-02T10:00", zone=zone, signals={"renewal_date": "2026-04-20"})
    assert found == until


async def test_a_moment_that_is_past_is_over_at_once(theatre: Theatre) -> None:
    found = await wait(
        theatre, "{before: renewal_date, by: 14d}", "2026-03-02T10:00", signals={"renewal_date": "2026-03-10"}
    )
    assert found == local("2026-03-02T10:00")


async def test_when_the_date_moves_the_wait_moves(theatre: Theatre) -> None:
    spec, since, given = "{before: renewal_date, by: 14d}", "2026-03-02T10:00", {"renewal_date": "2026-04-20"}
    for moved, until in (
        ("2026-05-20", local("2026-05-06T00:00")),
        ("2026-04-01", local("2026-03-18T00:00")),
        ("2026-03-10", local("2026-03-12T10:00")),
    ):
        change = on("10d", signals={"renewal_date": moved})
        assert await wait(theatre, spec, since, change, signals=given) == until


DATED = f"steps:\n  - id: stand\n    wait: {{before: renewal_date, by: 14d}}\n%s{AFTER}"


async def test_when_the_date_is_missing_the_run_stops(theatre: Theatre) -> None:
    told = await theatre.play(DATED % "")
    assert (told.of(), told.end) == ([("0m", "stand", "no_date")], ("0m", "stopped"))
    gone = await theatre.play(
        DATED % "", on("3d", signals={"renewal_date": None}), signals={"renewal_date": "2026-04-20"}
    )
    assert gone.end == ("3d", "stopped")


async def test_when_the_date_is_missing_outcomes_may_say_otherwise(theatre: Theatre) -> None:
    for reaction in ("next", "{goto: after}", "{fallback: [{wait: 1m}]}"):
        told = await theatre.play(DATED % f"    outcomes: {{no_date: {reaction}}}\n")
        assert (len(told.sent), told.end[1]) == (1, "completed")


# When a message may leave

MAIL = "steps:\n  - {id: mail, email: tips}\n  - {id: after, in_app: {title: A, text: b}}\n"
WINDOW = 'send: {between: "09:00-18:00", days: weekdays%s}\n'
FRIDAY_EVENING = local("2026-03-06T19:00")


async def test_a_window_holds_until_it_opens_and_so_what_follows(theatre: Theatre) -> None:
    """From Friday evening to Monday morning: longer than quiet hours and caps would hold."""
    told = await theatre.play(WINDOW % "" + MAIL, start=FRIDAY_EVENING)
    assert told.sent == [("2d14h", "mail"), ("2d14h", "after")]


@pytest.mark.parametrize(("late", "sent"), [("62h", [("2d14h", "mail")]), ("61h", [])])
async def test_a_window_is_bounded_by_at_most_late_alone(
    theatre: Theatre, late: str, sent: list[tuple[str, str]]
) -> None:
    told = await theatre.play(WINDOW % f", at_most_late: {late}" + MAIL, start=FRIDAY_EVENING)
    assert [one for one in told.sent if one[1] == "mail"] == sent
    assert told.end == ("2d14h" if sent else "0m", "completed")


async def test_what_follows_quiet_hours_says_nothing_of_a_window(theatre: Theatre) -> None:
    text = WINDOW % "" + MAIL.replace("email: tips", "email: tips, outcomes: {held_quiet_hours: stop}")
    assert (await theatre.play(text, start=FRIDAY_EVENING)).sent[0] == ("2d14h", "mail")


async def test_a_steps_own_words_stand_over_the_files_word_by_word(theatre: Theatre) -> None:
    own = MAIL.replace("email: tips", "email: tips, send: {days: daily}")
    assert (await theatre.play(WINDOW % "" + own, start=FRIDAY_EVENING)).sent[0] == ("14h", "mail")


async def test_local_times_are_worked_out_at_the_target_instant(theatre: Theatre) -> None:
    """In the night in which the clocks go forward it is nine an hour sooner."""
    text = WINDOW.replace("weekdays", "daily") % "" + MAIL
    told = await theatre.play(text, start=local("2026-03-28T19:00"))
    assert told.sent[0] == ("13h", "mail")


async def test_a_window_goes_by_the_customers_zone(theatre: Theatre) -> None:
    told = await theatre.play(WINDOW % "" + MAIL, profile={**ANN, "timezone": NEW_YORK})
    assert told.sent[0] == ("5h", "mail")


NIGHT = POLICY + 'quiet_hours: "21:00-08:00"\n'


async def test_of_unknown_zone_a_text_leaves_when_it_is_day_wherever_the_customer_may_be(
    theatre: Theatre,
) -> None:
    """In the United States: at eight on Hawaii it is the afternoon in New York."""
    text = "steps:\n  - {id: text, sms: tips}\n"
    profile = {"first_name": "Ann", "phone": "+12125550100"}
    told = await theatre.play(text, policy=NIGHT, profile=profile, signals={"country": "US"})
    # Ten in the morning in Berlin; eight on Hawaii is 18:00 UTC.
    assert told.sent == [("9h", "text")]
    mail = await theatre.play(MAIL, policy=NIGHT, profile={"email": "ann@example.com"})
    assert mail.sent[0] == ("0m", "mail")


async def test_best_time_waits_for_the_hour_at_which_the_customer_is_there(theatre: Theatre) -> None:
    visits = [{"name": "login", "at": f"2026-02-{day:02d}T13:20:00Z"} for day in range(10, 20)]
    text = f"send: {{best_time: true}}\n{MAIL}"
    assert (await theatre.play(text, events=visits)).sent[0] == ("4h", "mail")
    assert (await theatre.play(text, events=visits[:4])).sent[0] == ("0m", "mail")
    bounded = f"send: {{best_time: true, at_most_late: 2h}}\n{MAIL}"
    assert (await theatre.play(bounded, events=visits)).sent[0][0] in ("0m", "1h", "2h")


# Pauses

PAUSED = """steps:
  - wait: 2d
  - {id: mail, email: tips}
  - {id: note, in_app: {title: A, text: b}}
  - wait: 3d
  - {id: later, email: tips}
"""


@pytest.mark.parametrize(
    ("resumed", "sent"),
    [
        ("1d12h", [("2d", "mail"), ("2d", "note"), ("5d", "later")]),
        ("3d", [("3d", "mail"), ("3d", "note"), ("6d", "later")]),
        ("3d1m", [("6d1m", "later")]),
    ],
)
async def test_due_times_run_on_and_what_is_overdue_by_more_is_skipped_up_to_the_next_wait(
    theatre: Theatre, resumed: str, sent: list[tuple[str, str]]
) -> None:
    told = await theatre.play(f"max_overdue: 1d\n{PAUSED}", on("1d", do="pause"), on(resumed, do="resume"))
    assert told.sent == sent


async def test_max_overdue_is_a_day_where_nothing_is_said(theatre: Theatre) -> None:
    for resumed, count in (("3d", 3), ("3d1m", 1)):
        told = await theatre.play(PAUSED, on("1d", do="pause"), on(resumed, do="resume"))
        assert len(told.sent) == count


async def test_a_held_message_thats_overdue_after_a_pause_is_skipped(theatre: Theatre) -> None:
    text = "send: {days: friday}\nsteps:\n  - {id: mail, email: tips}\n"
    told = await theatre.play(text, on("1d", do="pause"), on("9d", do="resume"))
    assert (told.of("email")[-1], told.end) == (("9d", "mail", "skipped"), ("9d", "completed"))


@pytest.mark.parametrize(
    "block",
    [
        "repeat: {at_most: 1, steps: [{wait: 1d}]}",
        "choose: [{when: {plan: {is: missing}}, steps: [{wait: 1d}]}]",
        "wait_for: {event: {name: login}, for: 1d}",
        "together: [{steps: [{wait: 1d}]}, {steps: [{wait: 1d}]}]",
    ],
)
async def test_the_next_wait_may_be_one_inside_rounds_ways_and_branches(theatre: Theatre, block: str) -> None:
    before = "max_overdue: 1d\nsteps:\n  - wait: 2d\n  - {id: mail, email: tips}\n"
    text = f"{before}  - {block}\n  - {{id: later, email: tips}}\n"
    told = await theatre.play(text, on("1d", do="pause"), on("4d", do="resume"))
    assert told.sent == [("5d", "later")]
