"""Conditions of a health model as functions of the signals alone; the answers are those of `rules.reference`.

Kleene's logic: True, False, or None where it can't be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from schemas.condition import (
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

Predicate = Callable[[Mapping[str, Any]], bool | None]

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge,
}  # fmt: skip
_NUMBERS = frozenset((int, float))


def compile_predicate(node: Condition) -> Predicate:
    """The function for one condition. Raises TypeError for a node that asks for more than signals."""
    match node:
        case AllOf():
            return _chain([compile_predicate(item) for item in node.items], decides=False)
        case AnyOf():
            return _chain([compile_predicate(item) for item in node.items], decides=True)
        case NoneOf():
            return _negate(_chain([compile_predicate(item) for item in node.items], decides=True))
        case Compare():
            return _compare(node)
        case OneOf():
            return _one_of(node)
        case Between():
            return _between(node)
        case Presence(signal=name, present=present):
            return lambda s: (s.get(name) is not None) is present
        case Contains(signal=name, item=item):
            return lambda s: item in v if isinstance(v := s.get(name), str | tuple) else None
    raise TypeError(f"a health model can't ask for {node.kind}")


def _chain(parts: list[Predicate], *, decides: bool) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def ask(signals: Mapping[str, Any]) -> bool | None:
        answer: bool | None = not decides
        for part in parts:
            found = part(signals)
            if found is decides:
                return decides
            if found is None:
                answer = None
        return answer

    return ask


def _negate(part: Predicate) -> Predicate:
    return lambda signals: None if (found := part(signals)) is None else not found


def _types(constant: Scalar) -> frozenset[type]:
    """Numbers compare with numbers, text with text, booleans with booleans, and nothing else."""
    if isinstance(constant, bool):
        return frozenset((bool,))
    return frozenset((str,)) if isinstance(constant, str) else _NUMBERS


def _compare(node: Compare) -> Predicate:
    name, compare, constant = node.signal, _OPERATORS[node.op], node.value
    types = _types(constant) if node.op in ("eq", "ne") else _NUMBERS & _types(constant)
    if types != _NUMBERS:
        return lambda s: compare(v, constant) if type(v := s.get(name)) in types else None

    # Whoever passes signals that weren't normalised may have endless ones among them: these less themselves are no 0.
    def ask(signals: Mapping[str, Any]) -> bool | None:
        value: Any = signals.get(name)
        return compare(value, constant) if type(value) in types and value - value == 0 else None

    return ask


def _between(node: Between) -> Predicate:
    name, low, high = node.signal, node.low, node.high

    def ask(signals: Mapping[str, Any]) -> bool | None:
        value = signals.get(name)
        return low <= value <= high if type(value) in _NUMBERS else None  # type: ignore[operator]

    return ask


def _one_of(node: OneOf) -> Predicate:
    name = node.signal
    among: dict[type, list[Scalar]] = {}
    for constant in node.values:
        for kind in _types(constant):
            among.setdefault(kind, []).append(constant)

    def ask(signals: Mapping[str, Any]) -> bool | None:
        value = signals.get(name)
        alike = among.get(type(value))
        return None if alike is None else value in alike

    return ask
