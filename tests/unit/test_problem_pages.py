"""Every code that Holdfast can print is explained in docs/, once, and means one thing."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from web.page_problems import explanations

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "rules", "scoring", "store", "channels", "activities", "workflows", "web", "loops", "cli")
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
PRINTED = {
    code
    for path in SOURCES
    for code in re.findall(r'"((?:PB|PT|SC|HF)[0-9]{3})"', path.read_text(encoding="utf-8"))
}
# A heading, the first cell of a row, or the first word of an item is where a code is explained.
EXPLAINED = Counter(
    code
    for path in (ROOT / "docs").rglob("*.md")
    for code in re.findall(
        r"^(?:## |\| |- \*\*)((?:PB|PT|SC|HF)[0-9]{3})", path.read_text(encoding="utf-8"), re.M
    )
)


@pytest.mark.parametrize("code", sorted(PRINTED))
def test_a_code_that_is_printed_is_explained_once(code: str) -> None:
    assert EXPLAINED[code] == 1


def test_no_code_is_explained_that_nothing_prints() -> None:
    assert len(PRINTED) > 80
    assert set(EXPLAINED) <= PRINTED


def test_no_two_errors_share_a_code() -> None:
    declared = Counter(
        code
        for path in SOURCES
        for code in re.findall(r'^    code = "(HF[0-9]{3})"', path.read_text(encoding="utf-8"), re.M)
    )
    assert {code for code, times in declared.items() if times > 1} == set()


def test_every_problem_of_the_api_has_the_page_that_its_type_leads_to() -> None:
    answered = {
        code
        for path in (ROOT / "web").glob("*.py")
        for code in re.findall(r'"(HF[0-9]{3})"', path.read_text())
    }
    # Those are told in the dead letters, never as a problem.
    events = {f"HF{number}" for number in range(111, 120)}
    assert len(answered) > 10
    assert answered - events <= explanations().keys()
