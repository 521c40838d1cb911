"""The language's section Conditions, from what is written to what holds: every evaluator of single customers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.registry import find_step_types
from rules.engines import match_with
from rules.reference import explain
from rules.shortfall import describe_shortfall
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.condition import AllOf
from schemas.facts_json import parse_facts
from schemas.language import Language
from schemas.settings import RulesEngine
from schemas.yaml_source import load_yaml

LANGUAGE = Language(load_catalogue(), find_step_types())
NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
ENGINES: tuple[RulesEngine, ...] = ("reference", "generated", "columns")
T, F, U = True, False, None


def compile_lines(lines: str) -> AllOf:
    """What a `when` with these lines means."""
    text = f"playbook: p\ntitle: P\nowner: cs\nstatus: live\nenter: {{when: {{{lines}}}}}\nsteps: [{{wait: 1d}}]\n"
    compiled = compile_playbook(load_yaml(text, "p.yaml"), LANGUAGE, {})
    assert compiled.playbook is not None, [str(problem) for problem in compiled.problems]
    assert compiled.playbook.enter is not None
    return compiled.playbook.enter.when


def answer(lines: str, **facts: Any) -> bool | None:
    """What it comes to for a customer; all evaluators must say the same."""
    when = compile_lines(lines)
    given = {"signals", "events", "history", "profile"} & facts.keys()
    document = {name: facts[name] for name in given} or {"signals": facts}
    known = parse_facts({"customer": "c1", "now": NOW.isoformat(), **document}, LANGUAGE.catalogue, now=NOW)
    told = set()
    for engine in ENGINES:
        [(holds, unknown)] = match_with(engine, {"p": when})([known])
        told.add(True if holds else None if unknown else False)
    assert len(told) == 1, told
    return told.pop()


def ago(days: float = 0, seconds: float = 0) -> str:
    return (NOW - timedelta(days=days, seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("lines", "facts", "result"),
    [
        # Equal.
        ("plan: pro", {"plan": "pro"}, T), ("plan: pro", {"plan": "free"}, F), ("plan: pro", {}, U),
        ("influencer: true", {"influencer": True}, T), ("influencer: false", {"influencer": True}, F),
        ("health_score: 40", {"health_score": 40.0}, T), ("health_score: 40.0", {"health_score": 40}, T),
        ("health_score: 40", {"health_score": 41}, F), ("health_score: 40", {"health_score": "40"}, U),
        ("influencer: true", {"influencer": 1}, U), ("influencer: true", {"influencer": "true"}, U),
        ("health_score: 1", {"health_score": True}, U), ("plan: pro", {"plan": 3}, U),
        # A text outside the signal's list of values is just unequal.
        ("plan: pro", {"plan": "platinum"}, F), ("plan: '!= pro'", {"plan": "platinum"}, T),
        # One of.
        ("plan: [pro, business]", {"plan": "business"}, T), ("plan: [pro, business]", {"plan": "free"}, F),
        ("plan: [pro, business]", {}, U), ("health_score: [40, 41.5]", {"health_score": 41.5}, T),
        # Comparisons; the range includes both ends.
        ("health_score: '< 40'", {"health_score": 39.9}, T), ("health_score: '< 40'", {"health_score": 40}, F),
        ("health_score: '<= 40'", {"health_score": 40}, T), ("health_score: '<= 40'", {"health_score": 41}, F),
        ("health_score: '> 7'", {"health_score": 7}, F), ("health_score: '> 7'", {"health_score": 8}, T),
        ("churn_probability: '>= 0.7'", {"churn_probability": 0.7}, T),
        ("churn_probability: '>= 0.7'", {"churn_probability": 0.69}, F),
        ("plan: '!= free'", {"plan": "pro"}, T), ("plan: '!= free'", {"plan": "free"}, F), ("plan: '!= free'", {}, U),
        ("health_score: '40..60'", {"health_score": 40}, T), ("health_score: '40..60'", {"health_score": 60}, T),
        ("health_score: '40..60'", {"health_score": 60.01}, F), ("health_score: '40..60'", {"health_score": 39}, F),
        # Numbers that can't be compared.
        ("health_score: '> 7'", {"health_score": float("inf")}, U),
        ("health_score: '!= 7'", {"health_score": float("nan")}, U),
        ("health_score: '> 7'", {"health_score": 2**53 + 1}, U), ("health_score: '> 7'", {"health_score": 2**53}, T),
        # Ages: more than; at most and not in the future.
        ("last_login: {older_than: 7d}", {"last_login": ago(7)}, F),
        ("last_login: {older_than: 7d}", {"last_login": ago(7, 1)}, T),
        ("last_login: {within: 7d}", {"last_login": ago(7)}, T),
        ("last_login: {within: 7d}", {"last_login": ago(7, 1)}, F),
        ("last_login: {within: 7d}", {"last_login": ago(0)}, T),
        ("last_login: {within: 7d}", {"last_login": ago(0, -1)}, F), ("last_login: {within: 7d}", {}, U),
        # At most ahead and not past; more than past. A date is its midnight, UTC.
        ("renewal_date: {due_within: 14d}", {"renewal_date": "2026-03-24"}, T),
        ("renewal_date: {due_within: 14d}", {"renewal_date": "2026-03-25"}, F),
        ("renewal_date: {due_within: 14d}", {"renewal_date": "2026-03-11"}, T),
        ("renewal_date: {due_within: 14d}", {"renewal_date": "2026-03-10"}, F),
        ("renewal_date: {overdue_by: 3d}", {"renewal_date": "2026-03-07"}, T),
        ("renewal_date: {overdue_by: 3d}", {"renewal_date": "2026-03-08"}, F),
        ("renewal_date: {overdue_by: 3d}", {}, U),
        # A time without a zone is UTC.
        ("last_login: {within: 1h}", {"last_login": "2026-03-10T08:00:00"}, T),
        ("last_login: {within: 1h}", {"last_login": "2026-03-10T08:00:00+01:00"}, F),
        # Value there or not; one of the wrong type is present.
        ("plan: {is: missing}", {}, T), ("plan: {is: missing}", {"plan": "pro"}, F),
        ("plan: {is: present}", {"plan": "pro"}, T), ("plan: {is: present}", {}, F),
        ("health_score: {is: present}", {"health_score": "high"}, T),
        ("health_score: {is: missing}", {"health_score": "high"}, F),
        # Membership in a list, a part of a text.
        ("tags: {contains: vip}", {"tags": ["new", "vip"]}, T), ("tags: {contains: vip}", {"tags": ["vips"]}, F),
        ("tags: {contains: vip}", {"tags": []}, F), ("tags: {contains: vip}", {}, U),
        ("tags: {contains: vip}", {"tags": "vip"}, U),
        ("vendor_type: {contains: photo}", {"vendor_type": "photographer"}, T),
        ("vendor_type: {contains: photo}", {"vendor_type": "florist"}, F),
    ],
)  # fmt: skip
def test_this_holds_when(lines: str, facts: dict[str, Any], result: bool | None) -> None:
    assert answer(lines, **facts) is result


@pytest.mark.parametrize(
    ("lines", "plan", "result"),
    [
        ("plan: pro, health_score: '> 7'", "pro", U), ("plan: pro, health_score: '> 7'", "free", F),
        ("any: [{plan: pro}, {health_score: '> 7'}]", "pro", T),
        ("any: [{plan: pro}, {health_score: '> 7'}]", "free", U),
        ("all: [{plan: pro}, {health_score: '> 7'}]", "pro", U),
        ("all: [{plan: pro}, {health_score: '> 7'}]", "free", F),
        ("none: [{plan: pro}, {health_score: '> 7'}]", "pro", F),
        ("none: [{plan: pro}, {health_score: '> 7'}]", "free", U),
        ("none: [{plan: pro}]", "free", T),
        # They nest, and an item may have several lines.
        ("none: [{any: [{plan: free}, {all: [{plan: pro}, {plan: '!= pro'}]}]}]", "pro", T),
        ("any: [{plan: pro, vendor_type: {is: missing}}]", "pro", T),
        ("any: [{plan: pro, vendor_type: {is: present}}]", "pro", F),
        ("none: [{health_score: {is: missing}}]", "pro", F),
    ],
)  # fmt: skip
def test_groups_follow_three_valued_logic_where_health_is_missing(
    lines: str, plan: str, result: bool | None
) -> None:
    assert answer(lines, plan=plan) is result


def test_an_unknown_is_reported_as_unknown_with_the_signal_that_was_missing() -> None:
    known = parse_facts({"customer": "c1", "signals": {"plan": "pro"}}, LANGUAGE.catalogue, now=NOW)
    when = compile_lines("plan: pro, any: [{health_score: '> 7'}, {plan: free}]")
    assert explain(when, known).result is None
    assert describe_shortfall(when, known).endswith(" is unknown; health_score is missing")


CROSSING = "health_score: {crosses_below: 40, for: 2d, rearm_above: 50}"


@pytest.mark.parametrize(
    ("lines", "days", "result"),
    [
        # Yesterday's value last, then the one now.
        (CROSSING, [45, 35, 35, 35], T), (CROSSING, [45, 35, 35], F), (CROSSING, [35, 35, 35], F),
        (CROSSING, [45, 35, 41, 35], F), (CROSSING, [60, 30, 45, 35, 35, 35], F),
        (CROSSING, [60, 30, 55, 35, 35, 35], T), (CROSSING, [35], U), (CROSSING, [], U),
        ("health_score: {crosses_below: 40}", [40, 39], T), ("health_score: {crosses_below: 40}", [45, 40], F),
        ("health_score: {crosses_above: 60}", [60, 61], T), ("health_score: {crosses_above: 60}", [70, 71], F),
        ("health_score: {crosses_above: 60, rearm_below: 50}", [55, 65, 55, 65], F),
        ("health_score: {crosses_above: 60, rearm_below: 50}", [55, 65, 45, 65], T),
        ("health_score: {drops_by: 15, within: 7d}", [60, 50, 45], T),
        ("health_score: {drops_by: 15, within: 7d}", [60, 50, 46], F),
        ("health_score: {drops_by: 15, within: 7d}", [45], U),
        ("health_score: {rises_by: 15, within: 7d}", [45, 70, 60], T),
        ("health_score: {rises_by: 15, within: 7d}", [46, 70, 60], F),
    ],
)  # fmt: skip
def test_crossings_and_drops_are_worked_out_from_the_stored_history_and_the_value_now(
    lines: str, days: list[int], result: bool | None
) -> None:
    before = days[:-1]
    history = [[str((NOW - timedelta(days=len(before) - n)).date()), value] for n, value in enumerate(before)]
    signals = {"health_score": days[-1]} if days else {}
    assert answer(lines, signals=signals, history={"health_score": history}) is result
    # The same history gives the same answer whatever else is known of the customer.
    more = {**signals, "plan": "pro", "open_tickets": 3}
    assert (
        answer(lines, signals=more, history={"health_score": history, "open_tickets": [["2026-03-01", 1]]})
        is result
    )


COUNT = "event: {name: payment_failed, at_least: 2, within: 30d}"
LARGE = "event: {name: payment_failed, at_least: 2, where: {amount: '> 100'}}"


def failed(*days: float, **properties: Any) -> list[dict[str, Any]]:
    return [{"name": "payment_failed", "at": ago(day), "properties": properties} for day in days]


@pytest.mark.parametrize(
    ("lines", "events", "result"),
    [
        ("event: {name: payment_failed}", [], F), ("event: {name: payment_failed}", failed(3000), T),
        ("event: {name: payment_failed, within: 1d}", failed(1), T),
        ("event: {name: payment_failed, within: 1d}", failed(1.001), F),
        (COUNT, failed(1, 30), T), (COUNT, failed(1, 30.001), F), (COUNT, failed(1), F),
        # The future doesn't count; the present moment does.
        (COUNT, failed(1, -0.001), F), (COUNT, failed(1, 0), T),
        ("none: [{event: {name: payment_failed}}]", [], T),
        # A `where` that can't be decided makes the count unknown where that event would tip it.
        (LARGE, failed(1, 2, amount=101), T), (LARGE, failed(1, 2, amount=100), F),
        (LARGE, failed(1, amount=101) + failed(2), U), (LARGE, failed(1, amount=9) + failed(2), F),
        (LARGE, failed(1, 2, amount=101) + failed(3), T),
        (LARGE, failed(1, amount=101) + failed(2, amount="many"), U),
    ],
)  # fmt: skip
def test_events_are_counted_in_the_customers_history(
    lines: str, events: list[dict[str, Any]], result: bool | None
) -> None:
    assert answer(lines, signals={}, events=events) is result
