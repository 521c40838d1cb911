"""The sentences of the language's section Conditions, one by one, for both evaluators of single customers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pytest

from rules.generated import compile_condition
from rules.instants import TICK
from rules.matching import event_matches
from rules.normalise import SignalType, WrongType, normalise
from rules.reference import explain
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
from schemas.facts import Event, Facts
from schemas.plan import EventMatch

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
DAY = 86_400
Op = Literal["eq", "ne", "lt", "le", "gt", "ge"]
AgeOp = Literal["older_than", "within", "due_within", "overdue_by"]


def known(
    *,
    signals: dict[str, Any] | None = None,
    events: list[Event] | None = None,
    history: dict[str, Any] | None = None,
    ages: dict[str, tuple[datetime, int]] | None = None,
) -> Facts:
    return Facts("c1", NOW, signals or {}, tuple(events or ()), history or {}, ages or {})


def answer(condition: Condition, facts: Facts) -> bool | None:
    """What both evaluators say; they must agree."""
    result = explain(condition, facts).result
    assert compile_condition(condition)(facts) is result
    return result


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("op", "constant", "value", "result"),
    [
        ("eq", 40, 40.0, True),
        ("lt", 40, 39.9, True),
        ("lt", 40, 40, False),
        ("le", 40, 40, True),
        ("gt", 7, 9, True),
        ("ge", 0.7, 0.7, True),
        ("ne", "free", "pro", True),
        ("eq", "pro", "unheard_of", False),
        ("eq", True, True, True),
        ("eq", "40", 40, None),
        ("eq", 40, "40", None),
        ("eq", 1, True, None),
        ("eq", True, 1, None),
        ("eq", "true", True, None),
        ("ne", 5, "x", None),
        ("lt", "b", "a", None),
    ],
)
def test_values_keep_their_type(op: Op, constant: Any, value: Any, result: bool | None) -> None:
    assert answer(Compare(signal="x", op=op, value=constant), known(signals={"x": value})) is result


def test_one_of_and_between_include_their_ends() -> None:
    assert answer(OneOf(signal="plan", values=("pro", "business")), known(signals={"plan": "business"}))
    assert answer(OneOf(signal="plan", values=("pro",)), known(signals={"plan": "free"})) is False
    assert answer(OneOf(signal="plan", values=("pro",)), known(signals={"plan": 5})) is None
    for value, result in ((40, True), (60, True), (39.99, False), (60.01, False), ("50", None)):
        between = Between(signal="s", low=40, high=60)
        assert answer(between, known(signals={"s": value})) is result


@pytest.mark.parametrize(
    ("op", "value", "result"),
    [
        ("older_than", ago(7), False),
        ("older_than", ago(7) - TICK, True),
        ("within", ago(7), True),
        ("within", ago(7) - TICK, False),
        ("within", NOW, True),
        ("within", NOW + TICK, False),
        ("due_within", ago(-7), True),
        ("due_within", ago(-7) + TICK, False),
        ("due_within", NOW, True),
        ("due_within", NOW - TICK, False),
        ("overdue_by", ago(7), False),
        ("overdue_by", ago(8), True),
        ("overdue_by", ago(-1), False),
        # A date is its midnight, UTC: today's has passed at nine.
        ("due_within", date(2026, 3, 10), False),
        ("due_within", date(2026, 3, 17), True),
        ("within", date(2026, 3, 10), True),
        ("within", "soon", None),
    ],
)
def test_distances_from_now(op: AgeOp, value: Any, result: bool | None) -> None:
    assert answer(Age(signal="t", op=op, seconds=7 * DAY), known(signals={"t": value})) is result


def test_presence_and_membership() -> None:
    present, missing = Presence(signal="x", present=True), Presence(signal="x", present=False)
    wrong = known(signals={"x": WrongType("abc")})
    assert (answer(present, known()), answer(missing, known())) == (False, True)
    assert (answer(present, wrong), answer(missing, wrong)) == (True, False)
    vip = Contains(signal="x", item="vip")
    for value, result in ((("vip", "new"), True), ((), False), ("a vip!", True), ("VIP", False), (5, None)):
        assert answer(vip, known(signals={"x": value})) is result
    assert answer(vip, known()) is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("40", "number"),
        (True, "number"),
        (float("nan"), "number"),
        (float("inf"), "number"),
        (2**53 + 1, "number"),
        (40, "text"),
        (1, "bool"),
        ("soon", "time"),
        (5, "date"),
        (["vip", 1], "list"),
        ("vip", "list"),
    ],
)
def test_a_value_of_the_wrong_type_is_present_and_unknown_to_comparisons(
    value: Any, kind: SignalType
) -> None:
    facts = known(signals={"x": normalise(value, kind)})
    assert answer(Presence(signal="x", present=True), facts) is True
    for constant in (40, "40", True, "vip"):
        assert answer(Compare(signal="x", op="eq", value=constant), facts) is None
    assert answer(Age(signal="x", op="within", seconds=DAY), facts) is None
    assert answer(Contains(signal="x", item="vip"), facts) is None


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "number", None),
        (40, "number", 40),
        (40.0, "number", 40.0),
        (2**53, "number", 2**53),
        ("2026-03-01T10:00:00+02:00", "time", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T10:00:00", "time", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01", "time", datetime(2026, 3, 1, tzinfo=UTC)),
        (date(2026, 3, 1), "time", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01", "date", date(2026, 3, 1)),
        ("2026-03-01T23:30:00-02:00", "date", date(2026, 3, 2)),
        (["a", "b"], "list", ("a", "b")),
        ("", "text", ""),
    ],
)
def test_normalised_values(value: Any, kind: SignalType, expected: Any) -> None:
    assert normalise(value, kind) == expected
    assert type(normalise(value, kind)) is type(expected)


def test_times_at_the_edge_of_the_calendar_are_of_the_wrong_type_and_harm_nobody() -> None:
    assert isinstance(normalise("0001-01-01T00:00:00+14:00", "time"), WrongType)
    facts = known(signals={"t": normalise("9999-12-31T23:59:59Z", "time")})
    explanation = explain(Age(signal="t", op="older_than", seconds=DAY), facts)
    assert (explanation.result, explanation.changes_at) == (False, None)


T, F, U = (Compare(signal=name, op="eq", value=1) for name in ("yes", "no", "gone"))


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        (AllOf(items=(T, T)), True),
        (AllOf(items=(T, U)), None),
        (AllOf(items=(U, F)), False),
        (AllOf(items=()), True),
        (AnyOf(items=(F, T, U)), True),
        (AnyOf(items=(U, F)), None),
        (AnyOf(items=(F, F)), False),
        (NoneOf(items=(F, F)), True),
        (NoneOf(items=(F, U)), None),
        (NoneOf(items=(U, T)), False),
        (NoneOf(items=(AllOf(items=(T, U)),)), None),
        (AllOf(items=(T, NoneOf(items=(AnyOf(items=(F, F)),)))), True),
    ],
)
def test_groups_follow_three_valued_logic(condition: Condition, result: bool | None) -> None:
    assert answer(condition, known(signals={"yes": 1, "no": 0})) is result


def day(ago_days: int) -> date:
    return date(2026, 3, 10) - timedelta(days=ago_days)


def crossing(values: list[Any], current: Any, **more: Any) -> tuple[bool | None, datetime | None]:
    """`values` are those of the last days, yesterday's last."""
    points = [(day(len(values) - index), value) for index, value in enumerate(values) if value is not None]
    facts = known(signals={} if current is None else {"s": current}, history={"s": points})
    leaf = Crossing(**{"signal": "s", "direction": "below", "level": 40, **more})
    answer(leaf, facts)
    explanation = explain(leaf, facts)
    return explanation.result, explanation.changes_at


@pytest.mark.parametrize(
    ("values", "current", "more", "result"),
    [
        ([45], 35, {}, True),
        ([40], 39, {}, True),
        ([45], 40, {}, False),
        ([35, 36], 35, {}, False),
        ([45, 35, 36], 35, {}, True),
        ([45, 35, 45], 45, {}, False),
        # Unknown: no earlier value, no current one, or none that is a number.
        ([], 35, {}, None),
        ([45], None, {}, None),
        ([WrongType("x")], 35, {}, None),
        # A day without a value is a gap.
        ([45, None, None], 35, {}, True),
        # It has been so for at least two days.
        ([45, 35, 35], 35, {"for_seconds": 2 * DAY}, True),
        ([45, 45, 35], 35, {"for_seconds": 2 * DAY}, False),
        ([45, 35, 41, 35], 35, {"for_seconds": 2 * DAY}, False),
        # A later crossing counts only if the value was above 50 after the one before it.
        ([45, 35, 45, 35], 35, {"rearm": 50}, False),
        ([45, 35, 51, 35], 35, {"rearm": 50}, True),
        ([45, 35, 50, 35], 35, {"rearm": 50}, False),
        ([60, 35, 45, 35, 55], 35, {"rearm": 50}, True),
        ([60, 35, 55, 35, 45], 35, {"rearm": 50}, False),
        ([35, 45], 35, {"rearm": 50}, True),
        ([0.5], 0.8, {"direction": "above", "level": 0.7}, True),
        ([0.5, 0.8, 0.6], 0.8, {"direction": "above", "level": 0.7, "rearm": 0.4}, False),
        ([0.5, 0.8, 0.3], 0.8, {"direction": "above", "level": 0.7, "rearm": 0.4}, True),
    ],
)
def test_crossings(values: list[Any], current: Any, more: dict[str, Any], result: bool | None) -> None:
    assert crossing(values, current, **more)[0] is result


def test_a_crossing_that_must_last_says_when_it_will_have() -> None:
    # Below since midnight of yesterday; at nine today, two days are over at midnight.
    assert crossing([45, 35], 35, for_seconds=2 * DAY) == (False, datetime(2026, 3, 11, tzinfo=UTC))
    assert crossing([45, 35], 35) == (True, None)


def test_todays_stored_value_is_an_earlier_one_after_midnight() -> None:
    facts = known(signals={"s": 35}, history={"s": [(day(0), 45), (day(-1), 99)]})
    assert answer(Crossing(signal="s", direction="below", level=40), facts) is True


@pytest.mark.parametrize(
    ("values", "current", "more", "result"),
    [
        ([60, 50], 45, {}, True),
        ([60, 50], 46, {}, False),
        ([60, 50], 45.0, {}, True),
        # Older than seven days at nine o'clock: it lies before the window.
        ([90, None, None, None, None, None, None], 45, {}, None),
        ([90, 50, None, None, None, None, None], 45, {}, False),
        ([], 45, {}, None),
        ([60], None, {}, None),
        ([0.4], 0.7, {"direction": "rise", "by": 0.3}, True),
        ([0.4, 0.9], 0.6, {"direction": "rise", "by": 0.3}, False),
    ],
)
def test_drops_and_rises(values: list[Any], current: Any, more: dict[str, Any], result: bool | None) -> None:
    points = [(day(len(values) - index), value) for index, value in enumerate(values) if value is not None]
    facts = known(signals={} if current is None else {"s": current}, history={"s": points})
    leaf = Change(**{"signal": "s", "direction": "drop", "by": 15, "within_seconds": 7 * DAY, **more})
    assert answer(leaf, facts) is result


def test_a_drop_stands_until_the_high_leaves_the_window() -> None:
    facts = known(signals={"s": 40}, history={"s": [(day(5), 60), (day(3), 58), (day(1), 45)]})
    leaf = Change(signal="s", direction="drop", by=15, within_seconds=7 * DAY)
    assert explain(leaf, facts).changes_at == datetime(2026, 3, 14, tzinfo=UTC) + TICK


def failed(days: float, **properties: Any) -> Event:
    return Event("payment_failed", ago(days), properties)


@pytest.mark.parametrize(
    ("events", "result", "count"),
    [
        ([], False, 0),
        ([failed(1)], False, 1),
        ([failed(1), failed(2)], True, 2),
        ([failed(1), failed(30)], True, 2),
        ([failed(1), Event("payment_failed", ago(30) - TICK)], False, 1),
        ([failed(1), failed(0)], True, 2),
        ([failed(1), failed(-1)], False, 1),
        ([failed(1), Event("login", ago(1))], False, 1),
    ],
)
def test_events_count_in_a_window_that_includes_its_first_instant(
    events: list[Event], result: bool, count: int
) -> None:
    leaf = EventCount(name="payment_failed", at_least=2, within_seconds=30 * DAY)
    assert answer(leaf, known(events=events)) is result
    assert explain(leaf, known(events=events)).checks[0].actual == count


def test_without_a_window_all_events_count() -> None:
    assert answer(EventCount(name="payment_failed"), known(events=[failed(3_000)])) is True


LARGE = AllOf(items=(Compare(signal="amount", op="gt", value=100),))


@pytest.mark.parametrize(
    ("amounts", "at_least", "result"),
    [
        ([150], 1, True),
        ([50], 1, False),
        ([None], 1, None),
        (["150"], 1, None),
        ([float("nan")], 1, None),
        ([2**60], 1, None),
        ([150, None], 1, True),
        ([50, None], 2, False),
        ([150, None], 2, None),
        ([150, None, 200], 2, True),
    ],
)
def test_an_undecided_where_makes_the_count_unknown_only_where_it_would_tip_it(
    amounts: list[Any], at_least: int, result: bool | None
) -> None:
    events = [failed(1, **({} if amount is None else {"amount": amount})) for amount in amounts]
    leaf = EventCount(name="payment_failed", at_least=at_least, where=LARGE)
    assert answer(leaf, known(events=events)) is result


def test_a_count_stands_until_enough_events_have_left_the_window() -> None:
    leaf = EventCount(name="payment_failed", at_least=2, within_seconds=7 * DAY)
    three = known(events=[failed(6), failed(4), failed(1)])
    assert explain(leaf, three).changes_at == ago(4) + timedelta(days=7) + TICK
    coming = known(events=[failed(1), failed(-2)])
    assert explain(leaf, coming).changes_at == ago(-2)
    assert explain(leaf, known(events=[failed(1)])).changes_at is None


@pytest.mark.parametrize(
    ("op", "days", "result", "after_days"),
    [
        ("older_than", 3, False, 4),
        ("older_than", 9, True, None),
        ("within", 3, True, 4),
        ("due_within", -10, False, 3),
        ("due_within", -3, True, 3),
        ("overdue_by", -1, False, 8),
    ],
)
def test_distances_say_when_they_change(op: AgeOp, days: float, result: bool, after_days: int | None) -> None:
    explanation = explain(Age(signal="t", op=op, seconds=7 * DAY), known(signals={"t": ago(days)}))
    assert explanation.result is result
    if after_days is None:
        assert explanation.changes_at is None
    else:
        assert explanation.changes_at in (ago(-after_days), ago(-after_days) + TICK)


@pytest.mark.parametrize(
    ("op", "constant", "at_age"),
    [
        ("gt", 7, 8),
        ("ge", 7, 7),
        ("lt", 7, 7),
        ("le", 7, 8),
        ("eq", 7, 7),
        ("ne", 7, 7),
        ("gt", 7.5, 8),
        ("gt", 2, None),
    ],
)
def test_ages_change_when_they_pass_the_number(op: Op, constant: float, at_age: int | None) -> None:
    since = ago(3.5)
    facts = known(signals={"days": 3}, ages={"days": (since, DAY)})
    changes_at = explain(Compare(signal="days", op=op, value=constant), facts).changes_at
    assert changes_at == (None if at_age is None else since + timedelta(days=at_age))


def test_an_explanation_has_every_line_with_its_own_result() -> None:
    condition = AllOf(
        items=(
            Compare(path="enter.when.plan", line=8, signal="plan", op="eq", value="pro"),
            AnyOf(
                items=(
                    Compare(path="enter.when.any[0].days", line=10, signal="days", op="gt", value=7),
                    EventCount(path="enter.when.any[1].event", line=11, name="payment_failed", at_least=2),
                )
            ),
            NoneOf(
                items=(Compare(path="enter.when.none[0].open", line=13, signal="open", op="ge", value=1),)
            ),
            Age(path="enter.when.seen", line=14, signal="seen", op="within", seconds=7 * DAY),
        )
    )
    facts = known(
        signals={"plan": "free", "days": 9, "open": WrongType("3"), "seen": ago(1)}, events=[failed(1)]
    )
    explanation = explain(condition, facts)
    assert explanation.result is False
    assert [check.to_json() for check in explanation.checks] == [
        {"path": "enter.when.plan", "line": 8, "expected": "pro", "actual": "free", "result": "false"},
        {"path": "enter.when.any[0].days", "line": 10, "expected": "> 7", "actual": 9, "result": "true"},
        {
            "path": "enter.when.any[1].event",
            "line": 11,
            "expected": "at_least 2 payment_failed",
            "actual": 1,
            "result": "false",
        },
        {
            "path": "enter.when.none[0].open",
            "line": 13,
            "expected": ">= 1",
            "actual": "3",
            "result": "unknown",
        },
        {
            "path": "enter.when.seen",
            "line": 14,
            "expected": "within 7d",
            "actual": "2026-03-09T09:00:00Z",
            "result": "true",
        },
    ]


def test_constants_are_never_code() -> None:
    nasty = "'); raise SystemExit('x') #\n\"\"\"{}\\"
    condition = AllOf(items=(Compare(signal=nasty, op="eq", value=nasty), Contains(signal=nasty, item=nasty)))
    assert answer(condition, known(signals={nasty: nasty})) is True
    count = EventCount(name=nasty, where=AllOf(items=(OneOf(signal=nasty, values=(nasty,)),)))
    assert answer(count, known(events=[Event(nasty, NOW, {nasty: nasty})])) is True


def test_an_event_matches_by_name_and_properties() -> None:
    annual = EventMatch(
        name="plan_changed", where=AllOf(items=(Compare(signal="to", op="eq", value="annual"),))
    )
    assert event_matches(annual, Event("plan_changed", NOW, {"to": "annual"})) is True
    assert event_matches(annual, Event("plan_changed", NOW, {"to": "monthly"})) is False
    assert event_matches(annual, Event("plan_changed", NOW)) is None
    assert event_matches(annual, Event("login", NOW, {"to": "annual"})) is False
    assert event_matches(EventMatch(name="login"), Event("login", NOW)) is True
