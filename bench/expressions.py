"""The rivals' rule languages: conditions as CEL and as zen-engine's expressions, two-valued, guarded against null.

Neither knows an unknown: an expression says whether a condition is definitely true. `none` is turned inside out
for that. They take the plain forms only (comparison, one of, range, presence, groups); histories, windows of
events and ages have no like in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.population import FLAGS, NUMBERS, TEXTS
from schemas.condition import AllOf, AnyOf, Between, Compare, Condition, NoneOf, OneOf, Presence
from schemas.facts import Facts

NAMES = (*NUMBERS, *TEXTS, *FLAGS)
# Rules in one expression: measured to be each rival's best.
_AT_ONCE = 100

Match = Callable[[Facts], list[str]]


@dataclass(frozen=True)
class Dialect:
    """How a rival writes what the others have, too."""

    both: str
    either: str
    opposite: str

    def say(self, node: Condition, holds: bool = True) -> str:
        """That `node` is definitely true, or (`holds` false) definitely false."""
        match node:
            case AllOf() | AnyOf() | NoneOf():
                each = holds is not isinstance(node, NoneOf)
                word = self.both if isinstance(node, AnyOf) is not holds else self.either
                return "(" + f" {word} ".join(self.say(item, each) for item in node.items) + ")"
            case Presence():
                return f"({node.signal} {'!=' if node.present is holds else '=='} null)"
            case Compare():
                op = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}[node.op]
                said = f"{node.signal} {op} {_constant(node.value)}"
            case OneOf():
                said = f"{node.signal} in [{', '.join(map(_constant, node.values))}]"
            case Between():
                low, high = _constant(node.low), _constant(node.high)
                said = f"({node.signal} >= {low} {self.both} {node.signal} <= {high})"
            case _:
                raise ValueError(f"{node.kind} can't be said")
        return f"({node.signal} != null {self.both} {said if holds else f'{self.opposite}({said})'})"


CEL = Dialect("&&", "||", "!")
ZEN = Dialect("and", "or", "not ")


def compile_cel(named: Mapping[str, Condition]) -> Match:
    """Match on `common-expression-language` (Rust)."""
    import cel

    programs = [(names, cel.compile(text)) for names, text in _lists(named, CEL)]

    def match(facts: Facts) -> list[str]:
        context = cel.Context(_values(facts))
        return [
            name
            for names, program in programs
            for name, holds in zip(names, program.execute(context), strict=True)
            if holds
        ]

    return match


def compile_zen(named: Mapping[str, Condition]) -> Match:
    """Match on zen-engine."""
    import zen

    expressions = [(names, zen.compile_expression(text)) for names, text in _lists(named, ZEN)]

    def match(facts: Facts) -> list[str]:
        values = _values(facts)
        return [
            name
            for names, expression in expressions
            for name, holds in zip(names, expression.evaluate(values), strict=True)
            if holds
        ]

    return match


def _lists(named: Mapping[str, Condition], dialect: Dialect) -> list[tuple[Sequence[str], str]]:
    names = sorted(named)
    parts = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    return [(part, f"[{', '.join(dialect.say(named[name]) for name in part)}]") for part in parts]


def _values(facts: Facts) -> dict[str, object]:
    """Every signal with a value or null, numbers as floats, as the constants are."""
    values: dict[str, object] = {}
    for name in NAMES:
        value = facts.signals.get(name)
        values[name] = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return values


def _constant(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(float(value))
