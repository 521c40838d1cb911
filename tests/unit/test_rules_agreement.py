"""Every evaluator gives the same answer for the same facts, and says truly until when that answer stands."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules.column_building import columns_of
from rules.columns import match_columns
from rules.engines import match_with
from rules.generated import HOLDS, NOT_ASKED, compile_condition, compile_lines
from rules.instants import TICK
from rules.needs import needs_of
from rules.reference import explain
from schemas.condition import AllOf, AnyOf, Compare, Condition, Group, NoneOf, Presence
from schemas.errors import SettingError
from schemas.facts import Facts
from schemas.settings import RULES_ENGINES, RulesEngine
from tests.unit.dirty_facts import (
    DAY,
    NOW,
    at,
    conditions,
    facts,
    lively_conditions,
    lively_facts,
    passing,
    said_conditions,
    said_facts,
)


def _installed(engine: RulesEngine) -> bool:
    try:
        match_with(engine, {})
    except SettingError:
        return False
    return True


# durable_rules is an extra; CI has it wherever it can be installed.
AVAILABLE = [engine for engine in RULES_ENGINES if _installed(engine)]

many_conditions = st.one_of(
    st.tuples(
        st.lists(st.one_of(conditions, lively_conditions), min_size=1, max_size=6),
        st.lists(st.one_of(facts(), lively_facts()), min_size=1, max_size=4),
    ),
    st.tuples(
        st.lists(said_conditions, min_size=1, max_size=6), st.lists(said_facts, min_size=1, max_size=4)
    ),
)


def _named(many: Sequence[Condition]) -> Mapping[str, Condition]:
    return {f"p{index}": condition for index, condition in enumerate(many)}


@settings(max_examples=250, deadline=None)
@given(many_conditions, st.integers(-3, 3))
def test_all_evaluators_answer_alike(drawn: tuple[list[Condition], list[Facts]], days: int) -> None:
    many, customers = drawn
    # Not all at the same moment.
    customers = [at(known, NOW + timedelta(days=days * place)) for place, known in enumerate(customers)]
    results = {engine: match_with(engine, _named(many))(customers) for engine in AVAILABLE}
    assert {engine: result for engine, result in results.items() if result != results["reference"]} == {}


if sys.version_info < (3, 13):

    @pytest.mark.skipif("durable_rules" not in AVAILABLE, reason="durable_rules is not installed")
    def test_durable_rules_is_among_the_evaluators() -> None:
        assert list(RULES_ENGINES) == AVAILABLE


@settings(max_examples=100, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=4), st.lists(facts(), max_size=5), st.integers(1, 3))
def test_columns_answer_in_parts_as_in_one(many: list[Condition], customers: list[Facts], rows: int) -> None:
    columns = columns_of(customers, needs_of(many))
    answers = match_columns(_named(many), columns, rows_at_once=rows)
    for name, condition in _named(many).items():
        told = [{True: 1, False: 0, None: -1}[explain(condition, known).result] for known in customers]
        assert answers[name].tolist() == match_columns({"": condition}, columns)[""].tolist() == told


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(conditions, max_size=4), max_size=5), facts(), st.data())
def test_the_first_line_that_isnt_true_is_found(
    triggers: list[list[Condition]], known: Facts, data: st.DataObject
) -> None:
    asked = bytes(data.draw(st.booleans()) for _ in triggers)
    failing = compile_lines(triggers)(known, asked)
    for place, lines in enumerate(triggers):
        results = [explain(line, known).result for line in lines]
        first = next((at for at, result in enumerate(results) if result is not True), HOLDS)
        assert failing[place] == (first if asked[place] else NOT_ASKED)


@settings(max_examples=250, deadline=None)
@given(conditions, facts())
def test_generated_code_answers_as_the_reference_does(condition: Condition, known: Facts) -> None:
    assert compile_condition(condition)(known) is explain(condition, known).result


@settings(max_examples=250, deadline=None)
@given(st.one_of(passing, conditions), facts(), st.floats(0, 1), st.integers(1, 30 * DAY))
@example(
    Compare(signal="days_since_seen", op="gt", value=7),
    Facts("c1", NOW, {"days_since_seen": 7.5}, ages={"days_since_seen": (NOW - timedelta(days=7.5), DAY)}),
    0.5,
    DAY,
)
def test_before_changes_at_nothing_changes(
    condition: Condition, known: Facts, part: float, ahead: int
) -> None:
    explanation = explain(condition, known)
    end = explanation.changes_at or NOW + timedelta(seconds=ahead)
    assert end > NOW
    for moment in {NOW + (end - NOW) * part, NOW + TICK, end - TICK}:
        if NOW < moment < end:
            assert explain(condition, at(known, moment)).result is explanation.result


@settings(max_examples=400, deadline=None)
@given(lively_conditions, lively_facts(), st.integers(1, 100))
def test_what_looks_back_and_ahead_stands_until_changes_at(leaf: Condition, known: Facts, hours: int) -> None:
    explanation = explain(leaf, known)
    assert compile_condition(leaf)(known) is explanation.result
    end = explanation.changes_at
    assert end is None or end > NOW
    for moment in (NOW + TICK, NOW + timedelta(hours=hours), (end or NOW) - TICK):
        if moment > NOW and (end is None or moment < end):
            assert explain(leaf, at(known, moment)).result is explanation.result


@settings(max_examples=100, deadline=None)
@given(conditions, facts())
def test_every_line_is_explained_in_the_order_written(condition: Condition, known: Facts) -> None:
    def count(node: Condition) -> int:
        return sum(map(count, node.items)) if isinstance(node, Group) else 1

    checks = explain(condition, known).checks
    assert len(checks) == count(condition)
    assert {check.to_json()["result"] for check in checks} <= {"true", "false", "unknown"}


def test_long_and_deep_conditions_compile() -> None:
    leaf = Compare(signal="score", op="lt", value=40)
    deep: Condition = leaf
    for level in range(60):
        deep = (NoneOf if level % 2 else AllOf)(items=(deep, Presence(signal="gone", present=False)))
    wide = AnyOf(items=tuple(Compare(signal="score", op="eq", value=n) for n in range(3_000)))
    for condition in (deep, wide, AllOf(items=(wide, NoneOf(items=wide.items)))):
        for signals in ({"score": 39}, {"score": 2_999}, {"score": -1}, {}):
            known = Facts("c1", NOW, signals)
            assert compile_condition(condition)(known) is explain(condition, known).result
            holds = HOLDS if explain(condition, known).result else 0
            assert compile_lines([(condition,), ()])(known, b"\1\1") == [holds, HOLDS]
            assert compile_lines([wide.items])(known, b"\1") == [0 if signals.get("score") != 0 else 1]
