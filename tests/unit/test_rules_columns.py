"""Columns as a loader from SQL would fill them, without facts, and the edges of their arrays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rules.column_building import columns_of
from rules.column_data import (
    MISSING,
    NO_INSTANT,
    NUMBER,
    OTHER,
    TEXT,
    Column,
    Columns,
    Dictionary,
    Occurrences,
    Series,
    microseconds,
    offsets_of,
)
from rules.columns import match_columns
from rules.needs import Needs, needs_of
from rules.reference import explain
from schemas.condition import (
    Age,
    AllOf,
    Change,
    Compare,
    Condition,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
)
from schemas.facts import Event, Facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = 86_400
LOW = Compare(signal="score", op="lt", value=40)


def answers(condition: Condition, columns: Columns) -> list[int]:
    """1 true, 0 false, -1 unknown."""
    found = match_columns({"": condition}, columns)[""]
    assert found.dtype == np.int8
    return [int(answer) for answer in found]


def test_a_population_loaded_without_facts_is_answered_for() -> None:
    midnight = microseconds(datetime(2026, 3, 2, tzinfo=UTC))
    days = midnight - np.arange(3) * DAY * 1_000_000
    logins = np.array([microseconds(NOW - timedelta(days=age)) for age in (9, 2, 1)], np.int64)
    columns = Columns(
        4,
        np.array(microseconds(NOW)),
        {
            "score": Column(
                np.array([NUMBER, NUMBER, MISSING, OTHER], np.uint8), numbers=np.array([35.0, 60, 0, 0])
            ),
            "plan": Column(
                np.array([TEXT, TEXT, TEXT, MISSING], np.uint8),
                codes=np.array([0, 1, 0, -1], np.int32),
                texts=Dictionary(("pro", "free")),
            ),
        },
        # Everybody's score was 60 on the last three days: one column of days serves all.
        {"score": Series(np.full(4, 3), np.broadcast_to(days[:, None], (3, 4)), np.full((3, 4), 60.0))},
        {"login": Occurrences(offsets_of([1, 2, 0, 0]), logins)},
    )
    assert answers(LOW, columns) == [1, 0, -1, -1]
    assert answers(NoneOf(items=(LOW,)), columns) == [0, 1, -1, -1]
    assert answers(OneOf(signal="plan", values=("pro", "business")), columns) == [1, 0, 1, -1]
    assert answers(Presence(signal="score", present=True), columns) == [1, 1, 0, 1]
    assert answers(Crossing(signal="score", direction="below", level=40), columns) == [1, 0, -1, -1]
    held = Crossing(signal="score", direction="below", level=40, for_seconds=DAY)
    assert answers(held, columns) == [0, 0, -1, -1]
    dropped = Change(signal="score", direction="drop", by=25, within_seconds=7 * DAY)
    assert answers(dropped, columns) == [1, 0, -1, -1]
    assert answers(EventCount(name="login", at_least=2, within_seconds=7 * DAY), columns) == [0, 1, 0, 0]


def test_what_no_loader_brought_is_missing() -> None:
    columns = Columns(2, np.array(microseconds(NOW)))
    assert answers(LOW, columns) == [-1, -1]
    assert answers(Presence(signal="score", present=False), columns) == [1, 1]
    assert answers(EventCount(name="login"), columns) == [0, 0]
    assert answers(Crossing(signal="score", direction="below", level=40), columns) == [-1, -1]
    assert answers(Change(signal="score", direction="rise", by=1, within_seconds=DAY), columns) == [-1, -1]


def test_nobody_is_nobody() -> None:
    columns = columns_of([], Needs(frozenset({"score"}), frozenset({"score"}), {"login": None}))
    for condition in (LOW, EventCount(name="login"), Crossing(signal="score", direction="below", level=40)):
        assert answers(condition, columns) == []


@pytest.mark.parametrize(("by", "now"), [(0.3, 0.7), (0.3, 0.6999999994), (0.3, 0.6999999996), (15, 19.6)])
def test_differences_are_rounded_as_the_reference_rounds_them(by: float, now: float) -> None:
    leaf = Change(signal="rate", direction="rise", by=by, within_seconds=7 * DAY)
    history = {"rate": ((datetime(2026, 3, 1, tzinfo=UTC).date(), 0.4 if by < 1 else 4.6),)}
    known = Facts("c1", NOW, {"rate": now}, history=history)
    result = {True: 1, False: 0, None: -1}[explain(leaf, known).result]
    assert answers(leaf, columns_of([known], needs_of([leaf]))) == [result]


def test_each_customer_has_their_own_moment() -> None:
    leaf = AllOf(
        items=(Age(signal="seen", op="within", seconds=DAY), EventCount(name="login", within_seconds=DAY))
    )
    customers = [
        Facts(f"c{days}", NOW + timedelta(days=days), {"seen": NOW}, (Event("login", NOW),))
        for days in (0, 1, 2)
    ]
    columns = columns_of(customers, needs_of([leaf]))
    assert columns.now.shape == (3,)
    assert answers(leaf, columns) == [1, 1, 0]
    assert match_columns({"x": leaf}, columns, rows_at_once=2)["x"].tolist() == [1, 1, 0]


def test_a_long_history_is_counted_in_wider_numbers() -> None:
    # More points than a byte counts.
    days = [(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day)).date() for day in range(300)]
    known = Facts(
        "c1", NOW, {"score": 10}, history={"score": [(days[0], 90), *((day, 20) for day in days[1:])]}
    )
    leaf = Crossing(signal="score", direction="below", level=40, for_seconds=200 * DAY)
    columns = columns_of([known, Facts("c2", NOW, {"score": 10})], needs_of([leaf]))
    assert columns.history["score"].at[1, 1] == NO_INSTANT
    assert answers(leaf, columns) == [1, -1]
