"""What somebody should do about a customer now, and how pressing it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.urgent_actions import urgent_actions
from schemas.situation import AbandonedFeature, Situation

NOW = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)
FINE = Situation(risk_level="healthy", churn_probability=0.1, subscription_status="active")


def kinds(situation: Situation) -> list[str]:
    return [one.kind for one in urgent_actions(situation, now=NOW)]


def test_of_a_customer_who_is_well_nothing_is_urgent() -> None:
    assert urgent_actions(FINE, now=NOW) == []
    assert urgent_actions(Situation(), now=NOW) == []


def test_who_is_likely_to_leave_is_called_today_from_eighty_percent_on_and_soon_from_sixty() -> None:
    for churn, priority, due in (
        (0.8, "critical", TODAY),
        (0.79, "high", TODAY + 2 * DAY),
        (0.6, "high", TODAY + 2 * DAY),
    ):
        [call] = urgent_actions(replace(FINE, churn_probability=churn), now=NOW)
        assert (call.kind, call.priority, call.due_date) == ("call_required", priority, due)
    assert kinds(replace(FINE, churn_probability=0.59)) == []
    assert kinds(replace(FINE, risk_level="critical")) == ["call_required"]


def test_who_was_talked_to_this_week_needs_no_other_call() -> None:
    risky = replace(FINE, churn_probability=0.9)
    assert kinds(replace(risky, talked_at=NOW - timedelta(days=6, hours=23))) == []
    assert kinds(replace(risky, talked_at=NOW - 7 * DAY)) == ["call_required"]


def test_a_call_on_somebodys_list_is_the_call_and_has_its_due_date() -> None:
    listed = replace(FINE, call_title="Call Ada", call_due_at=NOW + 3 * DAY, talked_at=NOW)
    [call] = urgent_actions(listed, now=NOW)
    assert (call.description, call.priority, call.due_date) == ("Call Ada", "high", TODAY + 3 * DAY)
    [late] = urgent_actions(replace(listed, call_due_at=NOW - DAY), now=NOW)
    assert (late.description, late.priority) == ("Call Ada (overdue)", "critical")


def test_a_mail_that_came_back_a_bill_and_abandoned_features_are_told_with_what_they_take() -> None:
    situation = replace(
        FINE,
        bounced_at=NOW - DAY,
        subscription_status="past_due",
        failed_payments_30d=2,
        abandoned=[AbandonedFeature(name, 0.9, date(2026, 2, 1)) for name in ("forms", "journey_automation")],
    )
    found = urgent_actions(situation, now=NOW)
    assert [(one.kind, one.priority) for one in found] == [
        ("billing_issue", "high"), ("email_bounce", "medium"), ("feature_abandonment", "low"),
    ]  # fmt: skip
    assert found[0].description == "Settle billing: payment is past due, 2 payments failed in 30 days"
    assert found[1].description == "Find another e-mail address: the mail of Mar 9 came back"
    assert found[1].due_date == TODAY + 2 * DAY
    assert found[2].description == "Show them again: forms, journey automation"
    assert all(one.effort_minutes > 0 for one in found)


def test_a_feature_that_is_merely_used_less_is_not_urgent() -> None:
    assert kinds(replace(FINE, abandoned=[AbandonedFeature("forms", 0.59, TODAY)])) == []


def test_who_cancelled_is_asked_for_nothing_but_the_call_that_is_agreed() -> None:
    gone = Situation(
        subscription_status="cancelled",
        risk_level="critical",
        churn_probability=1.0,
        bounced_at=NOW,
        failed_payments_30d=1,
    )
    assert kinds(gone) == []
    assert kinds(replace(gone, call_due_at=NOW)) == ["call_required"]


@given(
    st.builds(
        Situation,
        risk_level=st.sampled_from([None, "healthy", "critical"]),
        churn_probability=st.none() | st.floats(0, 1),
        subscription_status=st.sampled_from([None, "active", "past_due", "cancelled", "trial"]),
        failed_payments_30d=st.none() | st.integers(0, 3),
        call_due_at=st.none() | st.just(NOW - DAY) | st.just(NOW + DAY),
        talked_at=st.none() | st.just(NOW - DAY) | st.just(NOW - 30 * DAY),
        bounced_at=st.none() | st.just(NOW - 20 * DAY),
        abandoned=st.lists(
            st.builds(AbandonedFeature, st.sampled_from("abc"), st.floats(0, 1), st.just(TODAY)), max_size=4
        ),
    )
)
def test_there_is_at_most_one_of_a_kind_the_most_pressing_first_and_none_but_an_open_call_is_due_in_the_past(
    situation: Situation,
) -> None:
    found = urgent_actions(situation, now=NOW)
    assert len({one.kind for one in found}) == len(found)
    ranks = [("critical", "high", "medium", "low").index(one.priority) for one in found]
    assert ranks == sorted(ranks)
    for one in found:
        assert one.due_date >= TODAY or (one.kind == "call_required" and situation.call_due_at is not None)
