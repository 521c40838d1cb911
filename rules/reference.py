"""The reference evaluator: says not only whether a condition holds, but why, line by line, and until when.

It looks at every line and never stops early. The generated code (`rules.generated`) must give the same
answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from rules.ages import age_candidates, next_unit
from rules.instants import TICK, earliest, later, span
from rules.kleene import Truth, conjunction, disjunction, negation
from rules.normalise import WrongType, instant_of, normalise_untyped
from rules.series import change_changes_at, changed, crossed, crossing_changes_at, is_number
from rules.wording import expectation
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
    Group,
    NoneOf,
    OneOf,
    Presence,
    Scalar,
    Value,
)
from schemas.facts import Event, Facts

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
}
_ZERO = timedelta()


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a condition: what it expected, what it found, and its own result (groups aren't applied to
    it).

    `actual` is the value as given, None where it is missing, and the count where the line counts events.
    """

    path: str
    line: int
    expected: str
    actual: Any
    result: Truth

    def to_json(self) -> dict[str, Any]:
        """The object that `explain` prints."""
        return {
            "path": self.path,
            "line": self.line,
            "expected": self.expected,
            "actual": _plain(self.actual),
            "result": truth_word(self.result),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A condition's answer, the reason for it, and the next instant after `now` at which time alone may
    change it.
    """

    result: Truth
    checks: tuple[Check, ...]
    changes_at: datetime | None


class _Finding(NamedTuple):
    result: Truth
    actual: Any
    changes_at: datetime | None


def explain(condition: Condition, facts: Facts) -> Explanation:
    """Evaluate every line of `condition` against `facts`.

    `changes_at` is the earliest over all lines, so the total may come out the same; before it, it can't
    change unless the facts do.
    """
    checks: list[Check] = []
    changes: list[datetime | None] = []
    result = _evaluate(condition, facts, checks, changes)
    return Explanation(result, tuple(checks), earliest(changes))


def truth_word(result: Truth) -> str:
    """`true`, `false` or `unknown`."""
    return "unknown" if result is None else str(result).lower()


def _evaluate(node: Condition, facts: Facts, checks: list[Check], changes: list[datetime | None]) -> Truth:
    match node:
        case AllOf():
            return conjunction([_evaluate(item, facts, checks, changes) for item in node.items])
        case AnyOf():
            return disjunction([_evaluate(item, facts, checks, changes) for item in node.items])
        case NoneOf():
            return negation(disjunction([_evaluate(item, facts, checks, changes) for item in node.items]))
    finding = _find(node, facts)
    checks.append(Check(node.path, node.line, expectation(node), finding.actual, finding.result))
    changes.append(finding.changes_at)
    return finding.result


def _find(node: Condition, facts: Facts) -> _Finding:
    if isinstance(node, EventCount):
        return _count(node, facts)
    if isinstance(node, Group):
        raise TypeError("a group has no finding of its own")
    value = facts.signals.get(node.signal)
    actual = value.raw if isinstance(value, WrongType) else value
    match node:
        case Compare() | OneOf() | Between():
            return _Finding(_compare(node, value), actual, _comparison_changes_at(node, facts))
        case Age():
            return _Finding(_aged(node, value, facts.now), actual, _age_changes_at(node, value, facts.now))
        case Presence():
            return _Finding((value is not None) is node.present, actual, None)
        case Contains():
            found = node.item in value if isinstance(value, str | tuple) else None
            return _Finding(found, actual, None)
        case Crossing():
            changes_at = earliest([crossing_changes_at(node, facts), next_unit(node.signal, facts)])
            return _Finding(crossed(node, facts), actual, changes_at)
        case Change():
            changes_at = earliest([change_changes_at(node, facts), next_unit(node.signal, facts)])
            return _Finding(changed(node, facts), actual, changes_at)


def _compare(node: Compare | OneOf | Between, value: Value | None) -> Truth:
    match node:
        case Compare():
            if not _alike(value, node.value) or (node.op not in ("eq", "ne") and not is_number(value)):
                return None
            return _OPERATORS[node.op](value, node.value)
        case OneOf():
            alike = [constant for constant in node.values if _alike(value, constant)]
            return value in alike if alike else None
        case Between():
            return node.low <= value <= node.high if is_number(value) else None


def _alike(value: Value | None, constant: Scalar) -> bool:
    """Numbers compare with numbers, text with text, booleans with booleans, and nothing else."""
    if isinstance(constant, bool):
        return isinstance(value, bool)
    return isinstance(value, str) if isinstance(constant, str) else is_number(value)


def _comparison_changes_at(node: Compare | OneOf | Between, facts: Facts) -> datetime | None:
    value = facts.signals.get(node.signal)
    if node.signal not in facts.ages or not is_number(value):
        return None
    result = _compare(node, value)
    return next(
        (at for age, at in age_candidates(node, node.signal, facts) if _compare(node, age) != result), None
    )


def _aged(node: Age, value: Value | None, now: datetime) -> Truth:
    instant = instant_of(value)
    if instant is None:
        return None
    past, length = now - instant, span(node.seconds)
    match node.op:
        case "older_than" | "overdue_by":
            return past > length
        case "within":
            return _ZERO <= past <= length
        case "due_within":
            return _ZERO <= -past <= length


def _age_changes_at(node: Age, value: Value | None, now: datetime) -> datetime | None:
    instant = instant_of(value)
    if instant is None:
        return None
    length = span(node.seconds)
    match node.op:
        case "older_than" | "overdue_by":
            moments = [later(instant, length + TICK)]
        case "within":
            moments = [instant, later(instant, length + TICK)]
        case "due_within":
            moments = [later(instant, -length), later(instant, TICK)]
    return earliest(moment for moment in moments if moment is not None and moment > now)


def _count(node: EventCount, facts: Facts) -> _Finding:
    """Count the events of the window; one whose `where` can't be decided may or may not count."""
    certain: list[datetime] = []
    possible: list[datetime] = []
    changes: list[datetime | None] = []
    length = None if node.within_seconds is None else span(node.within_seconds)
    for event in facts.events:
        if event.name != node.name or (length is not None and facts.now - event.at > length):
            continue
        if event.at > facts.now:
            changes.append(event.at)
            continue
        matches, changes_at = _where(node.where, event, facts.now)
        changes.append(changes_at)
        if matches is not False:
            possible.append(event.at)
        if matches:
            certain.append(event.at)
    result = True if len(certain) >= node.at_least else None if len(possible) >= node.at_least else False
    if length is not None and node.at_least > 0 and result is not False:
        # The answer stands until so many have left the window that the newest `at_least` are no longer in it.
        deciding = sorted(certain if result else possible)[-node.at_least]
        changes.append(later(deciding, length + TICK))
    return _Finding(result, len(certain), earliest(changes))


def _where(where: AllOf | None, event: Event, now: datetime) -> tuple[Truth, datetime | None]:
    if where is None:
        return True, None
    explanation = explain(where, facts_of_event(event, now))
    return explanation.result, explanation.changes_at


def facts_of_event(event: Event, now: datetime) -> Facts:
    """An event's properties as the signals of facts, which is how a `where` looks at them."""
    typed = {name: normalise_untyped(raw) for name, raw in event.properties.items()}
    return Facts("", now, {name: value for name, value in typed.items() if value is not None})


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: times as ISO 8601 in UTC, what isn't finite as text."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
