"""docs/fault-cases.md keeps its promises: all 48 cases are there, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CASE = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")
REASONS = ("no test: ", "no test yet: ", "can't happen: ")


def test_every_case_is_there_once_with_its_test_or_its_reason(checkout: Path) -> None:
    cases = CASE.findall((checkout / "docs" / "fault-cases.md").read_text())
    assert sorted(int(number) for number, *_ in cases) == list(range(1, 49))
    for number, happens, expected, shown in cases:
        assert happens.strip(), number
        assert expected.strip(), number
        named = TEST.search(shown) or re.search(r"the same|case \d+", shown)
        assert named or shown.startswith(REASONS), f"case {number} has neither a test nor a reason"


def test_every_test_that_is_named_exists(checkout: Path) -> None:
    named = TEST.findall((checkout / "docs" / "fault-cases.md").read_text())
    assert len(named) > 48
    missing = [
        f"{file}::{name}" for file, name in named if name not in functions_of(checkout / "tests" / file)
    ]
    assert missing == []


def functions_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
