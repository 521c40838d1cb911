"""Comparing a timeline with what a test expects, and reading files of tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loops.simulation.checking import compare, describe_line, format_offset
from loops.simulation.run import Line
from loops.simulation.trials import collect, find_test_files
from schemas.errors import SettingError
from schemas.playbook_test_file import Expectation, parse_offset

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
GAP = Expectation(1)


def line(kind: str, outcome: str, days: float = 0, **more: Any) -> Line:
    return {"at": START + timedelta(days=days), "step": "s", "kind": kind, "outcome": outcome, **more}


def end(outcome: str, days: float) -> Line:
    return {"at": START + timedelta(days=days), "run": "ended", "outcome": outcome, "reason": "why"}


def expect(kind: str, outcome: str, days: float | None = None, **texts: str) -> Expectation:
    return Expectation(1, kind, outcome, None if days is None else START + timedelta(days=days), {}, texts)


TIMELINE = [
    line("call", "open"),
    line("escalation", "escalated", 1, to="cs-lead"),
    line("wait", "waiting", 2),
    line("email", "sent", 3, subject="Hello Ann"),
    end("expired", 30),
]


def marks(*expected: Expectation) -> list[str]:
    return [row.mark for row in compare(expected, TIMELINE) if row.mark != "same"]


def test_what_is_mentioned_in_order_fits_and_waits_needn_t_be() -> None:
    full = [
        expect("call", "open"),
        expect("escalation", "cs-lead", 1),
        expect("email", "sent", 3, subject="Ann"),
    ]
    assert marks(*full, expect("ended", "expired", 30)) == []
    assert (
        marks(*full[:1], expect("escalation", "escalated"), expect("wait", "waiting"), *full[2:], GAP) == []
    )


def test_what_was_done_and_isn_t_mentioned_is_unexpected() -> None:
    assert marks(expect("call", "open"), expect("email", "sent"), expect("ended", "expired")) == [
        "unexpected"
    ]


def test_anything_may_come_where_the_dots_are() -> None:
    assert marks(GAP, expect("email", "sent"), GAP) == []
    assert marks(GAP) == []
    assert marks(GAP, expect("ended", "expired")) == []


def test_what_didn_t_come_is_missing() -> None:
    assert marks(GAP, expect("sms", "sent"), GAP) == ["missing"]


def test_a_line_that_came_otherwise_is_paired_and_the_difference_named() -> None:
    [row] = [
        row
        for row in compare([GAP, expect("email", "sent", 4, subject="Bob"), GAP], TIMELINE)
        if row.mark != "same"
    ]
    assert row.mark == "different"
    assert row.because == "it comes at 2026-03-05 09:00 UTC; subject is Hello Ann"


def test_order_matters() -> None:
    assert marks(expect("email", "sent"), GAP, expect("call", "open"), GAP) != []


def test_what_was_refused_has_to_be_mentioned() -> None:
    refused = [line("complete", "refused"), end("completed", 1)]
    assert [row.mark for row in compare([expect("ended", "completed")], refused)] == ["unexpected", "same"]


def test_a_row_reads_like_the_test() -> None:
    assert describe_line(TIMELINE[3], START) == "3d         email: sent  step: s  subject: Hello Ann"


@pytest.mark.parametrize(
    ("text", "hours"), [("2d", 48), ("1d12h", 36), ("+30m", 0.5), ("-3d", -72), ("1w", 168)]
)
def test_offsets(text: str, hours: float) -> None:
    assert parse_offset(text) == timedelta(hours=hours)
    if text[0] not in "+" and "w" not in text:
        assert format_offset(timedelta(hours=hours)) == text


@pytest.mark.parametrize("text", ["", "2", "d", "2y", "1.5d", "2 d", "9999999999999999999d"])
def test_what_is_no_offset(text: str) -> None:
    assert parse_offset(text) is None


PLAYBOOK = """
playbook: hello
title: Hello
owner: cs
status: live
enter: {when: {health_score: "< 50"}}
steps:
  - {id: mail, email: {subject: Hi, text: there}}
  - experiment: two
    variants: {a: {weight: 1, steps: []}, b: {weight: 1, steps: []}}
"""


def problems(tmp_path: Path, tests: str) -> list[str]:
    (tmp_path / "hello.yaml").write_text(PLAYBOOK)
    directory = tmp_path / "tests"
    directory.mkdir()
    (directory / "hello.yaml").write_text(tests)
    collected = collect(find_test_files([], tmp_path), tmp_path)
    assert bool(collected.files) is not bool(collected.problems)
    return [
        f"{problem.line}:{problem.column} {problem.code} {problem.hint}" for problem in collected.problems
    ]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    tests = "playbook: hello\ntests:\n  - {name: one, enters: false}\n  - {name: two, expect: [..., email: sent]}\n"
    assert problems(tmp_path, tests.replace("[..., email: sent]", "[{email: sent}]")) == []


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("{name: x}", "3:5 PT002 Write `expect:`"),
        ("{name: x, expct: [email: sent]}", "3:15 PB102 Did you mean `expect`?"),
        ("{name: x, expect: [{mail: sent}]}", "3:25 PB102"),
        ("{name: x, expect: [{step: mail}]}", "3:24 PT004"),
        ("{name: x, expect: [{email: sent, step: male}]}", "3:44 PT005 Did you mean `mail`?"),
        ("{name: x, enters: maybe}", "3:23 PB104"),
        (
            "{name: x, enters: true, given: {signals: {helth_score: 3}}}",
            "3:47 PB201 Did you mean `health_score`?",
        ),
        ("{name: x, enters: true, given: {signals: {health_score: low}}}", "3:61 PB202"),
        ("{name: x, enters: true, start: noon}", "3:36 PB104"),
        ("{name: x, enters: true, events: [{at: 2y, name: login}]}", "3:43 PB104"),
        ("{name: x, enters: true, events: [{at: 2d, do: complete}]}", "3:38 PT003 Write `outcome: reached`."),
        ("{name: x, enters: true, events: [{at: -2d, do: pause}]}", "3:43 PT003 Put it later."),
        ("{name: x, enters: true, variants: {tow: a}}", "3:40 PT005 Did you mean `two`?"),
        ("{name: x, enters: true, variants: {two: c}}", "3:45 PT005"),
        ("{name: x, expect: [{email: sent, after: 1d, at: 2026-03-03}]}", "3:49 PT004"),
        ("{name: x, enters: true}\n  - {name: x, enters: true}", "4:12 PT002 Say how they differ."),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, test: str, told: str) -> None:
    found = problems(tmp_path, f"playbook: hello\ntests:\n  - {test}\n")
    assert found
    assert found[0].startswith(told)


def test_a_playbook_that_isn_t_there(tmp_path: Path) -> None:
    [told] = problems(tmp_path, "playbook: helo\ntests:\n  - {name: one, enters: false}\n")
    assert told.startswith("1:11 PT001")


def test_paths_and_names(tmp_path: Path) -> None:
    problems(tmp_path, "playbook: hello\ntests:\n  - {name: one, enters: false}\n")
    file = tmp_path / "tests" / "hello.yaml"
    assert find_test_files([], tmp_path) == [file]
    assert find_test_files([Path("hello")], tmp_path) == [file]
    assert find_test_files([file, tmp_path], tmp_path) == [file]
    with pytest.raises(SettingError) as caught:
        find_test_files([Path("helo")], tmp_path)
    assert caught.value.remedy == "Did you mean hello?"
