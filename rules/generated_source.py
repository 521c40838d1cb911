"""The source of generated functions, from the typed tree alone.

Constants stand in it by `repr` or by a bound name, so nothing that a playbook says is ever code. Every signal is
fetched and checked for its type once per call; groups stop at the first line that decides them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from rules.counting import EventIndex, counted
from rules.effort import effort
from rules.instants import span
from rules.likeness import without_places
from rules.normalise import instant_of, normalise_untyped
from rules.past import Past
from schemas.condition import (
    Age,
    AllOf,
    AnyOf,
    Between,
    Change,
    Compare,
    Condition,
    Contains,
    Crossing,
    EventCount,
    NoneOf,
    OneOf,
    Presence,
    Scalar,
)

_SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
# Python's parser bounds how long a chain of conditionals and how deep a nest of brackets may be.
LONGEST_CHAIN = 40
_DEEPEST_NEST = 12


class Source:
    """The source of one generated function, and the names bound for it.

    `source` says what its argument is: `facts`, or the `properties` of an event (then `now` is the second
    argument).
    """

    def __init__(self, source: str, *, share: bool = False) -> None:
        self.source = source
        self.share = share
        self.bound: dict[str, Any] = {
            "NUMBERS": frozenset((int, float)),
            "CONTAINERS": frozenset((str, tuple)),
            "elapsed": _elapsed,
            "ZERO": timedelta(),
            "UNSET": object(),
            "NAN": float("nan"),
        }
        self.fetched: dict[str, str] = {}
        self.typed: dict[tuple[str, str], str] = {}
        self.preparation: list[str] = []
        self.hoisted: list[str] = []
        self.leaves: dict[str, str] = {}
        self.pasts: dict[str, str] = {}
        # What is worked out at first use: not UNSET any more from then on.
        self.unset: list[str] = []
        self.names = 0

    def finish(self, body: Sequence[str], *more: str) -> Any:
        """Compile the function with `body` as its last lines and `more` arguments, and return it."""
        start = (
            "get = facts.signals.get; now = facts.now" if self.source == "facts" else "get = properties.get"
        )
        arguments = ", ".join(["facts" if self.source == "facts" else "properties, now", *more])
        unset = [" = ".join([*self.unset, "UNSET"])] if self.unset else []
        lines = [start, *unset, *self.preparation, *self.hoisted, *body]
        text = f"def generated({arguments}):\n" + "\n".join(f"    {line}" for line in lines)
        # The text holds only what this module wrote and the repr of constants.
        exec(compile(text, "<generated condition>", "exec"), self.bound)  # noqa: S102
        return self.bound["generated"]

    def take_hoisted(self) -> list[str]:
        """The assignments that must run before the expression made last."""
        taken, self.hoisted = self.hoisted, []
        return taken

    def expression(self, node: Condition, depth: int = 0) -> str:
        """An expression for `node`'s truth; what it needs first goes to `preparation` or `hoisted`."""
        match node:
            case AllOf():
                return self.chain(node.items, "False", "True", depth)
            case AnyOf():
                return self.chain(node.items, "True", "False", depth)
            case NoneOf():
                return self.chain(node.items, "True", "False", depth, negate=True)
            case EventCount():
                return self.shared(node, lambda: self.event_count(node))
            case Crossing():
                return self.shared(node, lambda: self.series(node, "crossed", node.for_seconds))
            case Change():
                return self.shared(node, lambda: self.series(node, "changed", node.within_seconds))
            case _:
                return self.signal_leaf(node)

    def chain(
        self, items: Sequence[Condition], decides: str, otherwise: str, depth: int, *, negate: bool = False
    ) -> str:
        """Kleene's `all` (decided by False) or `any` (decided by True) over `items`, cheap ones first, stopping
        early.
        """
        items = sorted(items, key=effort)
        if len(items) > LONGEST_CHAIN:
            parts = [items[at : at + LONGEST_CHAIN] for at in range(0, len(items), LONGEST_CHAIN)]
            terms = [self.chain(part, decides, otherwise, depth + 1) for part in parts]
            while len(terms) > LONGEST_CHAIN:
                parts_of_terms = [
                    terms[at : at + LONGEST_CHAIN] for at in range(0, len(terms), LONGEST_CHAIN)
                ]
                terms = [self.join(part, decides, otherwise) for part in parts_of_terms]
        else:
            terms = [self.expression(item, depth + 1) for item in items]
        if negate:
            expression = self.join(terms, decides, otherwise, otherwise, decides)
        else:
            expression = self.join(terms, decides, otherwise)
        if depth and depth % _DEEPEST_NEST == 0:
            name = self.name("h")
            self.hoisted.append(f"{name} = {expression}")
            return name
        return expression

    def join(
        self,
        terms: Sequence[str],
        decides: str,
        otherwise: str,
        decided: str | None = None,
        rest: str | None = None,
    ) -> str:
        """One conditional expression over `terms`: `decided` at the first that is `decides`, else unknown or
        `rest`.
        """
        decided, rest = decided or decides, rest or otherwise
        if not terms:
            return rest
        names = [self.name("t") for _ in terms]
        tests = "".join(
            f"{decided} if ({name} := {term}) is {decides} else "
            for name, term in zip(names, terms, strict=True)
        )
        unknown = " or ".join(f"{name} is None" for name in names)
        return f"({tests}None if {unknown} else {rest})"

    def signal_leaf(self, node: Compare | OneOf | Between | Age | Presence | Contains) -> str:
        match node:
            case Compare():
                kind = kind_of(node.value)
                if kind != "number" and node.op not in ("eq", "ne"):
                    return "None"
                value = self.value_of(node.signal, kind)
                return (
                    f"(None if {value} is None else {value} {_SYMBOLS[node.op]} {self.constant(node.value)})"
                )
            case OneOf():
                return self.one_of(node)
            case Between():
                value = self.value_of(node.signal, "number")
                low, high = self.constant(node.low), self.constant(node.high)
                return f"(None if {value} is None else {low} <= {value} <= {high})"
            case Age():
                past = self.value_of(node.signal, "past")
                return f"(None if {past} is None else {self.aged(node, past)})"
            case Presence():
                return f"({self.fetch(node.signal)} {'is not' if node.present else 'is'} None)"
            case Contains():
                value = self.value_of(node.signal, "container")
                return f"(None if {value} is None else {self.constant(node.item)} in {value})"

    def aged(self, node: Age, past: str) -> str:
        """The test of a time that there is, `past` being its distance."""
        length = self.bind(span(node.seconds))
        return {
            "older_than": f"{past} > {length}",
            "overdue_by": f"{past} > {length}",
            "within": f"ZERO <= {past} <= {length}",
            "due_within": f"ZERO <= -{past} <= {length}",
        }[node.op]

    def one_of(self, node: OneOf) -> str:
        """The constants of each type, looked up in the value of that type; unknown if the value has none of
        them.
        """
        expression = "None"
        for kind in ("bool", "text", "number"):
            constants = frozenset(constant for constant in node.values if kind_of(constant) == kind)
            if constants:
                value = self.value_of(node.signal, kind)
                expression = f"({value} in {self.bind(constants)} if {value} is not None else {expression})"
        return expression

    def event_count(self, node: EventCount) -> str:
        if self.source != "facts":
            return repr(node.at_least <= 0)  # Inside a `where` there are no events to count.
        where = None
        if node.where is not None:
            function = Source("properties")
            answer = function.expression(node.where)
            where = self.bind(function.finish([f"return {answer}"]))
        length = None if node.within_seconds is None else self.bind(span(node.within_seconds))
        if "events" not in self.bound:
            self.bound["events"] = EventIndex
            self.preparation.append("of = events(facts.events).of")
        self.bound["counted"] = counted
        return f"counted(of({node.name!r}), now, {length}, {where}, {node.at_least!r})"

    def series(self, node: Crossing | Change, question: str, seconds: int) -> str:
        if self.source != "facts":
            return "None"  # A property of an event has no past.
        self.bound["Past"] = Past
        if node.signal not in self.pasts:
            name = self.pasts[node.signal] = self.name("p")
            self.unset.append(name)
        name, value = self.pasts[node.signal], self.value_of(node.signal, "number")
        past = f"({name} if {name} is not UNSET else ({name} := Past({node.signal!r}, facts)))"
        asked = f"{name}.{question}({self.bind(node)}, {self.bind(span(seconds))})"
        if isinstance(node, Crossing):
            # Most aren't beyond the level now, and that is seen at once.
            asked = f"({value} {'<' if node.direction == 'below' else '>'} {self.constant(node.level)} and {asked})"
        return f"(None if {value} is None or not {past}.points else {asked})"

    def shared(self, node: Condition, make: Callable[[], str]) -> str:
        """The expression of a costly leaf: where conditions are compiled together, computed at first use
        only.
        """
        if not self.share:
            return make()
        key = without_places(node)
        if key not in self.leaves:
            name = self.name("e")
            self.unset.append(name)
            self.leaves[key] = f"({name} if {name} is not UNSET else ({name} := {make()}))"
        return self.leaves[key]

    def value_of(self, signal: str, kind: str) -> str:
        """The variable that holds `signal` if it is of `kind`, else None; `past` is a time's distance."""
        key = (signal, kind)
        if key not in self.typed:
            raw, name = self.fetch(signal), self.name("v")
            test = {
                "number": f"{name} = {raw} if {raw}.__class__ in NUMBERS else None",
                "text": f"{name} = {raw} if {raw}.__class__ is str else None",
                "bool": f"{name} = {raw} if {raw}.__class__ is bool else None",
                "float": f"{name} = {raw} if {raw}.__class__ in NUMBERS else NAN",
                "word": f"{name} = {raw} if {raw}.__class__ is str else UNSET",
                "container": f"{name} = {raw} if {raw}.__class__ in CONTAINERS else None",
                "past": f"{name} = elapsed({raw}, now)",
            }[kind]
            self.preparation.append(test)
            self.typed[key] = name
        return self.typed[key]

    def fetch(self, signal: str) -> str:
        """The variable that holds `signal`, whatever it is."""
        if signal not in self.fetched:
            name = self.fetched[signal] = self.name("s")
            got = f"get({signal!r})"
            if self.source == "properties":
                self.bound["normalise"] = normalise_untyped
                got = f"normalise({got})"
            self.preparation.append(f"{name} = {got}")
        return self.fetched[signal]

    def constant(self, value: Scalar) -> str:
        """`value` as it stands in the source."""
        return self.bind(value) if isinstance(value, float) else repr(value)

    def bind(self, value: Any) -> str:
        """A name for `value` in the source."""
        name = self.name("K")
        self.bound[name] = value
        return name

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"


def _elapsed(value: Any, now: datetime) -> timedelta | None:
    instant = instant_of(value)
    return None if instant is None else now - instant


def kind_of(constant: Scalar) -> str:
    """`bool`, `text` or `number`: what a value must be to be compared with it."""
    if isinstance(constant, bool):
        return "bool"
    return "text" if isinstance(constant, str) else "number"
