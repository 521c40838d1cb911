"""Conditions in the words of those who read them: `health_score: < 40` is `health score below 40`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rules.wording import expectation
from schemas.catalogue import load_catalogue
from schemas.condition import AllOf, AnyOf, Condition, EventCount, NoneOf

_UNITS = {"m": "minute", "h": "hour", "d": "day", "w": "week"}
_DURATION = re.compile(r"\b(\d+)([mhdw])\b")
_SIGNS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "!=": "isn't"}
_AGES = {
    "older_than": "more than {} ago", "within": "within the last {}", "due_within": "within the next {}",
    "overdue_by": "more than {} overdue",
}  # fmt: skip
_MOVES = {
    "drops_by": "falls by",
    "rises_by": "rises by",
    "crosses_below": "falls below",
    "crosses_above": "rises above",
}
_LABELS = {"csm": "CSM", "ltv": "LTV", "avg": "average"}
# What an expectation looks like in `rules.wording`, and what is made of it; `{value}` ends before what ends a line.
_VALUE = r"[^\s,;()\[\]]+"
_FORMS = (
    r"(?:<=|>=|!=|<|>) {value}", r"is present", r"is missing", r"contains {value}",
    r"(?:older_than|within|due_within|overdue_by) \d+[mhdw]",
    r"crosses_(?:below|above) {value}(?: for \d+[mhdw])?(?: rearm_(?:above|below) {value})?",
    r"(?:drops|rises)_by {value} within \d+[mhdw]", r"\[[^\[\]]*\]", r"-?[\d.]*\d\.\.-?\d[\d.]*",
)  # fmt: skip
_FORM = "|".join(_FORMS).replace("{value}", _VALUE)
_EVENT = r"event at_least (?P<times>\d+) (?P<event>\w+)(?: within (?P<within>\d+[mhdw]))?"
# A word and a colon alone is how people write, too: a plain value is one only after a name that nobody would write.
_RULE = re.compile(
    rf"{_EVENT}|\bevent (?P<named>\w+)|\b(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)*): (?P<form>{_FORM})"
    rf"|\b(?P<long>[a-z][a-z0-9]*(?:_[a-z0-9]+)+): (?P<plain>{_VALUE})"
)
_FOUND = re.compile(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+) is ([^\s;]+)(?=;|$)")
_COUNTED = re.compile(r"\b(\d+) (\w+) counted\b")
_TRUTH = re.compile(r" is (true|false|unknown)(?=;|$)")
_TRUTHS = {"true": " holds", "false": " doesn't hold", "unknown": " can't be told"}


def tell_durations(written: str) -> str:
    """`again after 60d` as `again after 60 days`."""
    return _DURATION.sub(
        lambda found: f"{found[1]} {_UNITS[found[2]]}{'' if found[1] == '1' else 's'}", written
    )


def tell_signal(name: str) -> str:
    """`usage_drop_percent` as `usage drop`: its value is told with its unit."""
    unit = _unit_of(name)
    for suffix, told in (("_percent", "per cent"), ("_days", "days")):
        if unit == told and not name.startswith("days_"):
            name = name.removesuffix(suffix)
    name = re.sub(r"_(\d+)d$", r"_in_\1_days", name)
    return " ".join(_LABELS.get(word, word) for word in name.split("_"))


def tell_value(name: str, value: Any) -> str:
    """A value of a signal with its unit, as in `75 %`, `45 days`, `$49`."""
    if value is None:
        return "not known"
    if isinstance(value, list | tuple):
        return ", ".join(tell_value(name, one) for one in value) or "none"
    text = str(value)
    if text.lower() in ("true", "false"):
        return "yes" if text.lower() == "true" else "no"
    try:
        number = float(text)
    except ValueError:
        return text.replace("_", " ")
    unit = _unit_of(name)
    if unit in ("0 to 1", "share, 0 to 1"):
        return f"{_number(100 * number)}\N{NO-BREAK SPACE}%"
    told = _number(number)
    if unit == "per cent":
        return f"{told}\N{NO-BREAK SPACE}%"
    if unit.startswith("account currency"):
        return f"${told}"
    if unit == "1 to 5":
        return f"{told} of 5"
    if unit in ("days", "minutes") and not name.startswith("days_"):
        return f"{told} {unit if number != 1 else unit[:-1]}"
    return told


def tell_expectation(name: str, expected: str) -> str:
    """What is expected of a signal, as `rules.wording.expectation` writes it: `>= 0.7` as `at least 70 %`."""
    word, _, rest = expected.partition(" ")
    if word in _SIGNS and rest:
        return f"{_SIGNS[word]} {tell_value(name, rest)}"
    if expected in ("is present", "is missing"):
        return "is known" if expected == "is present" else "isn't known"
    if word == "contains":
        return f"contains {rest.replace('_', ' ')}"
    if word in _AGES and _DURATION.fullmatch(rest):
        return _AGES[word].format(tell_durations(rest))
    if word in _MOVES:
        return _tell_move(name, word, rest)
    if expected.startswith("[") and expected.endswith("]"):
        return "is " + " or ".join(tell_value(name, one.strip()) for one in expected[1:-1].split(","))
    low, dots, high = expected.partition("..")
    if dots and high:
        first, last = tell_value(name, low), tell_value(name, high)
        unit = last.partition(" ")[1:]
        return f"from {first.removesuffix(''.join(unit)) if unit[1] else first} to {last}"
    return f"is {tell_value(name, expected)}"


def tell_condition(condition: Condition) -> str:
    """A whole condition in one line, groups in brackets."""
    match condition:
        case AllOf():
            return ", ".join(map(tell_condition, condition.items))
        case AnyOf() | NoneOf():
            return f"{condition.kind} of ({', '.join(map(_tell_inside, condition.items))})"
        case EventCount():
            told = _tell_event(condition.name, condition.at_least, _within(expectation(condition)))
            return told + (f" where {tell_condition(condition.where)}" if condition.where else "")
        case _:
            return f"{tell_signal(condition.signal)} {tell_expectation(condition.signal, expectation(condition))}"


def tell_rule(written: str) -> str:
    """`health_score: <= 40; account_age_days: 7..30` as `health score at most 40; account age from 7 to 30 days`.

    What a person wrote as a reason stays as it is.
    """

    def tell(found: re.Match[str]) -> str:
        if found["event"]:
            return _tell_event(found["event"], int(found["times"]), found["within"])
        if found["named"]:
            return f"event {found['named'].replace('_', ' ')}" if "_" in found["named"] else found[0]
        name, expected = (found["name"], found["form"]) if found["name"] else (found["long"], found["plain"])
        return f"{tell_signal(name)} {tell_expectation(name, expected)}"

    told = _RULE.sub(tell, written)
    # What kept a condition from being true, as `rules.shortfall` says it.
    told = _FOUND.sub(lambda found: f"{tell_signal(found[1])} is {tell_value(found[1], found[2])}", told)
    told = _COUNTED.sub(lambda found: f"{found[1]} “{found[2].replace('_', ' ')}” counted", told)
    return _TRUTH.sub(lambda found: _TRUTHS[found[1]], told) if told != written else written


def tell_check(check: Mapping[str, Any]) -> tuple[str, str, str]:
    """One line of an explanation: what was asked, what was found, and both as they are on record."""
    path, expected, actual = str(check.get("path", "")), str(check.get("expected", "")), check.get("actual")
    name = path.rpartition(".")[2]
    source = f"{path}: {expected} is {'missing' if actual is None else actual}: {check.get('result', '')}"
    if counted := re.fullmatch(_EVENT, f"event {expected.partition(' where ')[0]}"):
        where = expected.partition(" where ")[2]
        told = _tell_event(counted["event"], int(counted["times"]), counted["within"])
        times = f"{actual} time{'' if actual == 1 else 's'}"
        return _upper(told + (f" where {tell_rule(where)}" if where else "")), times, source
    return _upper(f"{tell_signal(name)} {tell_expectation(name, expected)}"), tell_value(name, actual), source


def tell_place(path: str) -> str:
    """The line of a trigger that a path leads to: `enter.when.none[0].open_tickets` as `open tickets (none of)`."""
    parts = path.removeprefix("enter.when").strip(".").split(".")
    if not parts[-1]:
        return "its trigger"
    if len(parts) > 1 and parts[-2] == "event":
        return f"“{parts[-1].replace('_', ' ')}” happened"
    group = next((found[1] for part in parts[:-1] if (found := re.match(r"(any|none)\b", part))), "")
    return tell_signal(parts[-1]) + (f" ({group} of)" if group else "")


def _tell_inside(condition: Condition) -> str:
    if isinstance(condition, AllOf) and len(condition.items) > 1:
        return f"({' and '.join(map(_tell_inside, condition.items))})"
    return tell_condition(condition)


def _tell_move(name: str, word: str, rest: str) -> str:
    level, _, then = rest.partition(" ")
    told = f"{_MOVES[word]} {tell_value(name, level)}"
    if found := re.match(r"within (\d+[mhdw])", then):
        told += f" within {tell_durations(found[1])}"
    if found := re.match(r"for (\d+[mhdw])", then):
        told += f" for {tell_durations(found[1])}"
    if found := re.search(r"rearm_(above|below) (\S+)", then):
        told += f", again once {found[1]} {tell_value(name, found[2])}"
    return told


def _tell_event(name: str, times: int, within: str | None) -> str:
    often = "" if times == 1 else f" at least {times} times"
    return (
        f"“{name.replace('_', ' ')}” happened{often}{f' within {tell_durations(within)}' if within else ''}"
    )


def _within(expected: str) -> str | None:
    found = re.search(r" within (\d+[mhdw])", expected.partition(" where ")[0])
    return found[1] if found else None


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _upper(told: str) -> str:
    return told[:1].upper() + told[1:]


def _unit_of(name: str) -> str:
    signal = load_catalogue().signals.get(name)
    return (signal.unit or "") if signal else ""
