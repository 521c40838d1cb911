"""Every file in tests/bad_playbooks is refused with exactly the problems written down beside it.

`UPDATE_GOLDENS=1 pytest tests/unit/test_language_problems.py` writes them anew; read the diff.
"""

import os
import re
from pathlib import Path

import pytest

from activities.registry import find_step_types
from schemas.catalogue import load_catalogue
from schemas.errors import Problem
from schemas.loader import load_paths

ROOT = Path(__file__).parents[2]
BAD = ROOT / "tests" / "bad_playbooks"
FILES = sorted(BAD.rglob("*.yaml"), key=str)
WARNED_ONLY = {"late-steps", "holdout-without-goal", "rounds-at-once"}
CODE = re.compile(r"PB[0-9]{3}")
GOOD_TEMPLATES = {"tips", "nudge", "follow-up"}


def problems_of(path: Path) -> list[Problem]:
    return load_paths([path], load_catalogue(), find_step_types()).problems


def describe(problem: Problem) -> str:
    file = Path(problem.file).relative_to(BAD).as_posix()
    head = f"{file}:{problem.line}:{problem.column} {problem.severity} {problem.code} {problem.path}".rstrip()
    return f"{head}\n  {problem.message}" + (f"\n  {problem.hint}" if problem.hint else "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(BAD).as_posix())
def test_a_bad_file_is_refused_with_exactly_these_problems(path: Path) -> None:
    golden = path.with_suffix(".problems")
    told = "\n".join(describe(problem) for problem in problems_of(path)) + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(BAD).as_posix())
def test_a_bad_file_yields_no_playbook_and_every_place_exists(path: Path) -> None:
    loaded = load_paths([path], load_catalogue(), find_step_types())
    if path.stem not in WARNED_ONLY | GOOD_TEMPLATES:
        assert loaded.failed
        assert loaded.playbooks == {}
    for problem in loaded.problems:
        lines = Path(problem.file).read_bytes().split(b"\n")
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.message.endswith(".")
        assert problem.hint == "" or problem.hint.endswith((".", "?"))


def test_no_path_is_told_twice_and_none_inside_another() -> None:
    for path in FILES:
        paths = [p.path for p in problems_of(path) if p.severity == "error" and p.path and p.code != "PB306"]
        assert len(paths) == len(set(paths)), path
        for one in paths:
            assert not any(other != one and re.match(re.escape(one) + r"[.\[]", other) for other in paths), (
                path
            )


def test_every_code_is_explained_and_shown() -> None:
    sources = [*(ROOT / "schemas").glob("*.py"), ROOT / "cli" / "validate.py"]
    used = {code for source in sources for code in CODE.findall(source.read_text(encoding="utf-8"))}
    documented = re.findall(
        r"^## (PB[0-9]{3}) ", (ROOT / "docs" / "problems" / "README.md").read_text(encoding="utf-8"), re.M
    )
    shown = {
        code
        for golden in BAD.rglob("*.problems")
        for code in CODE.findall(golden.read_text(encoding="utf-8"))
    }
    assert documented == sorted(set(documented))
    assert set(documented) == used
    # What no file of reviewable size, or no file at all, can show: see test_hostile_files and test_language_loading.
    assert used - shown <= {"PB002", "PB014", "PB015", "PB016"}
