"""How well a trigger told in advance who would cancel, worked out by hand for a few customers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from schemas.catalogue import load_catalogue
from schemas.facts import Event
from scoring.detection import Course, Detection, judge_flags, share_of, trace_status

START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = timedelta(days=30)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def course(
    name: str,
    flags: Sequence[float] = (),
    cancelled: Sequence[float] = (),
    returned: Sequence[float] = (),
    since: float = -100,
) -> Course:
    return Course(
        name, day(since), [day(n) for n in flags], [day(n) for n in cancelled], [day(n) for n in returned]
    )


def judge(*courses: Course, end: float = 60, known_until: float = 90) -> Detection:
    return judge_flags(courses, start=START, end=day(end), known_until=day(known_until), horizon=MONTH)


def test_precision_is_the_share_of_flags_that_a_cancellation_follows_in_time() -> None:
    found = judge(
        course("in time", flags=[10], cancelled=[40]),
        course("too late", flags=[10], cancelled=[40.5]),
        course("never", flags=[10, 20]),
    )
    assert (found.precision.hits, found.precision.n) == (1, 4)
    assert (found.flags, found.flagged_customers, found.unjudged) == (4, 3, 0)
    assert found.precision.low is not None
    assert found.precision.high is not None
    assert found.precision.low < 0.25 < found.precision.high


def test_a_flag_too_young_to_be_judged_is_left_out_even_if_a_cancellation_followed() -> None:
    found = judge(course("quick", flags=[5, 59], cancelled=[61]), known_until=80)
    assert (found.flags, found.unjudged, found.precision.n, found.precision.hits) == (2, 1, 1, 0)


def test_recall_is_the_share_of_cancellations_of_the_period_with_a_flag_in_the_time_before() -> None:
    found = judge(
        course("flagged", flags=[10, 20], cancelled=[30]),
        course("flagged long before", flags=[1], cancelled=[50]),
        course("flagged at that moment", flags=[30], cancelled=[30]),
        course("unflagged", cancelled=[20]),
        course("after the period", cancelled=[60]),
    )
    assert (found.recall.hits, found.recall.n, found.cancellations) == (1, 4, 4)
    # From the first flag in the time before.
    assert found.lead_days == {"quartile_1": 20, "median": 20, "quartile_3": 20}
    assert found.never_flagged == ["flagged at that moment", "unflagged"]


def test_somebody_who_had_cancelled_isnt_flagged_nor_at_risk_until_they_come_back() -> None:
    gone = course("gone", flags=[5], cancelled=[-10], returned=[20])
    found = judge(gone, end=40, known_until=70)
    assert found.flags == 0
    back = judge(course("back", flags=[25], cancelled=[-10, 30], returned=[20]), end=40, known_until=70)
    assert (back.precision.hits, back.precision.n) == (1, 1)
    # At risk on the midnights of days 20 to 29; day 30's begins with the cancellation.
    assert back.base_rate == 1.0


def test_the_base_rate_is_what_flags_drawn_at_random_would_come_to() -> None:
    # 61 midnights each: one stays, one cancels on day 40 and is doomed on days 10 to 39 (at risk on 0 to 39).
    found = judge(course("stays"), course("cancels", flags=[20], cancelled=[40]), end=60.5)
    assert found.base_rate == pytest.approx(30 / (61 + 40))
    assert found.lift == pytest.approx(1 / (30 / 101))
    newcomer = judge(course("newcomer", since=30), course("cancels", cancelled=[40]), end=60.5)
    assert newcomer.base_rate == pytest.approx(30 / (31 + 40))


def test_nothing_to_judge_is_said_as_such() -> None:
    found = judge(course("quiet"), known_until=10)
    assert (found.precision.rate, found.recall.rate, found.base_rate, found.lift, found.lead_days) == (
        None,
    ) * 5


def test_shares_have_wilsons_interval() -> None:
    # Agresti and Coull (1998): 0 of 10 gives 0 to .278.
    none = share_of(0, 10)
    assert (none.rate, none.low) == (0, pytest.approx(0, abs=1e-9))
    assert none.high == pytest.approx(0.278, abs=0.001)


def test_cancelling_is_what_the_catalogue_says_it_is() -> None:
    events = [
        Event("identify", day(0), {"subscription_status": "active"}),
        Event("subscription_cancelled", day(5)),
        Event("subscription_cancelled", day(6)),
        Event("identify", day(9), {"subscription_status": "active"}),
        Event("login", day(9)),
        Event("identify", day(20), {"subscription_status": "cancelled"}),
    ]
    assert trace_status(events, load_catalogue()) == ([day(5), day(20)], [day(9)])
