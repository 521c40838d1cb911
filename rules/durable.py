"""Conditions on durable_rules, behind the guard rails without which it answers wrongly, hangs or crashes.

An optional extra (`pip install durable-rules==2.0.28`, Python before 3.13): docs/decisions says why it isn't the
default. What is kept out of its way: texts, types, missing values and negation (`rules.durable_terms`); more rules
in a set than it can hold; customers' ids as state ids; more than one thread; its host, timers and actions. A fact
is asserted, what fired is drained, and the fact retracted whatever happens. Where it gives up, or a rule is too
large for it, the generated code answers, and `fallbacks` counts it.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from json import dumps
from threading import Lock
from types import ModuleType

from rules.durable_terms import (
    Feature,
    Literally,
    Term,
    Together,
    Vocabulary,
    count_groups,
    literals,
    to_json,
    wide,
)
from rules.generated import Predicate, compile_condition
from rules.kleene import Truth
from schemas.condition import Condition
from schemas.errors import SettingError
from schemas.facts import Facts

INSTALL = "pip install durable-rules==2.0.28"

# Of one set of rules; beyond these the library hangs, crashes or refuses (measured).
_MOST_RULES, _MOST_LITERALS, _MOST_GROUPS, _MOST_KEYS = 100, 400, 120, 200
# Of one rule.
_WIDEST_RULE, _MOST_GROUPS_OF_A_RULE = 60, 12
_SID = '"sid":"1","id":"1"'
_CANARY = "canary"
_RESERVED = ("sid", "id", "$s", _CANARY)
_OK, _NOT_HANDLED = 0, 1
_TOO_MANY_PENDING = "303"


def load_library() -> ModuleType:
    """The C module that durable_rules' own classes drive. Raises SettingError saying how to install it."""
    try:
        import durable_rules_engine
    except ImportError as error:
        raise SettingError(
            f"The engine durable_rules isn't installed ({error}).",
            remedy=f"Run `{INSTALL}` with Python 3.11 or 3.12 and a C compiler (it has no wheels and doesn't load "
            "on 3.13), or use another engine: all answer alike.",
        ) from error
    return durable_rules_engine  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Rule:
    """One condition: its term, and the generated code that answers where durable_rules can't."""

    name: str
    term: Together | Literally
    predicate: Predicate


class DurableMatcher:
    """Conditions by name, to be matched one customer at a time; safe to be shared by threads."""

    def __init__(self, named: Mapping[str, Condition]) -> None:
        library = load_library()
        self.fallbacks: Counter[str] = Counter()
        self._lock = Lock()
        self._vocabulary = Vocabulary()
        self._settled: dict[str, Truth] = {}
        self._too_large: dict[str, Predicate] = {}
        fitting: list[_Rule] = []
        for name in sorted(named):
            term, predicate = self._vocabulary.term(named[name]), compile_condition(named[name])
            if isinstance(term, bool):
                self._settled[name] = term
            elif _fits(term):
                fitting.append(_Rule(name, term, predicate))
            else:
                self._too_large[name] = predicate
        self._shards = [_Shard(library, rules) for rules in _share_out(fitting)]
        self._features = {feature for shard in self._shards for feature, _ in shard.keys}

    def __call__(self, facts: Facts) -> tuple[list[str], list[str]]:
        """The names of the conditions that hold, and of those unknown, both sorted."""
        with self._lock:
            answers: dict[str, Truth] = dict(self._settled)
            for name, predicate in self._too_large.items():
                self.fallbacks["too large"] += 1
                answers[name] = predicate(facts)
            values = self._vocabulary.values(self._features, facts)
            for shard in self._shards:
                answers |= self._ask(shard, values, facts)
        true = sorted(name for name, answer in answers.items() if answer)
        return true, sorted(name for name, answer in answers.items() if answer is None)

    def _ask(
        self, shard: _Shard, values: Mapping[Feature, int | float | None], facts: Facts
    ) -> dict[str, Truth]:
        """What the shard's rules come to: what is true, and where anything is unknown, what is possible."""
        try:
            true = possible = shard.fire(values, everything_possible=False)
            if any(values[feature] is None for feature, _ in shard.keys):
                possible = shard.fire(values, everything_possible=True)
        except TooManyPendingError:
            self.fallbacks["too many pending"] += 1
            return {rule.name: rule.predicate(facts) for rule in shard.rules}
        return {
            rule.name: True if index in true else None
            for index, rule in enumerate(shard.rules)
            if index in possible
        }


class TooManyPendingError(Exception):
    """More first conditions are true at once than the library can hold (its error 303)."""


class _Shard:
    """One set of rules, with one state of its own."""

    def __init__(self, library: ModuleType, rules: Sequence[_Rule]) -> None:
        self.rules = rules
        keys = {literal.key for rule in rules for literal in literals(rule.term)}
        self.keys = dict(zip(sorted(keys, key=repr), names_apart(len(keys)), strict=True))
        definition = {
            f"r{index}": {"all": [{"m": to_json(rule.term, self.keys.__getitem__)}]}
            for index, rule in enumerate(rules)
        }
        definition[_CANARY] = {"all": [{"m": {_CANARY: 1}}]}
        self._library = library
        self._handle = library.create_ruleset("triggers", _encode(definition))
        # Fires once before it matters: allocates the state, without which it must not be deleted again.
        if self._drain(f'{{{_SID},"{_CANARY}":1}}') != [_CANARY]:
            raise RuntimeError("durable_rules doesn't fire; this build of it can't be used")
        weakref.finalize(self, _delete, library, self._handle)

    def fire(self, values: Mapping[Feature, int | float | None], *, everything_possible: bool) -> set[int]:
        """The places of the rules that fire; unknown values are nowhere, or everywhere."""
        told = []
        for (feature, aspect), name in self.keys.items():
            value = values[feature]
            if value is None and everything_possible:
                value = wide(aspect)
            if value is not None:
                told.append(f'"{name}":{_number(value)}')
        if not told:
            return set()
        return {int(name[1:]) for name in self._drain(f"{{{_SID},{','.join(told)}}}")}

    def _drain(self, fact: str) -> list[str]:
        """Assert, collect the names of what fires (some repeatedly), retract."""
        library, handle, names = self._library, self._handle, []
        try:
            code, state = library.assert_fact(handle, fact)
            if code == _NOT_HANDLED:
                return []
            if code != _OK:
                raise RuntimeError(f"durable_rules took a fact for another one (code {code})")
            result = library.start_action_for_state(handle, state)
            message = result[1] if result else None
            while message:
                # {"r12":{"m":{...}}}: the fact itself is of no interest.
                names.append(message[2 : message.index('"', 2)])
                message = library.complete_and_start_action(handle, state)
        except library.error as error:
            if _TOO_MANY_PENDING in str(error):
                raise TooManyPendingError from error
            raise
        else:
            return names
        finally:
            # A fact left behind would answer for the next customer.
            with suppress(library.error):
                library.retract_fact(handle, fact)


def compile_durable(named: Mapping[str, Condition]) -> DurableMatcher:
    """As `rules.generated.compile_many`, on durable_rules. Raises SettingError where it isn't installed."""
    return DurableMatcher(named)


def fnv1a(name: str) -> int:
    """The 32 bits by which durable_rules tells names apart (it never compares the names themselves)."""
    digest = 2_166_136_261
    for byte in name.encode("ascii"):
        digest = ((digest ^ byte) * 16_777_619) & 0xFFFFFFFF
    return digest


def names_apart(count: int) -> list[str]:
    """`count` names that no two of collide, nor with those that the library or this module uses."""
    taken = {fnv1a(name) for name in _RESERVED}
    names: list[str] = []
    number = 0
    while len(names) < count:
        name = f"k{number}"
        number += 1
        if fnv1a(name) not in taken:
            taken.add(fnv1a(name))
            names.append(name)
    return names


def _fits(term: Term) -> bool:
    width = sum(1 for _ in literals(term))
    return width <= _WIDEST_RULE and count_groups(term) <= _MOST_GROUPS_OF_A_RULE


def _share_out(rules: Iterable[_Rule]) -> list[list[_Rule]]:
    """The rules in order, in as few sets as the limits allow."""
    shards: list[list[_Rule]] = []
    width = groups = 0
    keys: set[object] = set()
    for rule in rules:
        found = list(literals(rule.term))
        more = count_groups(rule.term)
        mine = {literal.key for literal in found}
        full = not shards or (
            len(shards[-1]) >= _MOST_RULES
            or width + len(found) > _MOST_LITERALS
            or groups + more > _MOST_GROUPS
            or len(keys | mine) > _MOST_KEYS
        )
        if full:
            shards.append([])
            width, groups, keys = 0, 0, set()
        shards[-1].append(rule)
        width, groups, keys = width + len(found), groups + more, keys | mine
    return shards


def _number(value: int | float) -> str:
    """A number as the library's parser takes it: it refuses an exponent without a point before it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _encode(definition: object) -> str:
    """JSON with numbers that the library can read."""
    if isinstance(definition, dict):
        return "{" + ",".join(f"{dumps(key)}:{_encode(value)}" for key, value in definition.items()) + "}"
    if isinstance(definition, list):
        return "[" + ",".join(map(_encode, definition)) + "]"
    return _number(definition) if isinstance(definition, int | float) else dumps(definition)


def _delete(library: ModuleType, handle: int) -> None:
    library.delete_state(handle, "1")
    library.delete_ruleset(handle)
