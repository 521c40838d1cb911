"""Conditions as generated Python: the fast evaluator of the live path. Answers are those of `rules.reference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from rules.certain_source import CertainSource
from rules.generated_source import Source
from rules.kleene import Truth
from schemas.condition import Condition
from schemas.facts import Facts

Predicate = Callable[[Facts], Truth]
Matcher = Callable[[Facts], tuple[list[str], list[str]]]
LineFinder = Callable[[Facts, bytes], list[int]]

# What a LineFinder says of a trigger instead of the place of a line.
HOLDS = -1
NOT_ASKED = -2


def compile_condition(condition: Condition) -> Predicate:
    """Compile one condition to a function of facts that answers True, False or None (unknown)."""
    function = Source("facts")
    answer = function.expression(condition)
    return cast("Predicate", function.finish([f"return {answer}"]))


def compile_many(named: Mapping[str, Condition]) -> Matcher:
    """Compile many conditions to one function: the names of those that hold, and of those unknown, both
    sorted.

    They share the signals' type checks, and each event count, crossing and change is worked out at most once.
    """
    function = Source("facts", share=True)
    lines = ["true = []; unknown = []"]
    for name in sorted(named):
        answer = function.expression(named[name])
        # Hoisted groups of this condition are computed just before it.
        lines += function.take_hoisted()
        lines += [
            f"r = {answer}",
            f"if r: true.append({name!r})",
            f"elif r is None: unknown.append({name!r})",
        ]
    return cast("Matcher", function.finish([*lines, "return true, unknown"]))


def compile_lines(triggers: Sequence[Sequence[Condition]]) -> LineFinder:
    """Compile triggers, each some lines that must all hold, to one function that says where each fails.

    It is called with facts and a byte per trigger, 0 for those that aren't asked, and answers per trigger: the place of
    its first line that isn't true, HOLDS if all are, NOT_ASKED.
    """
    function = CertainSource("facts", share=True)
    answers = []
    for number, lines in enumerate(triggers):
        answer = function.first_failing(lines, str(HOLDS))
        # One list display: nothing is called to gather the answers.
        answers.append(f"({answer}) if asked[{number}] else {NOT_ASKED},")
    return cast("LineFinder", function.finish(["return [", *answers, "]"], "asked"))
