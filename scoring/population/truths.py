"""Conditions of a health model over columns; the answers are those of `scoring.health_condition`, row by row.

Answers are int8: -1 false, 0 unknown, 1 true, so that Kleene's `all` is the minimum and `any` the maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import numpy as np
import numpy.typing as npt

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
from schemas.signal_value import LARGEST_NUMBER
from scoring.churning.columns import Flags
from scoring.population.known import Known

Truths = npt.NDArray[np.int8]

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge,
}  # fmt: skip


def judge(node: Condition, known: Known) -> Truths:
    """What the condition comes to in every row. Raises TypeError for a node that asks for more than signals."""
    match node:
        case AllOf():
            return _least((judge(item, known) for item in node.items), known.n)
        case AnyOf():
            return -_least((-judge(item, known) for item in node.items), known.n)
        case NoneOf():
            return _least((-judge(item, known) for item in node.items), known.n)
        case Compare():
            return _compare(node, known)
        case OneOf():
            return _equal_any(node.signal, node.values, known)
        case Between():
            found = known.numbers(node.signal)
            if found is None:
                return _unknown(known.n)
            values, valid = found
            return _answered((values >= _exact(node.low)) & (values <= _exact(node.high)), valid)
        case Presence():
            present = known.present(node.signal)
            return _signed(present if node.present else ~present)
        case Contains():
            return _contains(node, known)
    raise TypeError(f"a health model can't ask for {node.kind}")


def _least(answers: Iterable[Truths], n: int) -> Truths:
    truths = np.ones(n, np.int8)
    for answer in answers:
        np.minimum(truths, answer, out=truths)
    return truths


def _unknown(n: int) -> Truths:
    return np.zeros(n, np.int8)


def _signed(hits: Flags) -> Truths:
    return (hits.view(np.int8) << 1) - np.int8(1)


def _answered(hits: Flags, valid: Flags) -> Truths:
    return _signed(hits) * valid.view(np.int8)


def _exact(number: float) -> float:
    """A constant as the float that compares with every value as it does: values lie within 2^53."""
    if isinstance(number, int) and not -LARGEST_NUMBER <= number <= LARGEST_NUMBER:
        return float("inf" if number > 0 else "-inf")
    return float(number)


def _compare(node: Compare, known: Known) -> Truths:
    if node.op in ("eq", "ne"):
        truths = _equal_any(node.signal, (node.value,), known)
        return truths if node.op == "eq" else -truths
    found = known.numbers(node.signal)
    if found is None or isinstance(node.value, bool | str):
        return _unknown(known.n)
    values, valid = found
    return _answered(_OPERATORS[node.op](values, _exact(node.value)), valid)


def _equal_any(name: str, constants: Iterable[Scalar], known: Known) -> Truths:
    """Whether each row equals one of the constants of its own type; where there are none, it can't be told."""
    flags = [constant for constant in constants if isinstance(constant, bool)]
    texts = [constant for constant in constants if isinstance(constant, str)]
    numbers = [constant for constant in constants if not isinstance(constant, bool | str)]
    column = known.texts(name)
    if texts and column is not None:
        places = [place for place, level in enumerate(column.levels) if level in texts]
        return _answered(np.isin(column.codes, places), column.codes >= 0)
    found = known.flags(name) if flags else None
    if found is None and numbers:
        found = known.numbers(name)
    if found is None:
        return _unknown(known.n)
    values, valid = found
    wanted = [_exact(constant) for constant in (flags if name in known.bools else numbers)]
    return _answered(np.isin(values, wanted), valid)


def _contains(node: Contains, known: Known) -> Truths:
    column = known.texts(node.signal)
    if column is not None:
        places = [place for place, level in enumerate(column.levels) if node.item in level]
        return _answered(np.isin(column.codes, places), column.codes >= 0)
    listed = known.columns.lists.get(node.signal)
    if listed is None:
        return _unknown(known.n)
    return np.array([0 if words is None else 1 if node.item in words else -1 for words in listed], np.int8)
