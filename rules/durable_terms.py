"""Conditions as durable_rules can take them: positive terms over numbers, and facts as the numbers in them.

durable_rules knows two answers, no types, and no safe comparison of texts; the language has three answers. So a
value stands in a fact as an interval: `lo` and `hi` (both the value itself), `eq` and `ne`. Texts are numbers of
their own, one for each text that a rule names and 0 for every other; what can't be said so (an age, a crossing, a
count) is asked of the generated code first and stands there as 0 or 1. A value that is missing or of another type
has no key in the fact that is asked for *true*, so no term about it matches; in the fact that is asked for
*possible* its interval is everything, and every term about it matches. One set of rules answers both, and
unknown is what is possible and not true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rules.generated import Predicate, compile_condition
from rules.likeness import without_places
from rules.normalise import LARGEST_NUMBER
from rules.series import is_number
from schemas.condition import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    NoneOf,
    OneOf,
    Presence,
    Scalar,
)
from schemas.facts import Facts

# Beyond every value (2^53 at most): what everything is told as, and where constants end that lie beyond.
_NOWHERE = LARGEST_NUMBER + 2
_CONSTANT = LARGEST_NUMBER + 4
_EVERYWHERE = LARGEST_NUMBER + 8
_WIDE: Mapping[str, int] = {"lo": -_EVERYWHERE, "hi": _EVERYWHERE, "eq": _NOWHERE, "ne": _NOWHERE}
_OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}
_SIGNS = {"lt": "$lt", "le": "$lte", "gt": "$gt", "ge": "$gte", "ne": "$neq"}

Kind = Literal["number", "text", "bool", "presence", "asked"]
Feature = tuple[str, Kind]


@dataclass(frozen=True)
class Literally:
    """One comparison: aspect `lo`, `hi`, `eq` or `ne` of a feature with a number."""

    feature: Feature
    aspect: str
    op: str
    number: int | float

    @property
    def key(self) -> tuple[Feature, str]:
        """What of a fact it looks at."""
        return self.feature, self.aspect


@dataclass(frozen=True)
class Together:
    """All (`and`) or any (`or`) of at least two terms."""

    kind: Literal["and", "or"]
    terms: tuple[Term, ...]


# A condition that nothing can change is a plain True or False.
Term = Literally | Together | bool


class Vocabulary:
    """What some conditions have in common: numbers of their texts, and the lines asked of generated code."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.asked: dict[str, Predicate] = {}

    def term(self, node: Condition, holds: bool = True) -> Term:
        """The term that says that `node` holds, or (`holds` false) that it definitely doesn't."""
        match node:
            case AllOf() | AnyOf() | NoneOf():
                each = holds is not isinstance(node, NoneOf)
                conjunction = isinstance(node, AnyOf) is not holds
                return join("and" if conjunction else "or", [self.term(item, each) for item in node.items])
            case Presence():
                return Literally((node.signal, "presence"), "eq", "eq", int(node.present is holds))
            case Compare():
                return self._compare(node.signal, node.op, node.value, holds)
            case Between():
                low, high = _clamped(node.low), _clamped(node.high)
                number: Feature = (node.signal, "number")
                if holds:
                    return join(
                        "and", [Literally(number, "hi", "ge", low), Literally(number, "lo", "le", high)]
                    )
                return join("or", [Literally(number, "lo", "lt", low), Literally(number, "hi", "gt", high)])
            case OneOf() if (
                len({_kind(value) for value in node.values}) == 1 and _kind(node.values[0]) != "bool"
            ):
                return self._one_of(node, holds)
            case _:
                return self._ask(node, holds)

    def values(self, features: Iterable[Feature], facts: Facts) -> dict[Feature, int | float | None]:
        """What each feature is for these facts; None is unknown."""
        return {feature: self._value(feature, facts) for feature in features}

    def _compare(self, signal: str, op: str, value: Scalar, holds: bool) -> Term:
        kind = _kind(value)
        if kind != "number" and op not in ("eq", "ne"):
            return self._ask(Compare(signal=signal, op=op, value=value), holds)
        feature: Feature = (signal, kind)
        op = op if holds else _OPPOSITE[op]
        number = self._number(value)
        if kind == "bool":
            true = (op == "eq") is bool(value)
            return Literally(feature, "hi", "ge", 1) if true else Literally(feature, "lo", "le", 0)
        if op == "eq":
            return join(
                "and", [Literally(feature, "hi", "ge", number), Literally(feature, "lo", "le", number)]
            )
        return Literally(feature, {"lt": "lo", "le": "lo", "ne": "ne"}.get(op, "hi"), op, number)

    def _one_of(self, node: OneOf, holds: bool) -> Term:
        feature: Feature = (node.signal, _kind(node.values[0]))
        numbers = dict.fromkeys(self._number(value) for value in node.values)
        if not holds:
            return join("and", [Literally(feature, "ne", "ne", number) for number in numbers])
        return join("or", [Literally(feature, "eq", "eq", number) for number in (*numbers, _NOWHERE)])

    def _ask(self, node: Condition, holds: bool) -> Term:
        key = without_places(node)
        self.asked.setdefault(key, compile_condition(node))
        return Literally((key, "asked"), "hi", "ge", 1) if holds else Literally((key, "asked"), "lo", "le", 0)

    def _number(self, value: Scalar) -> int | float:
        if isinstance(value, str):
            return self.texts.setdefault(value, len(self.texts) + 1)
        return _clamped(value)

    def _value(self, feature: Feature, facts: Facts) -> int | float | None:
        name, kind = feature
        if kind == "asked":
            truth = self.asked[name](facts)
            return None if truth is None else int(truth)
        value = facts.signals.get(name)
        match kind:
            case "presence":
                return int(value is not None)
            case "number":
                return value if is_number(value) else None
            case "text":
                return self.texts.get(value, 0) if isinstance(value, str) else None
            case "bool":
                return int(value) if isinstance(value, bool) else None


def join(kind: Literal["and", "or"], terms: Iterable[Term]) -> Term:
    """The terms as one, groups within groups of their kind opened up, and what is decided left out."""
    found: dict[Term, None] = {}
    for term in terms:
        if isinstance(term, bool):
            if term is (kind == "or"):
                return term
        elif isinstance(term, Together) and term.kind == kind:
            found |= dict.fromkeys(term.terms)
        else:
            found[term] = None
    if len(found) < 2:
        return next(iter(found), kind == "and")
    return Together(kind, tuple(found))


def literals(term: Term) -> Iterator[Literally]:
    """Every comparison in a term."""
    if isinstance(term, Together):
        for inner in term.terms:
            yield from literals(inner)
    elif isinstance(term, Literally):
        yield term


def count_groups(term: Term) -> int:
    """How many groups a term has, itself included."""
    return 1 + sum(map(count_groups, term.terms)) if isinstance(term, Together) else 0


def to_json(term: Together | Literally, name: Callable[[tuple[Feature, str]], str]) -> dict[str, Any]:
    """A term as durable_rules reads it, its keys named by `name`."""
    if isinstance(term, Together):
        return {
            f"${term.kind}": [to_json(inner, name) for inner in term.terms if not isinstance(inner, bool)]
        }
    plain = {name(term.key): term.number}
    return plain if term.op == "eq" else {_SIGNS[term.op]: plain}


def wide(aspect: str) -> int:
    """What an unknown value's aspect is told as where everything is possible: every term about it matches."""
    return _WIDE[aspect]


def _kind(value: Scalar) -> Kind:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _clamped(number: int | float) -> int | float:
    """A constant that compares with values within 2^53 as `number` does."""
    return max(-_CONSTANT, min(number, _CONSTANT))
