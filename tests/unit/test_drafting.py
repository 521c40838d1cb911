"""A directory as it would be with one file changed, and tools in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from loops import tooling
from loops.tooling import run_tool
from loops.workspace import check_file, lay_out
from schemas.errors import InputError, UnavailableError
from scoring.arms import share_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    home = tmp_path / "playbooks"
    (home / "templates").mkdir(parents=True)
    (home / "tests").mkdir()
    for file in (
        "a.yaml",
        "b.yaml",
        "policy.yaml",
        "templates/t.yaml",
        "templates/u.yaml",
        "tests/a.yaml",
        ".a.yaml.tmp",
        "x.md",
    ):
        (home / file).write_text(file, encoding="utf-8")
    return home


@pytest.mark.parametrize(
    "file", ["a.yaml", "new.yaml", "policy.yaml", "templates/t.yaml", "templates/new.yaml", "health/h.yaml"]
)
def test_one_file_is_another_and_all_else_as_it_was(directory: Path, file: str) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with lay_out(directory, file, "changed ☂") as space:
        assert (space / file).read_text(encoding="utf-8") == "changed ☂"
        for other in ("a.yaml", "b.yaml", "policy.yaml", "templates/t.yaml", "templates/u.yaml"):
            if other != file:
                assert (space / other).read_text(encoding="utf-8") == other
        assert sorted(path.name for path in space.iterdir() if path.name not in (file, "health")) == sorted(
            {"a.yaml", "b.yaml", "policy.yaml", "templates"} - {file}
        )
    assert not space.exists()
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "file",
    [
        "../a.yaml",
        "/a.yaml",
        "templates/../a.yaml",
        "a.yml",
        "A.yaml",
        ".a.yaml",
        "tests/a.yaml",
        "a/b/c.yaml",
        "",
        "a.yaml\n",
    ],
)
def test_what_is_no_file_of_a_directory_of_playbooks_is_refused(directory: Path, file: str) -> None:
    with pytest.raises(InputError):
        check_file(file)
    with pytest.raises(InputError), lay_out(directory, file, ""):
        pass


async def test_a_tool_prints_says_and_ends(tmp_path: Path) -> None:
    said: list[str] = []
    done = await run_tool(
        ["graph", "nothing", "--playbooks", str(tmp_path)], {}, say=said.append, patience_seconds=60
    )
    assert (done.status, done.printed) == (2, b"")
    assert any("There is no playbook nothing" in line for line in said)
    assert list(done.said) == said


async def test_a_tool_that_takes_too_long_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    program = tmp_path / "slow"
    program.write_text(f"#!/bin/sh\nsleep 300 &\necho $! > {pid_file}\nwait\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert tooling.sys is sys
    with pytest.raises(UnavailableError, match="longer than 1 s"):
        await run_tool(["plan"], {}, patience_seconds=1)
    started = int(pid_file.read_text())
    for _ in range(100):
        if not _is_running(started):
            break
        time.sleep(0.02)  # noqa: ASYNC251 - nothing else goes on here
    assert not _is_running(started)


def _is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text() if os.path.exists(f"/proc/{pid}") else False  # noqa: PTH110
    except OSError:
        return False


def test_shares_have_wilsons_interval() -> None:
    found = share_of(10, 20)
    assert (found.rate, round(found.low or 0, 4), round(found.high or 0, 4)) == (0.5, 0.2993, 0.7007)
    assert share_of(0, 0).rate is None
    assert share_of(0, 5).low == 0
    with pytest.raises(ValueError, match="can't be"):
        share_of(3, 2)
