"""Files, texts and addresses that are nearly right: each is told as what it is, and nothing of it is given away."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.wording import sentence
from schemas.errors import SettingError
from schemas.file_compiler import UNFORESEEN, FileCompiler, Templates
from schemas.file_selection import FileSelection
from schemas.graph import draw_graph
from schemas.log_lines import LogLines
from schemas.plan import Act, CompiledPlaybook
from schemas.playbook_test_file import parse_offset
from schemas.settings import Settings
from tests.unit.compiling import HEAD, LANGUAGE

HEALTH = Path(__file__).parents[2] / "playbooks" / "health" / "points.yaml"
TEAMS = "teams: {{cs: {}, sales: {{members: [dora]}}}}\n"
COMPILER = FileCompiler(LANGUAGE)


@pytest.mark.parametrize("share", ["100%", "50.1234567%"])
def test_a_share_that_a_health_model_cannot_ask_for_is_told_at_its_line(share: str) -> None:
    text = HEALTH.read_text(encoding="utf-8") + f"\nminimum_coverage: {share}\n"
    model, problems = COMPILER.read_health(HEALTH, text.encode())
    assert model is None
    assert [(problem.code, problem.path) for problem in problems] == [("PB104", "minimum_coverage")]


@pytest.mark.parametrize("value", [".inf", "*nobody"])
def test_a_value_that_yaml_has_no_number_for_hides_no_other_fault_behind_ours(value: str) -> None:
    written = HEALTH.read_text(encoding="utf-8")
    for told in ("gives: 30", "{below: 3, gives: 30}", "rest: 0"):
        assert told in written
        name = told.partition(": ")[0]
        odd = value if told.startswith("{") else f"{name}: {value}"
        _, problems = COMPILER.read_health(HEALTH, written.replace(told, odd, 1).encode())
        assert problems
        assert UNFORESEEN not in {problem.code for problem in problems}
    _, problems = COMPILER.read_policy(Path("policy.yaml"), TEAMS.format(value).encode(), (), ())
    assert problems
    assert UNFORESEEN not in {problem.code for problem in problems}


def compiled(steps: str) -> CompiledPlaybook:
    found, _ = COMPILER.compile_playbook(Path("p.yaml"), f"{HEAD}steps:\n{steps}".encode(), Templates())
    assert found.playbook is not None, found.problems
    return found.playbook


def test_a_jump_to_a_step_with_a_condition_leads_to_the_condition() -> None:
    drawn = draw_graph(
        compiled(
            "- call: {title: First}\n  outcomes: {no_answer: {goto: later}}\n- wait: 2d\n"
            '- call: {title: Second}\n  id: later\n  if: {health_score: "< 40"}\n'
        ),
        sentence,
    )
    [arrow] = [line for line in drawn.splitlines() if "no_answer" in line]
    assert f"  {arrow.split()[-1]}{{" in drawn


def test_what_a_step_sends_by_the_names_of_a_place_makes_a_version() -> None:
    def version(path: str) -> str:
        step = Act(id="a", word="webhook", args={"body": {"path": path, "line": 3}})
        return compiled("- wait: 2d\n").model_copy(update={"steps": (step,)}).version

    assert version("/a") != version("/b")


@pytest.mark.parametrize("page", ["u", "preferences", "book", "calendar", "welcome"])
def test_no_link_that_opens_something_stands_in_a_log(page: str) -> None:
    told = LogLines({}).hide(f"GET /{page}/AbCdEfGhIjKlMnOpQrStUvWx_-.ics HTTP/1.1")
    assert "AbCd" not in told


def test_a_password_is_hidden_as_it_stands_in_an_address_and_as_it_is_meant() -> None:
    lines = LogLines({"HOLDFAST_DATABASE_URL": "postgresql://holdfast:quite%2Fsecret@db/holdfast"})
    assert lines.hide("quite/secret quite%2Fsecret") == "… …"


@pytest.mark.parametrize("url", ["postgresql://me:pass/word@host/db", "postgresql://me:word@[host/db"])
def test_an_address_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match="HOLDFAST_DATABASE_URL can't be read") as caught:
        Settings.read({"HOLDFAST_DATABASE_URL": url})
    assert "pass" not in caught.value.message
    assert "word" not in caught.value.message


def test_an_offset_of_thousands_of_digits_is_none() -> None:
    assert parse_offset(f"{'9' * 5000}d") is None


def test_a_path_where_nobody_may_look_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[Path]:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SettingError, match="There is no "):
        FileSelection().add(tmp_path / "playbook.yaml")
