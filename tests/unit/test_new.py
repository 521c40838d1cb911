"""`holdfast new`: what it writes is valid and passes its test as it stands; what can't be is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from activities.registry import find_step_types
from cli.main import run
from loops.simulation.trials import collect, find_test_files, run_trials
from schemas.catalogue import load_catalogue
from schemas.loader import load_playbooks

# Ruff looks for modules where they would lie.
OURS = ("--config", 'lint.isort.known-first-party = ["activities", "schemas"]')


def test_a_new_playbook_is_valid_and_passes_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "playbook", "win-back"]) == 0
    directory = Path("playbooks")
    loaded = load_playbooks(directory, load_catalogue(), find_step_types())
    assert loaded.problems == []
    assert loaded.playbooks["win-back"].status == "draft"
    collected = collect(find_test_files((), directory), directory)
    assert collected.problems == []
    trials = asyncio.run(run_trials(collected))
    assert [(trial.test.name, trial.passed) for trial in trials] == [
        ("who comes back after the mail is left alone", True),
        ("who stays away is called", True),
        ("who was here yesterday isn't meant", True),
    ]


@pytest.fixture
def root(tmp_path: Path, checkout: Path) -> Path:
    """Something that looks like a checkout."""
    (tmp_path / "activities").mkdir()
    (tmp_path / "activities/registry.py").touch()
    return tmp_path


def test_a_new_step_passes_its_test_and_our_rules(root: Path, checkout: Path) -> None:
    assert run(["new", "step", "send_gift", "--root", str(root)]) == 0
    step, test = root / "activities/send_gift.py", root / "tests/unit/test_step_send_gift.py"
    program = (
        "import sys, activities; activities.__path__.append(sys.argv[1]); import pytest; "
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', 'pyproject.toml', '--rootdir', '.', sys.argv[2]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(step.parent), str(test)],
        cwd=checkout, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    for written in (step, test):
        for rule in (["check"], ["format", "--check"]):
            place = checkout / written.relative_to(root)
            looked = subprocess.run(
                [sys.executable, "-m", "ruff", *rule, "--no-cache", *OURS, "--stdin-filename", str(place), "-"],
                cwd=checkout, input=written.read_text("utf-8"), capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert looked.returncode == 0, looked.stdout + looked.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["playbook", "Win_Back"], "such as win-back"),
        (["playbook", "--", "-x"], "such as x"),
        (["playbook", "../evil"], "such as evil"),
        (["playbook", "policy"], "policy.yaml"),
        (["playbook", "x" * 65], "can't be the name"),
        (["step", "Send-Gift"], "as in send_gift"),
        (["step", "class"], "as in send_gift"),
        (["step", "wait"], "a word of the language itself"),
        (["step", "email"], "There is a step `email` already"),
        (["step", "registry"], "is there already"),
        (["step", "../evil"], "as in evil"),
    ],
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(
    arguments: list[str],
    told: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    before = sorted(root.rglob("*"))
    assert run(["new", *arguments]) == 1
    assert told in capsys.readouterr().err
    assert sorted(root.rglob("*")) == before


def test_nothing_that_is_there_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("playbooks/tests").mkdir(parents=True)
    Path("playbooks/tests/win-back.yaml").write_text("mine", encoding="utf-8")
    assert run(["new", "playbook", "win-back"]) == 1
    assert "playbooks/tests/win-back.yaml is there already" in capsys.readouterr().err
    assert not Path("playbooks/win-back.yaml").exists()


def test_a_step_is_written_in_a_checkout_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "step", "send_gift"]) == 1
    assert "no activities/" in capsys.readouterr().err
