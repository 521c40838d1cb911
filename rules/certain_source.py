"""Expressions that ask only whether a condition is definitely true: plain `and`, `or` and comparisons.

Where nobody wants to know unknown from false, most of Kleene's logic falls away: a missing number is NaN and a
missing text an object of its own, which no comparison is true of, and `not` is carried inwards to the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rules.effort import effort
from rules.generated_source import LONGEST_CHAIN, Source, kind_of
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    Contains,
    NoneOf,
    OneOf,
    Presence,
    Scalar,
)

_SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
# Python's parser bounds how deep a nest of brackets may be; `Source.expression` knows a way around it.
_DEEPEST_NEST = 30


class CertainSource(Source):
    """A function's source whose conditions are asked for certainty."""

    def certain(self, node: Condition, holds: bool = True, depth: int = 0) -> str:
        """An expression that is true where `node` is definitely true (or, `holds` false, definitely false)."""
        match node:
            case AllOf() | AnyOf() | NoneOf() if depth < _DEEPEST_NEST:
                each = holds is not isinstance(node, NoneOf)
                both = isinstance(node, AnyOf) is not holds
                terms = [self.certain(item, each, depth + 1) for item in sorted(node.items, key=effort)]
                return f"({(' and ' if both else ' or ').join(terms)})" if terms else str(both)
            case Compare():
                return self.compared(node.signal, node.op, node.value, holds)
            case OneOf():
                return self.among(node, holds)
            case Between():
                value, low, high = self.value_of(node.signal, "float"), _shown(node.low), _shown(node.high)
                return f"{low} <= {value} <= {high}" if holds else f"({value} < {low} or {value} > {high})"
            case Presence():
                return f"{self.fetch(node.signal)} {'is not' if node.present is holds else 'is'} None"
            case Age() | Contains():
                value = self.value_of(node.signal, "past" if isinstance(node, Age) else "container")
                test = self.aged(node, value) if isinstance(node, Age) else f"{node.item!r} in {value}"
                return f"({value} is not None and {test if holds else f'not ({test})'})"
            case _:
                return f"{self.expression(node)} is {holds}"

    def first_failing(self, lines: Sequence[Condition], otherwise: str) -> str:
        """An expression for the place of the first line that isn't definitely true, or `otherwise`."""
        for start in reversed(range(0, len(lines), LONGEST_CHAIN)):
            part = enumerate(lines[start : start + LONGEST_CHAIN], start)
            tests = "".join(f"{place} if not ({self.certain(line)}) else " for place, line in part)
            if start:
                name = self.name("h")
                self.hoisted.append(f"{name} = {tests}{otherwise}")
                otherwise = name
            else:
                otherwise = tests + otherwise
        return otherwise

    def compared(self, signal: str, op: str, constant: Scalar, holds: bool) -> str:
        kind = kind_of(constant)
        if kind != "number" and op not in ("eq", "ne"):
            return "False"
        op = op if holds else _OPPOSITE[op]
        if kind == "bool":
            return f"{self.value_of(signal, 'bool')} is {bool(constant) is (op == 'eq')}"
        value = self.value_of(signal, "float" if kind == "number" else "word")
        test = f"{value} {_SYMBOLS[op]} {_shown(constant)}"
        if op == "ne":
            return f"({_there(value, kind)} and {test})"
        return test

    def among(self, node: OneOf, holds: bool) -> str:
        """The value is one of the constants of its own kind, or is of a kind that has some and none of them."""
        terms = []
        for kind, typed in (("bool", "bool"), ("text", "word"), ("number", "float")):
            constants = [constant for constant in node.values if kind_of(constant) == kind]
            if not constants:
                continue
            value = self.value_of(node.signal, typed)
            listed = "{" + ", ".join(map(_shown, constants)) + "}"
            absent = f"({_there(value, kind)} and {value} not in {listed})"
            terms.append(f"{value} in {listed}" if holds else absent)
        return f"({' or '.join(terms)})" if terms else "False"


def _there(value: str, kind: str) -> str:
    return {"bool": f"{value} is not None", "text": f"{value} is not UNSET", "number": f"{value} == {value}"}[
        kind
    ]


def _shown(constant: Scalar) -> str:
    """A constant as it stands in the source; what has no literal as a call that makes it."""
    if isinstance(constant, float) and not isfinite(constant):
        return f"float({str(constant)!r})"
    return repr(constant)
