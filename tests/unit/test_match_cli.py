"""`holdfast match` and `holdfast explain`, as scripts see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.explain import command as explain
from cli.main import run
from cli.match import command as match
from schemas.settings import RULES_ENGINES

# Without the extra there is no durable_rules; tests/unit/test_rules_agreement.py tells.
AVAILABLE = [name for name in RULES_ENGINES if name != "durable_rules" or find_spec("durable_rules_engine")]

PLAYBOOK = """
playbook: {name}
title: Test
owner: cs-ops
status: {status}
enter:
  when:
{when}
steps:
  - wait: 1d
"""
RESCUE = """\
    health_score: "< 40"
    any:
      - days_since_last_login: "> 7"
      - event: {name: payment_failed, at_least: 2, within: 30d}
    none:
      - open_tickets: ">= 1"
"""


@pytest.fixture
def playbooks(tmp_path: Path) -> Path:
    directory = tmp_path / "playbooks"
    directory.mkdir()
    for name, status, when in (
        ("rescue", "draft", RESCUE),
        ("pro-plan", "live", "    plan: [pro, business]\n"),
        ("no-phone", "retired", "    phone: {is: missing}\n"),
    ):
        (directory / f"{name}.yaml").write_text(PLAYBOOK.format(name=name, status=status, when=when))
    by_hand = "playbook: by-hand\ntitle: T\nowner: o\nstatus: live\nsteps:\n  - wait: 1d\n"
    (directory / "by-hand.yaml").write_text(by_hand)
    return directory


def facts(tmp_path: Path, *lines: str | bytes) -> str:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return str(path)


def call(playbooks: Path, file: str, *more: str) -> Result:
    return CliRunner().invoke(match, ["--facts", file, "--playbooks", str(playbooks), *more])


def answers(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


LOW = '{"customer": "c1", "signals": {"health_score": 35, "days_since_last_login": 9, "open_tickets": 0}}'
UNKNOWN = '{"customer": "c2", "signals": {"health_score": NaN, "plan": "pro", "phone": "+49"}}'
FAILED = (
    '{"customer": "c3", "now": "2026-03-10T00:00:00Z", "signals": {"health_score": 1, "open_tickets": 0}, '
    '"events": ['
    '{"name": "payment_failed", "at": "2026-02-20"}, {"name": "payment_failed", "at": "2026-03-01"}]}'
)


@pytest.mark.parametrize("engine", AVAILABLE)
def test_which_triggers_hold_whatever_the_status(playbooks: Path, tmp_path: Path, engine: str) -> None:
    result = call(playbooks, facts(tmp_path, LOW, UNKNOWN, "", FAILED), "--engine", engine)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert answers(result) == [
        {"customer": "c1", "matches": ["no-phone", "rescue"], "unknown": ["pro-plan"]},
        {"customer": "c2", "matches": ["pro-plan"], "unknown": ["rescue"]},
        {"customer": "c3", "matches": ["no-phone", "rescue"], "unknown": ["pro-plan"]},
    ]


def test_bad_lines_are_named_and_the_others_go_on(playbooks: Path, tmp_path: Path) -> None:
    file = facts(tmp_path, LOW, "nonsense", '{"customer": 5}', b"\xff", UNKNOWN)
    result = call(playbooks, file)
    assert result.exit_code == 1
    assert [answer["customer"] for answer in answers(result)] == ["c1", "c2"]
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [f"{file}:{n}" for n in (2, 3, 4)]


def test_files_with_errors_are_left_out_and_named(playbooks: Path, tmp_path: Path) -> None:
    (playbooks / "broken.yaml").write_text(
        PLAYBOOK.format(name="broken", status="live", when="    health_scor: 1\n")
    )
    result = call(playbooks, facts(tmp_path, LOW))
    assert result.exit_code == 1
    assert answers(result)[0]["matches"] == ["no-phone", "rescue"]
    assert "broken.yaml:8" in result.stderr
    assert "health_score" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--facts", "/nowhere.jsonl"],
        ["--facts", "FILE", "--engine", "magic"],
        ["--facts", "FILE", "--playbooks", "/nowhere"],
    ],
)
def test_used_wrongly(playbooks: Path, tmp_path: Path, arguments: Sequence[str]) -> None:
    given = [facts(tmp_path, LOW) if argument == "FILE" else argument for argument in arguments]
    result = CliRunner().invoke(match, ["--playbooks", str(playbooks), *given])
    assert result.exit_code == 2
    assert result.stdout == ""


# As dirty as facts come: wrong types, numbers beyond all bounds, times without zones, gaps, events ahead of now.
DIRTY = (
    '{"customer": "d1", "signals": {"health_score": "35", "days_since_last_login": 9, "open_tickets": 0}}',
    '{"customer": "d2", "signals": {"health_score": true, "plan": 40, "phone": null, "open_tickets": 1e400}}',
    '{"customer": "d3", "signals": {"health_score": -9007199254740993, "days_since_last_login": -Infinity}}',
    '{"customer": "d4", "signals": {"health_score": 40.0, "plan": "pr\\u00f6", "tags": ["vip", 3], "own": {"a": [1]}}}',
    '{"customer": "d5", "signals": {"health_score": 39.999999, "open_tickets": 5e-324, "plan": "\\ud800"}, '
    '"events": [{"name": "payment_failed", "at": "2099-01-01"}, '
    '{"name": "payment_failed", "at": "2026-03-01T00:00:00"}]}',
    '{"customer": "d6", "signals": {"health_score": 12, "open_tickets": 0, "last_login": "soon"}, '
    '"history": {"health_score": [["2026-02-27", null], ["2026-02-28", "x"], ["2026-03-01", 90], ["2026-03-02", 20]]}, '
    '"events": [{"name": "payment_failed", "at": "2026-03-01", "properties": {"amount": "9"}}]}',
    '{"customer": "d7", "profile": {"phone": "+49"}, "now": "2026-03-05T00:00:00+02:00"}',
)
OTHERS = {
    "falling": "    health_score: {crosses_below: 40, for: 1h, rearm_above: 60}\n",
    "slump": "    health_score: {drops_by: 20, within: 7d}\n",
    "dear": '    event: {name: payment_failed, within: 9w, where: {amount: "> 5"}}\n',
    "gone": "    last_login: {older_than: 3d}\n    none: [{tags: {contains: vip}}, {plan: free}]\n",
}


def test_all_engines_say_the_same_of_the_same_files(playbooks: Path, tmp_path: Path) -> None:
    for name, when in OTHERS.items():
        (playbooks / f"{name}.yaml").write_text(PLAYBOOK.format(name=name, status="live", when=when))
    lines = [line.replace("{", '{"now": "2026-03-02T09:00:00Z", ', 1) for line in DIRTY[:-1]]
    file = facts(tmp_path, LOW, UNKNOWN, FAILED, *lines, DIRTY[-1])
    results = {engine: call(playbooks, file, "--engine", engine) for engine in AVAILABLE}
    assert {result.exit_code for result in results.values()} == {0}
    told = answers(results["reference"])
    assert {name for answer in told for name in answer["matches"]} == {  # type: ignore[attr-defined]
        "falling", "no-phone", "pro-plan", "rescue", "slump",
    }  # fmt: skip
    for engine in AVAILABLE:
        assert results[engine].stdout == results["reference"].stdout, engine


def test_columns_keep_the_order_of_more_lines_than_they_take_at_once(playbooks: Path, tmp_path: Path) -> None:
    lines = [LOW.replace("c1", f"c{number}").replace("35", str(number % 80)) for number in range(2100)]
    file = facts(tmp_path, *lines, "nonsense")
    columns, generated = (call(playbooks, file, "--engine", engine) for engine in ("columns", "generated"))
    assert columns.stdout == generated.stdout
    assert (columns.exit_code, columns.stderr) == (1, generated.stderr)


def why(playbooks: Path, name: str, file: str) -> Result:
    return CliRunner().invoke(explain, [name, "--facts", file, "--playbooks", str(playbooks)])


def test_explain_shows_every_line_with_its_own_result(playbooks: Path, tmp_path: Path) -> None:
    text = json.dumps(json.loads(LOW), indent=2).replace("35", '"35"')
    result = why(playbooks, "rescue", facts(tmp_path, text))
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["playbook"], answer["result"], len(answer["version"])) == ("rescue", "unknown", 12)
    assert [(c["path"], c["line"], c["expected"], c["actual"], c["result"]) for c in answer["checks"]] == [
        ("enter.when.health_score", 8, "< 40", "35", "unknown"),
        ("enter.when.any[0].days_since_last_login", 10, "> 7", 9, "true"),
        ("enter.when.any[1].event", 11, "at_least 2 payment_failed within 30d", 0, "false"),
        ("enter.when.none[0].open_tickets", 13, ">= 1", 0, "false"),
    ]


def test_explain_writes_json_even_of_what_json_cannot_hold(playbooks: Path, tmp_path: Path) -> None:
    result = why(playbooks, str(playbooks / "rescue.yaml"), facts(tmp_path, UNKNOWN))
    check = json.loads(result.stdout, parse_constant=pytest.fail)["checks"][0]
    assert (check["actual"], check["result"]) == ("nan", "unknown")


def test_explain_of_a_playbook_without_trigger(playbooks: Path, tmp_path: Path) -> None:
    result = why(playbooks, "by-hand", facts(tmp_path, LOW))
    answer = json.loads(result.stdout)
    assert (answer["result"], answer["checks"]) == ("false", [])
    assert "only by hand" in result.stderr


def test_explain_says_what_is_wrong(playbooks: Path, tmp_path: Path) -> None:
    file = facts(tmp_path, LOW)
    missing = why(playbooks, "rescu", file)
    assert (missing.exit_code, "Did you mean rescue?" in missing.stderr) == (2, True)
    neither = CliRunner().invoke(explain, ["rescue", "--playbooks", str(playbooks)])
    both = CliRunner().invoke(explain, ["rescue", "--facts", file, "--customer", "c1"])
    assert (neither.exit_code, both.exit_code) == (2, 2)
    two_lines = why(playbooks, "rescue", facts(tmp_path, LOW, LOW))
    assert (two_lines.exit_code, two_lines.stdout) == (1, "")
    assert "no JSON" in two_lines.stderr
    (playbooks / "rescue.yaml").write_text("playbook: rescue\n")
    broken = why(playbooks, "rescue", file)
    assert (broken.exit_code, broken.stdout, "rescue.yaml:1" in broken.stderr) == (1, "", True)


def test_both_are_commands_of_holdfast(
    playbooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["match", "--facts", facts(tmp_path, LOW)]) == 0
    assert json.loads(capsys.readouterr().out)["customer"] == "c1"
    assert run(["match", "--facts", facts(tmp_path, "x")]) == 1
    assert run(["match"]) == 2
    for name in ("match", "explain"):
        assert run([name, "--help"]) == 0
        assert "Example" in capsys.readouterr().out
