"""`best_time: true`: the hour at which a customer answers best, within what the sending rules allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.best_time import count_visits, find_best_time
from rules.sending import SendDecision, SendRequest, decide_send
from schemas.plan import SendWindow
from schemas.policy import Cap, Policy

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86_400
MORNING = "2026-03-10T10:20"


def local(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def visits(**by_hour: int) -> tuple[int, ...]:
    counts = [0] * 24
    for hour, times in by_hour.items():
        counts[int(hour[1:])] = times
    return tuple(counts)


def decide(
    counts: tuple[int, ...], *, due: str = MORNING, now: str = "", policy: dict[str, Any] | None = None,
    window: dict[str, Any] | None = None, **more: Any,
) -> SendDecision:  # fmt: skip
    given_policy = Policy(
        **{"default_zone": "Europe/Berlin", "consent": {"email": "assumed"}, **(policy or {})}
    )
    request = SendRequest(
        channel="email", policy=given_policy, due_at=local(due), address="a@b.example", zone="Europe/Berlin",
        window=SendWindow(**{"best_time": True, **(window or {})}), visits=counts, **more,
    )  # fmt: skip
    return decide_send(request, now=local(now or due))


def until(decision: SendDecision) -> str:
    assert decision.until is not None
    return decision.until.astimezone(BERLIN).strftime("%a %H:%M")


# Counting


def test_an_hour_of_a_day_counts_once_by_the_customers_clock() -> None:
    there = [
        local("2026-03-01T18:05"),
        local("2026-03-01T18:55"),
        local("2026-03-02T18:00"),
        local("2026-03-02T23:59"),
    ]
    counted = count_visits(there, BERLIN)
    assert (counted[18], counted[23], sum(counted)) == (2, 1, 3)
    assert count_visits(there, ZoneInfo("Asia/Kolkata"))[22] == 2


def test_summer_time_moves_no_habit() -> None:
    before, after = local("2026-03-28T18:30"), local("2026-03-29T18:30")
    assert count_visits([before, after], BERLIN)[18] == 2


# Choosing


def test_a_message_waits_for_the_best_hour_and_says_why() -> None:
    decision = decide(visits(h10=2, h18=9, h19=4))
    assert (decision.outcome, until(decision)) == ("held_quiet_hours", "Tue 18:00")
    assert decision.detail == (
        "the best time is between 18:00 and 19:00 of the customer's day (13 of 15 visits were around then)"
    )


def test_within_the_best_hour_it_leaves_at_once() -> None:
    assert decide(visits(h18=9), due="2026-03-10T18:40").outcome == "sent"
    assert decide(visits(h18=9), now="2026-03-10T18:00").outcome == "sent"


def test_the_best_hour_that_is_past_comes_again_tomorrow() -> None:
    assert until(decide(visits(h8=9))) == "Wed 08:00"


@pytest.mark.parametrize("counts", [(), visits(h18=4), visits()])
def test_fewer_than_five_visits_say_nothing(counts: tuple[int, ...]) -> None:
    assert decide(counts).outcome == "sent"


def test_neighbouring_hours_outweigh_a_single_odd_one() -> None:
    assert until(decide(visits(h14=3, h15=3, h16=3, h22=5))) == "Tue 15:00"


def test_without_a_habit_it_leaves_at_once() -> None:
    assert decide(tuple([2] * 24)).outcome == "sent"


def test_it_is_at_most_a_day_late_where_nothing_else_is_said() -> None:
    assert decide(visits(h10=9), due="2026-03-10T11:00").until == local("2026-03-11T10:00")
    assert decide(visits(h18=9), window={"at_most_late_seconds": 3600}).outcome == "sent"
    assert until(decide(visits(h18=9, h12=2), window={"at_most_late_seconds": 3 * 3600})) == "Tue 12:00"


def test_a_message_that_is_late_already_waits_no_longer() -> None:
    assert decide(visits(h18=9), now="2026-03-11T17:00").outcome == "sent"


def test_the_best_hour_lies_inside_the_window() -> None:
    window = {"between": (9 * 60, 17 * 60)}
    assert until(decide(visits(h18=9, h15=2), window=window)) == "Tue 15:00"
    half_past = {"between": (14 * 60 + 30, 17 * 60)}
    assert until(decide(visits(h14=9), window=half_past)) == "Tue 14:30"


def test_the_best_hour_lies_on_an_open_day() -> None:
    friday = {
        "due": "2026-03-13T19:00",
        "window": {"weekdays": (1, 2, 3, 4, 5), "at_most_late_seconds": 5 * DAY},
    }
    assert until(decide(visits(h18=9), **friday)) == "Mon 18:00"
    assert (
        decide(visits(h18=9), due="2026-03-13T19:00", window={"weekdays": (1, 2, 3, 4, 5)}).outcome == "sent"
    )


def test_the_best_hour_is_never_in_quiet_hours() -> None:
    quiet = {"quiet_hours": (21 * 60, 8 * 60)}
    assert until(decide(visits(h22=9, h7=3, h19=2), policy=quiet)) == "Tue 19:00"
    assert until(decide(visits(h23=9, h12=2), policy=quiet)) == "Tue 12:00"


def test_what_is_held_by_the_night_waits_for_the_best_hour_after_it() -> None:
    decision = decide(visits(h12=9), due="2026-03-10T22:00", policy={"quiet_hours": (21 * 60, 8 * 60)})
    assert (decision.outcome, until(decision)) == ("held_quiet_hours", "Wed 12:00")
    assert decision.detail.startswith("quiet hours; then the best time is between 12:00 and 13:00")


def test_a_cap_holds_first_and_the_best_hour_comes_after() -> None:
    caps = {"caps": {"email": Cap(times=1, seconds=DAY)}}
    sent = [("email", local("2026-03-09T14:00"))]
    decision = decide(visits(h12=9, h17=3), policy=caps, recent=sent)
    assert (decision.outcome, until(decision)) == ("capped", "Tue 17:00")


def test_best_time_lets_nothing_leave_that_could_not_wait_otherwise() -> None:
    decision = decide(
        visits(h12=9), due="2026-03-10T22:00", policy={"quiet_hours": (21 * 60, 8 * 60)}, hold_seconds=3600
    )
    assert (decision.outcome, decision.until) == ("held_quiet_hours", None)


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=24, max_size=24),
    minute=st.integers(0, 366 * 24 * 60),
    late=st.integers(1, 48),
    quiet=st.tuples(st.integers(0, 1439), st.integers(0, 1439)),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_the_chosen_moment_is_allowed_and_stays_chosen(
    counts: list[int], minute: int, late: int, quiet: tuple[int, int], zone: str
) -> None:
    due = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    policy = Policy(default_zone=zone, consent={"email": "assumed"}, quiet_hours=quiet)
    request = SendRequest(
        channel="email", policy=policy, due_at=due, address="a@b.example", zone=zone, visits=tuple(counts),
        window=SendWindow(best_time=True, at_most_late_seconds=late * 3600),
    )  # fmt: skip
    decision = decide_send(request, now=due)
    if decision.outcome == "sent" or decision.until is None:
        return
    assert due < decision.until <= due + timedelta(hours=late)
    assert decide_send(request, now=decision.until).outcome == "sent"


def test_no_instant_that_is_allowed_is_no_best_time() -> None:
    now = local(MORNING)
    span = {"earliest": now, "latest": now + timedelta(days=1), "zone": BERLIN}
    assert find_best_time(visits(h18=9), lambda at: None, **span) is None
    assert find_best_time(visits(h18=9), lambda at: at + timedelta(days=2), **span) is None
