"""Conditions on the pages read as a person would say them, whatever is asked and of whatever."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.registry import find_step_types
from rules.reference import explain
from rules.wording import sentence
from schemas.catalogue import load_catalogue
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Change,
    Compare,
    Condition,
    Contains,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
)
from schemas.facts import Facts
from schemas.loader import load_playbooks
from web.condition_words import tell_check, tell_condition, tell_durations, tell_place, tell_rule
from web.flow import make_flow
from web.flow_boxes import walk_nodes

ROOT = Path(__file__).parents[2]
DAY = 86_400
WORDS: list[tuple[Condition, str]] = [
    (Compare(signal="health_score", op="lt", value=40), "health score below 40"),
    (Compare(signal="health_score", op="ge", value=60), "health score at least 60"),
    (Compare(signal="churn_probability", op="ge", value=0.7), "churn probability at least 70\u00a0%"),
    (Compare(signal="usage_drop_percent", op="gt", value=30), "usage drop above 30\u00a0%"),
    (Compare(signal="monthly_price", op="le", value=49), "monthly price at most $49"),
    (Compare(signal="days_since_last_login", op="ge", value=10), "days since last login at least 10"),
    (Compare(signal="failed_payments_30d", op="ge", value=1), "failed payments in 30 days at least 1"),
    (Compare(signal="subscription_status", op="eq", value="past_due"), "subscription status is past due"),
    (Compare(signal="plan", op="ne", value="free"), "plan isn't free"),
    (Compare(signal="influencer", op="eq", value=True), "influencer is yes"),
    (OneOf(signal="subscription_status", values=("active", "past_due")), "subscription status is active or past due"),
    (Between(signal="account_age_days", low=7, high=30), "account age from 7 to 30 days"),
    (Presence(signal="best_templates", present=True), "best templates is known"),
    (Presence(signal="email", present=False), "email isn't known"),
    (Contains(signal="tags", item="vip_customer"), "tags contains vip customer"),
    (Age(signal="last_login", op="older_than", seconds=3 * DAY), "last login more than 3 days ago"),
    (Age(signal="renewal_date", op="due_within", seconds=45 * DAY), "renewal date within the next 45 days"),
    (Crossing(signal="health_score", direction="below", level=40), "health score falls below 40"),
    (Change(signal="health_score", direction="drop", by=15, within_seconds=7 * DAY),
     "health score falls by 15 within 7 days"),
    (EventCount(name="ticket_rated", at_least=1, within_seconds=DAY,
                where=AllOf(items=(Compare(signal="rating", op="le", value=2),))),
     "“ticket rated” happened within 1 day where rating at most 2"),
    (EventCount(name="login", at_least=3), "“login” happened at least 3 times"),
    (NoneOf(items=(Compare(signal="open_tickets", op="ge", value=1),)), "none of (open tickets at least 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "told"), WORDS, ids=[told for _, told in WORDS])
def test_a_condition_is_told_in_words_with_the_units_of_its_signal(condition: Condition, told: str) -> None:
    assert tell_condition(condition) == told


@pytest.mark.parametrize(("condition", "told"), WORDS, ids=[told for _, told in WORDS])
def test_a_line_on_record_is_told_in_the_same_words(condition: Condition, told: str) -> None:
    if isinstance(condition, NoneOf):
        condition, told = condition.items[0], "open tickets at least 1"
    path = "enter.when." + (
        f"event.{condition.name}" if isinstance(condition, EventCount) else condition.signal
    )  # type: ignore[union-attr]
    [check] = explain(
        condition.model_copy(update={"path": path}), Facts("anybody", datetime(2026, 3, 10, tzinfo=UTC))
    ).checks
    asked, found, source = tell_check(check.to_json())
    assert asked == told[:1].upper() + told[1:]
    assert found == ("0 times" if isinstance(condition, EventCount) else "not known")
    # What the playbook has can still be read beside it.
    assert source.startswith(f"{path}: {check.expected}")


def test_what_was_found_has_its_unit_too() -> None:
    check = {"path": "enter.when.churn_probability", "expected": ">= 0.7", "actual": 0.75, "result": "true"}
    assert tell_check(check) == (
        "Churn probability at least 70\u00a0%", "75\u00a0%", "enter.when.churn_probability: >= 0.7 is 0.75: true",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "health_score: <= 40; account_age_days: 7..30; days_since_last_login: >= 10",
            "health score at most 40; account age from 7 to 30 days; days since last login at least 10",
        ),
        (
            "subscription_status: [active, past_due]; none of (open_tickets: >= 1)",
            "subscription status is active or past due; none of (open tickets at least 1)",
        ),
        ("event ticket_rated where rating: <= 2", "event ticket rated where rating at most 2"),
        ("event at_least 2 login within 7d", "“login” happened at least 2 times within 7 days"),
        (
            "churn_probability: >= 0.7 is false; churn_probability is 0.4",
            "churn probability at least 70\u00a0% doesn't hold; churn probability is 40\u00a0%",
        ),
        (
            "event at_least 1 ticket_rated within 14d where rating: <= 2 is false; 0 ticket_rated counted",
            "“ticket rated” happened within 14 days where rating at most 2 doesn't hold; 0 “ticket rated” counted",
        ),
        ("best_templates: is present is unknown; best_templates is missing",
         "best templates is known can't be told; best templates is missing"),
        ("subscription_status: != active", "subscription status isn't active"),
        (
            "health_score: crosses_below 40 for 3d rearm_above 50",
            "health score falls below 40 for 3 days, again once above 50",
        ),
        ("plan_name: pro", "plan name is pro"),
    ],
)  # fmt: skip
def test_a_reason_on_record_is_told_in_words(written: str, told: str) -> None:
    assert tell_rule(written) == told


@pytest.mark.parametrize(
    "written",
    [
        "she rang",
        "call her: it is urgent",
        "see [the note]",
        "3..2..1",
        "asked for by ada@example.com",
        "no: 3d",
    ],
)
def test_what_a_person_gave_as_a_reason_stays_as_it_is(written: str) -> None:
    assert tell_rule(written) == written


def test_durations_and_places_are_told_in_words() -> None:
    assert tell_durations("again after 60d, 1h, 30m") == "again after 60 days, 1 hour, 30 minutes"
    assert tell_place("enter.when.churn_probability") == "churn probability"
    assert tell_place("enter.when.none[0].open_tickets") == "open tickets (none of)"
    assert tell_place("enter.when.event.ticket_rated") == "“ticket rated” happened"


def test_no_picture_of_a_shipped_playbook_shows_how_yaml_is_written() -> None:
    playbooks = load_playbooks(ROOT / "playbooks", load_catalogue(), find_step_types()).playbooks
    for playbook in playbooks.values():
        flow = make_flow(playbook)
        boxes = walk_nodes(flow.nodes)
        lines = [*flow.enter, *(line for end in flow.ends for line in end.lines)]
        lines += [line for box in boxes if box.kind in ("choice", "wait", "repeat") for line in box.lines]
        for told in [*(line.told for line in lines), *flow.limits, flow.last]:
            assert not re.search(r"[a-z]_[a-z]|[<>=]|: |\b\d+[mhdw]\b", told), (playbook.name, told)
        # Conditions can still be read as they are written.
        assert playbook.enter is None or [line.source for line in flow.enter] == [
            sentence(item) for item in playbook.enter.when.items
        ]


def test_groups_in_groups_keep_their_brackets() -> None:
    inner = AnyOf(items=(
        AllOf(items=(Compare(signal="plan", op="eq", value="pro"), Compare(signal="health_score", op="lt", value=40))),
        Presence(signal="phone", present=True),
    ))  # fmt: skip
    assert tell_condition(inner) == "any of ((plan is pro and health score below 40), phone is known)"
