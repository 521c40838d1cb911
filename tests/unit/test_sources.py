"""What holds of every module of the product, whatever it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "activities", "channels", "cli", "loops", "rules", "schemas", "scoring", "store", "web", "workflows",
)  # fmt: skip
IMPORT = re.compile(rf"^\s*from (?:{'|'.join(PACKAGES)})\b[\w.]* import (\([^)]*\)|[^\n]*)", re.MULTILINE)


def _modules() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_no_module_uses_what_another_keeps_to_itself() -> None:
    found = [
        f"{name}: {imported}"
        for name, source in _modules()
        for names in IMPORT.findall(source)
        for imported in re.findall(r"\w+", names)
        if imported.startswith("_")
    ]
    assert found == []


def test_nothing_waits_in_the_way_that_forgets_a_cancellation() -> None:
    # `asyncio.wait_for` of Python 3.11 returns where what it waits for and a cancellation come together.
    found = [name for name, source in _modules() if "asyncio.wait_for(" in source]
    assert found == []
