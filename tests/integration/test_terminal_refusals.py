"""What a command can't do is told in a line with a remedy, and never as a fault of the program."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path

import pytest

from cli.main import run
from tests.integration.web_edge import SECRET, furnish, run_web


@pytest.fixture
def terminal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setenv("HOLDFAST_SECRET_KEY", SECRET)


@pytest.mark.usefixtures("terminal")
def test_whoever_has_no_name_here_may_roll_back_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", refuse)
    assert run(["train", "--rollback", "abcdef"]) == 1
    told = capsys.readouterr().err
    assert "HF000" not in told
    assert "abcdef" in told


@pytest.mark.usefixtures("terminal")
def test_a_day_after_which_there_is_none_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backtest", "come-back", "--to", "9999-12-31"]) == 2
    assert "'9999-12-31' has no end." in capsys.readouterr().err


async def test_an_export_that_cannot_be_written_says_where(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with run_web(database_url) as web:
        await furnish(web)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    out = tmp_path / "missing" / "ada.json"
    assert await asyncio.to_thread(run, ["export", "--customer", "ada/1", "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert f"{out} can't be written: No such file or directory." in told
    assert "HF100" in told
