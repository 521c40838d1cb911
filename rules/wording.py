"""Conditions in the words they are written in, for explanations."""

from __future__ import annotations

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
from schemas.form import format_duration

_OPERATORS = {"ne": "!= ", "lt": "< ", "le": "<= ", "gt": "> ", "ge": ">= ", "eq": ""}


def expectation(condition: Condition) -> str:
    """What a condition expects of its signal or event, as in `> 7` or `drops_by 15 within 7d`."""
    match condition:
        case Compare():
            return _OPERATORS[condition.op] + scalar(condition.value)
        case OneOf():
            return f"[{', '.join(map(scalar, condition.values))}]"
        case Between():
            return f"{scalar(condition.low)}..{scalar(condition.high)}"
        case Age():
            return f"{condition.op} {format_duration(condition.seconds)}"
        case Presence():
            return "is present" if condition.present else "is missing"
        case Contains():
            return f"contains {condition.item}"
        case Crossing():
            held = f" for {format_duration(condition.for_seconds)}" if condition.for_seconds else ""
            opposite = "above" if condition.direction == "below" else "below"
            rearm = "" if condition.rearm is None else f" rearm_{opposite} {scalar(condition.rearm)}"
            return f"crosses_{condition.direction} {scalar(condition.level)}{held}{rearm}"
        case Change():
            verb = "drops_by" if condition.direction == "drop" else "rises_by"
            return f"{verb} {scalar(condition.by)} within {format_duration(condition.within_seconds)}"
        case EventCount():
            within = (
                f" within {format_duration(condition.within_seconds)}"
                if condition.within_seconds is not None
                else ""
            )
            where = f" where {sentence(condition.where)}" if condition.where is not None else ""
            return f"at_least {condition.at_least} {condition.name}{within}{where}"
        case AllOf() | AnyOf() | NoneOf():
            return sentence(condition)


def sentence(condition: Condition) -> str:
    """A whole condition with its signals, groups in brackets."""
    match condition:
        case AllOf() | AnyOf() | NoneOf():
            inner = ", ".join(sentence(item) for item in condition.items)
            return inner if isinstance(condition, AllOf) else f"{condition.kind} of ({inner})"
        case EventCount():
            return f"event {expectation(condition)}"
        case _:
            return f"{condition.signal}: {expectation(condition)}"


def scalar(value: Scalar) -> str:
    """A constant as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
