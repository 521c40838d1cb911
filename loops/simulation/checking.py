"""Whether a timeline is as a test expects it, and where it isn't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from loops.simulation.run import Line
from loops.simulation.wording import plain, to_milliseconds
from schemas.playbook_test_file import Expectation
from schemas.playbook_test_schema import DEEDS, FLOW_KINDS

Mark = Literal["same", "missing", "unexpected", "different"]
# How the playbook got there, rather than what it did: a test may leave it out.
_OPTIONAL = (*FLOW_KINDS, *DEEDS)
_FAR = 1 << 60
# More lines than are ever paired.
_PAIRS = 1 << 20


@dataclass(frozen=True)
class Difference:
    """One row of the comparison: what was expected (None: nothing), what came (None: nothing), and how they differ."""

    mark: Mark
    expected: Expectation | None
    got: Line | None
    because: str = ""


def compare(expected: Sequence[Expectation], got: Sequence[Line]) -> list[Difference]:
    """The cheapest way to read `got` as `expected`; all rows `same` where it fits.

    Lines come in the order given. What a playbook did has to be mentioned, how it got there needn't be; where `...`
    stands, anything may come.
    """
    rows, columns = len(expected) + 1, len(got) + 1
    cost = [[_FAR] * columns for _ in range(rows)]
    came: list[list[str]] = [[""] * columns for _ in range(rows)]
    cost[0][0] = 0
    for row in range(rows):
        for column in range(columns):
            here = cost[row][column]
            following = expected[row] if row < len(expected) else None
            line = got[column] if column < len(got) else None
            steps: list[tuple[str, int, int, int]] = []
            if line is not None:
                free = _is_gap(following) or _is_optional(line)
                steps.append(("unexpected", row, column + 1, 0 if free else 2))
            if following is not None:
                steps.append(("missing", row + 1, column, 0 if _is_gap(following) else 2))
            if following is not None and line is not None and not _is_gap(following):
                if not differences(following, line):
                    steps.append(("same", row + 1, column + 1, 0))
                elif following.kind == _kind(line):
                    steps.append(("different", row + 1, column + 1, 2))
            for way, to_row, to_column, price in steps:
                # Of equally cheap ways the one that pairs most lines reads best.
                total = here + price * _PAIRS - (way in ("same", "different"))
                if total < cost[to_row][to_column]:
                    cost[to_row][to_column], came[to_row][to_column] = total, way
    return _trace(expected, got, came)


def _trace(expected: Sequence[Expectation], got: Sequence[Line], came: list[list[str]]) -> list[Difference]:
    found: list[Difference] = []
    row, column = len(expected), len(got)
    while row or column:
        way = came[row][column]
        if way in ("same", "different"):
            row, column = row - 1, column - 1
            because = "; ".join(differences(expected[row], got[column]))
            found.append(Difference("different" if because else "same", expected[row], got[column], because))
        elif way == "missing":
            row -= 1
            if not _is_gap(expected[row]):
                found.append(Difference("missing", expected[row], None))
        else:
            column -= 1
            free = _is_optional(got[column]) or (row < len(expected) and _is_gap(expected[row]))
            found.append(Difference("same" if free else "unexpected", None, got[column]))
    return found[::-1]


def differences(expected: Expectation, line: Line) -> list[str]:
    """What of `line` isn't as `expected`, in words."""
    if expected.kind != _kind(line):
        return [f"it is about {_kind(line)}"]
    told = []
    outcomes = (line["outcome"], line.get("to")) if expected.kind == "escalation" else (line["outcome"],)
    if expected.outcome not in outcomes:
        told.append(f"{expected.kind} is {line['outcome']}")
    if expected.at is not None and expected.at != to_milliseconds(line["at"]):
        told.append(f"it comes at {line['at']:%Y-%m-%d %H:%M} UTC")
    for name, value in expected.fields.items():
        if str(plain(line.get(name))) != value:
            told.append(f"{name} is {_shown(line.get(name))}")
    for name, value in expected.texts.items():
        if value not in str(line.get(name) or ""):
            told.append(f"{name} is {_shown(line.get(name))}")
    return told


def describe_line(line: Line, start: datetime) -> str:
    """The line in one row: when, what, and what tells it from others."""
    told = [f"{format_offset(line['at'] - start):<9}", f"{_kind(line)}: {line['outcome']}"]
    for name in (
        "step",
        "variant",
        "channel",
        "to",
        "template",
        "feature",
        "subject",
        "title",
        "reason",
        "detail",
    ):
        value = line.get(name)
        if value and value != _kind(line) and not (name == "channel" and value == line.get("kind")):
            told.append(f"{name}: {_shown(value)}")
    return "  ".join(told)


def describe_expectation(expected: Expectation, start: datetime) -> str:
    """The same of what was expected."""
    when = format_offset(expected.at - start) if expected.at else ""
    told = [f"{when:<9}", f"{expected.kind}: {expected.outcome}"]
    told += [f"{name}: {value}" for name, value in (*expected.fields.items(), *expected.texts.items())]
    return "  ".join(told)


def format_offset(span: timedelta) -> str:
    """A span as tests write it: 3d, 1d12h, 0m; with seconds where there are any."""
    sign, left = ("-", -span) if span < timedelta(0) else ("", span)
    seconds = round(left.total_seconds())
    parts = [
        (seconds // 86_400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    ]
    return sign + ("".join(f"{number}{unit}" for number, unit in parts if number) or "0m")


def _is_optional(line: Line) -> bool:
    """What needn't be mentioned: how the run got there, and what it passed over."""
    if line["outcome"] == "refused":
        return False
    return _kind(line) in _OPTIONAL or line["outcome"] == "skipped"


def _is_gap(expected: Expectation | None) -> bool:
    return expected is not None and expected.kind is None


def _kind(line: Line) -> str:
    return str(line["run"] if "run" in line else line["kind"])


def _shown(value: Any) -> str:
    if value is None:
        return "left out"
    text = str(plain(value)).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
