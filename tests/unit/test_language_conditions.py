"""Each form of the condition language becomes the node it means, with the path and line it was written at."""

from typing import Any

import pytest

from schemas.catalogue import load_catalogue
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Change,
    Compare,
    Contains,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
)  # fmt: skip
from schemas.condition_parser import ConditionParser
from schemas.errors import Problem
from schemas.problem import Report
from schemas.yaml_source import load_yaml

DAY = 86400


def parse(text: str) -> tuple[AllOf | None, list[Problem]]:
    source = load_yaml(text, "file.yaml")
    report = Report(source)
    parser = ConditionParser(report, load_catalogue())
    return parser.parse(source.data["when"], ("when",)), report.problems


def line(text: str) -> Any:
    condition, problems = parse(f"when:\n  {text}\n")
    assert problems == []
    assert condition is not None
    assert (condition.path, condition.line) == ("when", 1)
    (item,) = condition.items
    return item


@pytest.mark.parametrize(
    ("text", "node", "fields"),
    [
        ("plan: pro", Compare, {"op": "eq", "value": "pro"}),
        ("influencer: true", Compare, {"op": "eq", "value": True}),
        ("health_score: 40", Compare, {"op": "eq", "value": 40}),
        ("churn_probability: 0.7", Compare, {"op": "eq", "value": 0.7}),
        ('plan: "!= free"', Compare, {"op": "ne", "value": "free"}),
        ('health_score: "!= 0"', Compare, {"op": "ne", "value": 0}),
        ('influencer: "!= true"', Compare, {"op": "ne", "value": True}),
        ('health_score: "< 40"', Compare, {"op": "lt", "value": 40}),
        ('health_score: "<= 40"', Compare, {"op": "le", "value": 40}),
        ('days_since_last_login: ">7"', Compare, {"op": "gt", "value": 7}),
        ("health_score: < 40", Compare, {"op": "lt", "value": 40}),
        ('churn_probability: ">= 0.7"', Compare, {"op": "ge", "value": 0.7}),
        ('usage_drop_percent: "> -10.5"', Compare, {"op": "gt", "value": -10.5}),
        ("plan: [pro, business]", OneOf, {"values": ("pro", "business")}),
        ("health_score: [40, 41.5]", OneOf, {"values": (40, 41.5)}),
        ('health_score: "40..60"', Between, {"low": 40, "high": 60}),
        ("health_score: 40..60", Between, {"low": 40, "high": 60}),
        ('churn_probability: "-0.5 .. 0.7"', Between, {"low": -0.5, "high": 0.7}),
        ('health_score: "40..40"', Between, {"low": 40, "high": 40}),
        ("last_login: {older_than: 7d}", Age, {"op": "older_than", "seconds": 7 * DAY}),
        ("last_login: {within: 12h}", Age, {"op": "within", "seconds": DAY // 2}),
        ("renewal_date: {due_within: 2w}", Age, {"op": "due_within", "seconds": 14 * DAY}),
        ("renewal_date: {overdue_by: 3d}", Age, {"op": "overdue_by", "seconds": 3 * DAY}),
        ("phone: {is: missing}", Presence, {"present": False}),
        ("health_score: {is: present}", Presence, {"present": True}),
        ("tags: {contains: vip}", Contains, {"item": "vip"}),
        ("vendor_type: {contains: photo}", Contains, {"item": "photo"}),
        ("health_score: {crosses_below: 40, for: 2d, rearm_above: 50}", Crossing,
         {"direction": "below", "level": 40, "for_seconds": 2 * DAY, "rearm": 50}),
        ("health_score: {crosses_above: 60, rearm_below: 50}", Crossing,
         {"direction": "above", "level": 60, "for_seconds": 0, "rearm": 50}),
        ("health_score: {crosses_below: 0}", Crossing, {"level": 0, "rearm": None}),
        ("health_score: {drops_by: 15, within: 7d}", Change,
         {"direction": "drop", "by": 15, "within_seconds": 7 * DAY}),
        ("churn_probability: {rises_by: 0.2, within: 30d}", Change,
         {"direction": "rise", "by": 0.2, "within_seconds": 30 * DAY}),
    ],
)  # fmt: skip
def test_a_form_becomes_its_node(text: str, node: type, fields: dict[str, object]) -> None:
    item = line(text)
    assert type(item) is node
    name = text.partition(":")[0]
    assert (item.signal, item.path, item.line) == (name, f"when.{name}", 2)
    for field, value in fields.items():
        assert getattr(item, field) == value
        assert type(getattr(item, field)) is type(value)


def test_events_are_counted() -> None:
    item = line(
        "event: {name: payment_failed, at_least: 2, within: 30d, where: {amount: '> 10', card: [visa, amex]}}"
    )
    assert isinstance(item, EventCount)
    assert (item.name, item.at_least, item.within_seconds) == ("payment_failed", 2, 30 * DAY)
    assert item.where is not None
    amount, card = item.where.items
    assert isinstance(amount, Compare)
    assert (amount.signal, amount.op, amount.value, amount.path) == (
        "amount",
        "gt",
        10,
        "when.event.where.amount",
    )
    assert isinstance(card, OneOf)
    plain = line("event: {name: login}")
    assert (plain.at_least, plain.within_seconds, plain.where) == (1, None, None)


def test_properties_are_free_in_type_and_group_too() -> None:
    item = line("event: {name: x, where: {a: '40', b: {is: missing}, any: [{c: true}, {c: {contains: z}}]}}")
    a, b, group = item.where.items
    assert (a.op, a.value) == ("eq", "40")
    assert b == Presence(path="when.event.where.b", line=2, signal="b", present=False)
    assert isinstance(group, AnyOf)


def test_groups_nest_and_keep_their_lines() -> None:
    text = (
        "when:\n  plan: pro\n  any:\n    - health_score: '< 40'\n      influencer: true\n"
        "    - all:\n        - team_size: 1\n  none:\n    - open_tickets: '>= 1'\n"
    )
    condition, problems = parse(text)
    assert problems == []
    assert condition is not None
    plan, either, none = condition.items
    assert isinstance(plan, Compare)
    assert isinstance(either, AnyOf)
    assert isinstance(none, NoneOf)
    assert (either.path, either.line, none.line) == ("when.any", 3, 8)
    first, second = either.items
    assert isinstance(first, AllOf)
    assert [item.path for item in first.items] == ["when.any[0].health_score", "when.any[0].influencer"]  # type: ignore[union-attr]
    assert isinstance(second, AllOf)
    inner = second.items[0]
    assert isinstance(inner, AllOf)
    assert inner.items[0].items[0].path == "when.any[1].all[0].team_size"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ('plan: ">= x"', "PB203", 9), ('health_score: "40"', "PB205", 17),
        ('health_score: "60..40"', "PB207", 17),
        ("tags: vip", "PB204", 9), ("tags: [vip]", "PB204", 9), ("helth_score: 4", "PB201", 3),
        ("plan: 3", "PB202", 9), ("influencer: yes", "PB202", 15),
        ("any: []", "PB206", 8), ("none: []", "PB206", 9),
        ("plan: {}", "PB206", 9), ("plan: []", "PB206", 9), ("email: x@y.z", "PB202", 10),
        ("email: {contains: x}", "PB202", 10), ('last_login: "< 3"', "PB203", 15),
        ("health_score: {older_than: 3d}", "PB211", 18), ("last_login: {older_than: 0d}", "PB104", 28),
        ("health_score: {drops_by: 3}", "PB103", 3), ("health_score: {drops_by: 0, within: 3d}", "PB107", 28),
        ("health_score: {is: missing, contains: x}", "PB205", 31), ('health_score: "< 40%"', "PB205", 17),
        ("health_score: 40d", "PB202", 17), ("plan:", "PB103", 8), ('health_score: "40.."', "PB205", 17),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_once_at_the_word_at_fault(text: str, code: str, column: int) -> None:
    _, problems = parse(f"when:\n  {text}\n")
    assert [(p.code, p.line, p.column, p.severity) for p in problems] == [(code, 2, column, "error")]
    assert problems[0].hint


def test_an_unlisted_value_is_a_warning_unless_it_is_a_slip() -> None:
    _, (problem,) = parse("when: {subscription_status: churned}")
    assert (problem.code, problem.severity) == ("PB209", "warning")
    condition, (problem,) = parse("when: {subscription_status: canceled}")
    assert (problem.code, problem.severity) == ("PB209", "error")
    assert "`cancelled`" in problem.hint
    assert condition is None
