"""The command `holdfast`: quick help, errors with a remedy, exit 0 good, 1 problems, 2 used wrongly."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert "holdfast" in shown.partition("Example")[2]


def test_help_imports_no_server_library(checkout: Path) -> None:
    heavy = "temporalio", "sqlalchemy", "fastapi", "pydantic", "twilio"
    program = (
        "import sys; from cli.main import run; status = run(['--help']); "
        f"sys.exit(status or ','.join(name for name in {heavy!r} if name in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["dev", "--port", "0"], ["--nonsense"], ["dev", "more"]])
def test_wrong_use_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_our_errors_are_told_with_code_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATABASE_URL", raising=False)
    assert run(["migrate"]) == 1
    told = capsys.readouterr().err
    assert "HOLDFAST_DATABASE_URL is not set" in told
    assert "[HF120]" in told
    assert "holdfast dev" in told


def test_the_unforeseen_is_told_shortly_and_kept_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(importlib.import_module("cli.migrate"), "command", command)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["migrate"]) == 1
    told = capsys.readouterr().err
    (kept,) = tmp_path.glob("*.traceback.txt")
    assert told.count("\n") == 1
    assert "ZeroDivisionError: by nothing" in told
    assert str(kept) in told
    assert "Traceback" in kept.read_text()

    assert run(["--traceback", "migrate"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_who_has_seen_enough_is_no_error(checkout: Path) -> None:
    program = [sys.executable, "-m", "cli.main", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        program, cwd=checkout, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
