"""What keeps a condition from being true, in a sentence: the line that decides, and what was found instead."""

from __future__ import annotations

from rules.reference import explain, truth_word
from rules.wording import sentence
from schemas.condition import AllOf, Condition, EventCount, Group, Leaf, NoneOf, leaves
from schemas.facts import Facts
from schemas.signal_value import WrongType


def describe_shortfall(when: AllOf, facts: Facts) -> str:
    """The first line of `when` that isn't true, as in `plan: pro is false; plan is free`.

    A signal that is missing or of the wrong type is named as such. Empty where all lines hold.
    """
    for line in when.items:
        result = explain(line, facts).result
        if result is not True:
            found = "; ".join(_found(leaf, facts) for leaf in _deciding(line, result, facts))
            return f"{sentence(line)} is {truth_word(result)}" + (f"; {found}" if found else "")
    return ""


def _deciding(line: Condition, result: bool | None, facts: Facts) -> list[Leaf]:
    """The signals and events in `line` that made its answer: of an unknown one, those that can't be decided."""
    inside = list(leaves([line]))
    if not isinstance(line, Group):
        return inside
    # A line under `none` helps by being false, and hinders by being true.
    guilty = None if result is None else isinstance(line, NoneOf)
    return [leaf for leaf in inside if explain(leaf, facts).result is guilty] or inside


def _found(leaf: Leaf, facts: Facts) -> str:
    if isinstance(leaf, EventCount):
        [check] = explain(leaf, facts).checks
        return f"{check.actual} {leaf.name} counted"
    value = facts.signals.get(leaf.signal)
    if value is None:
        return f"{leaf.signal} is missing"
    if isinstance(value, WrongType):
        return f"{leaf.signal} has a value of the wrong type"
    return f"{leaf.signal} is {', '.join(value) if isinstance(value, tuple) else value}"
