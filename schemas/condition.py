"""The typed tree that every condition of the language compiles to.

One tree serves every evaluator (`rules`). Nodes carry the path and line they were written at, so that an
explanation can point into the file. Meaning: design of the language, section Conditions; logic is Kleene's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.frozen import Frozen

# What a signal can hold once normalised. Times are aware and UTC.
Scalar = bool | int | float | str
Value = bool | int | float | str | datetime | date | tuple[str, ...]


class Node(Frozen):
    """Where a condition line was written: `path` as in `enter.when.plan`, `line` from 1 (0: not from a file)."""

    path: str = ""
    line: int = 0


class Compare(Node):
    """`signal` compared with `value`: a signal of the catalogue, or a property inside an event's `where`."""

    kind: Literal["compare"] = "compare"
    signal: str
    op: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    value: Scalar


class OneOf(Node):
    """`signal` equals one of `values`."""

    kind: Literal["one_of"] = "one_of"
    signal: str
    values: tuple[Scalar, ...]


class Between(Node):
    """`low <= signal <= high`."""

    kind: Literal["between"] = "between"
    signal: str
    low: int | float
    high: int | float


class Age(Node):
    """How far the time or date in `signal` lies from `now`, in seconds.

    older_than: more than; within: at most, and not in the future; due_within: at most ahead, and not past;
    overdue_by: more than `seconds` past.
    """

    kind: Literal["age"] = "age"
    signal: str
    op: Literal["older_than", "within", "due_within", "overdue_by"]
    seconds: int


class Presence(Node):
    """`signal` has a value (`present`) or has none."""

    kind: Literal["presence"] = "presence"
    signal: str
    present: bool


class Contains(Node):
    """The list in `signal` has `item`, or the text in it contains it."""

    kind: Literal["contains"] = "contains"
    signal: str
    item: str


class Crossing(Node):
    """`signal` crossed `level` and has stayed beyond it for `for_seconds`; re-armed beyond `rearm` in between."""

    kind: Literal["crossing"] = "crossing"
    signal: str
    direction: Literal["below", "above"]
    level: int | float
    for_seconds: int = 0
    rearm: int | float | None = None


class Change(Node):
    """`signal` is now at least `by` below (drop) or above (rise) the extreme of the last `within_seconds`."""

    kind: Literal["change"] = "change"
    signal: str
    direction: Literal["drop", "rise"]
    by: int | float
    within_seconds: int


class EventCount(Node):
    """At least `at_least` events `name` in the window that satisfy `where` (conditions on properties)."""

    kind: Literal["event_count"] = "event_count"
    name: str
    at_least: int = 1
    within_seconds: int | None = None
    where: AllOf | None = None


class AllOf(Node):
    """Every item holds."""

    kind: Literal["all"] = "all"
    items: tuple[Condition, ...]


class AnyOf(Node):
    """At least one item holds."""

    kind: Literal["any"] = "any"
    items: tuple[Condition, ...]


class NoneOf(Node):
    """No item holds."""

    kind: Literal["none"] = "none"
    items: tuple[Condition, ...]


Leaf = Compare | OneOf | Between | Age | Presence | Contains | Crossing | Change | EventCount
Group = AllOf | AnyOf | NoneOf
Condition = Annotated[Leaf | Group, Field(discriminator="kind")]

for _model in (EventCount, AllOf, AnyOf, NoneOf):
    _model.model_rebuild()


def leaves(conditions: Iterable[Condition]) -> Iterator[Leaf]:
    """Every line of these conditions, in the order written; an event's `where` is part of its line."""
    for node in conditions:
        if isinstance(node, Group):
            yield from leaves(node.items)
        else:
            yield node
