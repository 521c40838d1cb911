"""What a value becomes before anything compares it: one type, one zone, no surprises.

It stands here and not in `rules` because the wire (`schemas.facts_json`) and the store need it too;
`rules.normalise` hands it on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, cast

from schemas.condition import Value

SignalType = Literal["number", "text", "bool", "time", "date", "list"]

# Beyond this, integers and floats no longer tell neighbours apart (IEEE 754 binary64).
LARGEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class WrongType:
    """A value that is there but can't be compared; `raw` is what was given, for explanations.

    It stands among the signals as a present value. Every comparison with it is unknown, because it is an
    instance of none of the types that comparisons accept.
    """

    raw: Any


def normalise(value: Any, type: SignalType) -> Value | None:  # noqa: A002 - the catalogue's word
    """Give `value` the form that conditions compare, as a signal of `type`.

    None: missing. A `WrongType`: present, but of another type, non-finite, or beyond 2^53. Numbers
    stay int or float, times become aware and UTC (without zone: UTC; a date: its midnight, UTC), dates plain
    dates (of a time: its day in UTC), lists tuples of text. Never raises.
    """
    if value is None:
        return None
    if isinstance(value, WrongType):
        return cast("Value", value)
    found: Value | None = None
    match type:
        case "number":
            found = _number(value)
        case "text":
            found = str.__str__(value) if isinstance(value, str) else None
        case "bool":
            found = value if isinstance(value, bool) else None
        case "time":
            found = instant_of(value)
        case "date":
            found = _date(value)
        case "list":
            found = _list(value)
    return cast("Value", WrongType(value)) if found is None else found


def normalise_untyped(value: Any) -> Value | None:
    """As `normalise`, for what no catalogue describes (properties of events): the value says its type."""
    if value is None:
        return None
    kinds: tuple[tuple[Any, SignalType], ...] = (
        (bool, "bool"),
        ((int, float, Decimal), "number"),
        (str, "text"),
        (datetime, "time"),
        (date, "date"),
    )
    for python_type, kind in kinds:
        if isinstance(value, python_type):
            return normalise(value, kind)
    return normalise(value, "list")


def instant_of(value: Any) -> datetime | None:
    """The aware UTC instant that a time, a date or an ISO 8601 text means; None where it means none."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
        if isinstance(value, date):
            return datetime.combine(value, time(), UTC)
    except (ValueError, OverflowError):
        return None
    return None


def _number(value: Any) -> int | float | None:
    # 40 and 40.0 are one number, so the limit is one for both.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if not (isinstance(value, int) or isfinite(value)) or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        return None
    return int(value) if isinstance(value, int) else float(value)


def _date(value: Any) -> date | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    instant = instant_of(value)
    return None if instant is None else instant.date()


def _list(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable) or isinstance(value, dict):
        return None
    items = tuple(value)
    return tuple(map(str.__str__, items)) if all(isinstance(item, str) for item in items) else None
