"""What holds of every module of the product, whatever it does."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "activities", "channels", "cli", "loops", "rules", "schemas", "scoring", "store", "web", "workflows",
)  # fmt: skip


@cache
def _modules() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8")))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def test_no_module_uses_what_another_keeps_to_itself() -> None:
    found = [
        f"{name}:{node.lineno}: {alias.name}"
        for name, module in _modules()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert found == []


def test_nothing_waits_in_the_way_that_forgets_a_cancellation() -> None:
    # `asyncio.wait_for` of Python 3.11 returns where what it waits for and a cancellation come together.
    found = [
        f"{name}:{node.lineno}"
        for name, module in _modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute)
        and node.attr == "wait_for"
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    ]
    assert found == []
