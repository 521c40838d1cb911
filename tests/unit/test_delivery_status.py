"""Where a message stands: the same whatever the order of its reports, and however often they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.complaints import judge_complaints
from rules.delivery_status import STATUSES, Standing, is_machine, weigh
from rules.whatsapp_window import may_write_freely
from schemas.delivery_report import REPORT_KINDS, DeliveryReport, ReportKind

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
APPLE = "Mozilla/5.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15"


def report(
    kind: ReportKind, seconds: float, *, agent: str = PHONE, channel: str = "email", machine: bool = False
) -> DeliveryReport:
    at = START + timedelta(seconds=seconds)
    return DeliveryReport("sendgrid", f"{kind}/{seconds}", kind, at, channel, machine=machine, agent=agent)


REPORTS = st.lists(
    st.builds(
        report,
        st.sampled_from(REPORT_KINDS),
        st.integers(0, 60),
        agent=st.sampled_from([APPLE, PHONE]),
        machine=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(REPORTS, st.data())
def test_order_and_repetition_make_no_difference(reports: list[DeliveryReport], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(reports)))
    shuffled = data.draw(st.permutations(reports + again))
    assert weigh(shuffled, sent_at=START) == weigh(reports, sent_at=START)


@given(REPORTS, REPORTS)
def test_a_status_never_goes_back(earlier: list[DeliveryReport], later: list[DeliveryReport]) -> None:
    # A delivery that was told late may turn an early opening into a program's.
    human = [one for one in earlier + later if one.kind not in ("opened", "clicked")]
    before, after = weigh([one for one in human if one in earlier]), weigh(human)
    ranks = ("", *STATUSES)
    assert ranks.index(after.status) >= ranks.index(before.status)
    for name in ("delivered_at", "replied_at"):
        first, then = getattr(before, name), getattr(after, name)
        assert first is None or then <= first


def test_a_complaint_after_the_delivery_is_noted_and_the_delivery_stays() -> None:
    standing = weigh([report("complained", 90), report("delivered", 2), report("opened", 60)])
    assert standing == Standing(
        "complained",
        START + timedelta(seconds=90),
        START + timedelta(seconds=2),
        START + timedelta(seconds=60),
    )


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (("delivered", "sent", "accepted"), "delivered"),
        (("bounced", "delivered"), "bounced"),
        (("undelivered", "sent"), "undelivered"),
        (("clicked", "delivered"), "clicked"),
        (("replied", "bounced"), "replied"),
        (("deferred",), ""),
        (("unsubscribed", "delivered"), "delivered"),
    ],
)
def test_what_weighs_more_stands(kinds: tuple[ReportKind, ...], status: str) -> None:
    told = [report(kind, 10 * number) for number, kind in enumerate(kinds, 1)]
    assert weigh(told).status == weigh(reversed(told)).status == status


@pytest.mark.parametrize(
    ("opening", "machine"),
    [
        (report("opened", 600), False),
        (report("opened", 600, agent=APPLE), True),
        (report("opened", 600, agent=" mozilla/5.0 "), True),
        (report("opened", 12), True),
        (report("opened", 16), False),
        (report("opened", 5), True),
        (report("opened", 600, machine=True), True),
        (report("opened", 600, agent="Mozilla/5.0 (compatible; Barracuda Sentinel)"), True),
        (report("clicked", 600, agent="python-requests/2.32"), True),
        (report("clicked", 12), False),
        (report("opened", 600, agent="Mozilla/5.0 (Windows NT 5.1; GoogleImageProxy; ggpht.com)"), False),
        (report("opened", 12, channel="whatsapp"), False),
        (report("delivered", 10, agent=APPLE), False),
    ],
)
def test_what_programs_open_isnt_opened(opening: DeliveryReport, machine: bool) -> None:
    delivered = report("delivered", 10, channel=opening.channel)
    assert is_machine(opening, delivered.at) is machine
    if opening.kind == "opened" and opening.channel == "email":
        assert (weigh([opening, delivered]).opened_at is None) is machine


@pytest.mark.parametrize(
    ("complaints", "delivered", "verdict"),
    [(0, 0, "fine"), (1, 10, "fine"), (2, 10_000, "fine"), (2, 1500, "warn"), (3, 1500, "warn"), (3, 900, "park"),
     (30, 10_000, "warn"), (31, 10_000, "park"), (5, 3, "park")],
)  # fmt: skip
def test_complaints_warn_from_a_tenth_of_a_percent_and_park_from_three(
    complaints: int, delivered: int, verdict: str
) -> None:
    assert judge_complaints(complaints, delivered) == verdict


def test_whatsapp_may_be_written_freely_for_a_day() -> None:
    assert not may_write_freely(None, START)
    assert may_write_freely(START, START + timedelta(hours=23))
    assert not may_write_freely(START, START + timedelta(hours=24))
