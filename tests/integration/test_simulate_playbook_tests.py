"""`holdfast test`: the tests that ship pass, and what fails can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.main import run

PLAYBOOK = """
playbook: hello
title: Hello
owner: cs
status: live
enter: {when: {health_score: "< 50"}}
goal: {when: {health_score: ">= 80"}, within: 10d}
steps:
  - {id: mail, email: {subject: "Hi {{ customer.first_name }}", text: there}}
  - wait: 2d
  - {id: ring, call: {title: Ring, due: 8h, give_up: 1d}}
"""
TESTS = """
playbook: hello
given:
  signals: {health_score: 30}
  profile: {first_name: Ann, email: ann@example.com}
tests:
  - name: as it is
    enters: true
    expect:
      - {after: 0m, email: sent, subject: Hi Ann}
      - {after: 2d, call: open}
      - {after: 3d8h, call: overdue}
      - {after: 10d, ended: expired}
  - name: as it isn't
    given:
      signals: {health_score: null}
    enters: false
    expect:
      - {email: sent, subject: Hi Bob}
      - sms: sent
      - call: open
      - ended: expired
    never:
      - {call: open, step: ring}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "hello.yaml").write_text(PLAYBOOK)
    (tmp_path / "policy.yaml").write_text("consent: {email: assumed}\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "hello.yaml").write_text(TESTS)
    return tmp_path


def test_the_tests_that_ship_pass(
    monkeypatch: pytest.MonkeyPatch, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(checkout)
    assert run(["test"]) == 0, capsys.readouterr().out
    told = capsys.readouterr()
    assert re.fullmatch(r"\d+ tests: (\d+) passed\.\n", told.err)
    assert told.out == ""


def test_every_playbook_that_ships_has_two_tests_or_more(checkout: Path) -> None:
    playbooks = {path.stem for path in (checkout / "playbooks").glob("*.yaml")} - {"policy", "milestones"}
    for name in sorted(playbooks):
        text = (checkout / "playbooks" / "tests" / f"{name}.yaml").read_text(encoding="utf-8")
        assert f"\nplaybook: {name}\n" in text
        assert text.count("\n  - name: ") >= 2


def test_a_failure_shows_what_was_expected_beside_what_came(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["test", str(directory)]) == 1
    told = capsys.readouterr()
    file = directory / "tests" / "hello.yaml"
    assert told.out == (
        f"FAILED {file}:14: hello: as it isn't\n"
        "    enters is unknown, expected false\n"
        "    line 24: this must never happen, and did at 2026-03-04 09:00 UTC\n"
        "    - expected, + came; times count from the start\n"
        "    -            email: sent  subject: Hi Bob    (line 19)\n"
        "    + 0m         email: sent  step: mail  subject: Hi Ann\n"
        "      (subject is Hi Ann)\n"
        "      0m         wait: waiting  step: steps[1]\n"
        "    -            sms: sent    (line 20)\n"
        "      2d         call: open  step: ring  title: Ring\n"
        "    + 3d8h       call: overdue  step: ring  title: Ring\n"
        "      10d        ended: expired  reason: the goal's window closed\n"
    )
    assert told.err == "2 tests: 1 passed, 1 failed.\n"


def test_the_same_as_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(directory), "--format", "json"]) == 1
    good, bad = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (good["test"], good["passed"], good["differences"], good["broken"]) == ("as it is", True, [], [])
    assert (bad["file"], bad["line"], bad["passed"]) == (str(directory / "tests" / "hello.yaml"), 14, False)
    assert [one["difference"] for one in bad["differences"]] == ["different", "missing", "unexpected"]
    assert bad["differences"][0]["got"]["subject"] == "Hi Ann"
    assert bad["differences"][1]["line"] == 20


def test_only_some_of_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(directory), "--only", "as it is", "--playbooks", str(directory)]) == 1
    assert run(["test", "hello", "--only", "hello: as it is", "--playbooks", str(directory)]) == 1
    capsys.readouterr()
    (directory / "tests" / "hello.yaml").write_text(TESTS.replace("as it isn't", "otherwise"))
    assert run(["test", "hello", "--only", "as it is", "--playbooks", str(directory)]) == 0
    assert capsys.readouterr().err == "1 test: 1 passed.\n"


def test_files_with_errors_fail_and_the_others_are_run(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = directory / "tests" / "bad.yaml"
    bad.write_text("playbook: hello\ntests:\n  - {name: x, exspect: []}\n")
    assert run(["test", str(directory), "--only", "as it is"]) == 1
    told = capsys.readouterr()
    assert f"{bad}:3:15: error PB102 tests[0].exspect: There is no `exspect`" in told.out
    assert told.err == "2 tests: 1 passed, 1 failed, 1 error in the files.\n"


def test_paths_that_aren_t_there_are_wrong_use(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "helo", "--playbooks", str(directory)]) == 2
    assert "Did you mean hello?" in capsys.readouterr().err


def test_every_code_of_its_own_is_explained(checkout: Path) -> None:
    sources = [
        checkout / "schemas" / "playbook_test_file.py",
        checkout / "loops" / "simulation" / "trials.py",
    ]
    used = {code for source in sources for code in re.findall(r"PT\d{3}", source.read_text(encoding="utf-8"))}
    page = (checkout / "docs" / "testing-playbooks.md").read_text(encoding="utf-8")
    assert used == set(re.findall(r"PT\d{3}", page))


def test_the_example_in_the_documents_passes(
    monkeypatch: pytest.MonkeyPatch, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (checkout / "docs" / "testing-playbooks.md").read_text(encoding="utf-8")
    [example] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "playbook:" in text]
    (tmp_path / "example.yaml").write_text(example)
    monkeypatch.chdir(checkout)
    assert run(["test", str(tmp_path / "example.yaml")]) == 0, capsys.readouterr().out
