"""How big a plan may be: its steps travel in the input of every run, and its rounds and branches in its memory."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from schemas.nesting import inner, walk
from schemas.outcome_compiler import GUARD_SUFFIX
from schemas.plan import Repeat, Step, Steps, Together
from schemas.problem import Report
from schemas.yaml_source import Path

MOST_STEPS = 1000
# Temporal refuses an input of 2 MB; the rest is for what a long run takes along when it is continued.
MOST_BYTES = 1_000_000
# All rounds of a `repeat` together, those of repeats inside it included.
MOST_ROUNDS = 1000
# Branches that go on at the same time, those of a `together` inside a branch included.
MOST_BRANCHES = 100

_STEPS: TypeAdapter[Any] = TypeAdapter(Steps)


def check_size(steps: Steps, report: Report, paths: dict[str, Path]) -> None:
    """Report what makes a plan too big; `paths` says where each step stands."""
    count = sum(1 for _ in walk(steps))
    if count > MOST_STEPS:
        what = f"The playbook has {count} steps, and {MOST_STEPS} are the most."
        report.error(("steps",), "PB242", what, "Divide it; `start` enters another playbook.", key=True)
    elif len(_STEPS.dump_json(steps, exclude_defaults=True)) > MOST_BYTES:
        what = f"The steps and their texts have more than {MOST_BYTES // 1_000_000} MB."
        report.error(
            ("steps",), "PB242", what, "Move texts into templates, or divide the playbook.", key=True
        )
    _check_nested(steps, 1, report, paths)


def _check_nested(steps: Steps, rounds: int, report: Report, paths: dict[str, Path]) -> None:
    for step in steps:
        path = paths.get(step.id.removesuffix(GUARD_SUFFIX))
        total = rounds * step.at_most if isinstance(step, Repeat) else rounds
        if total > MOST_ROUNDS and path:
            what = f"With the rounds around it that makes {total} rounds, and {MOST_ROUNDS} are the most."
            report.error((*path, "repeat", "at_most"), "PB240", what, "Lower one of the two.")
            continue
        if isinstance(step, Together) and path and _width((step,)) > MOST_BRANCHES:
            what = (
                f"{_width((step,))} branches would go on at the same time, and {MOST_BRANCHES} are the most."
            )
            report.error(
                (*path, "together"), "PB241", what, "Put some of them one after the other.", key=True
            )
            continue
        for nested in inner(step):
            _check_nested(nested, total, report, paths)


def _width(steps: Steps) -> int:
    """The most branches of `steps` that can go on at the same time."""
    return max((_width_of(step) for step in steps), default=1)


def _width_of(step: Step) -> int:
    widths = [_width(nested) for nested in inner(step)]
    return sum(widths) if isinstance(step, Together) else max(widths, default=1)
