"""Where the next page of a list begins, as a text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
import math
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import msgspec

from schemas.errors import InputError
from store.keyset import Place

# Lists without an order of their own are read anew from their beginning.
DEEPEST = 10_000
R = TypeVar("R")
_REMEDY = "Use nextCursor of the page before as it is, or leave cursor out."


def write_cursor(*parts: object) -> str:
    """A cursor from the last row's place in the order."""
    text = "|".join(part.isoformat() if isinstance(part, datetime) else str(part) for part in parts)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_moment_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """(moment, id) of a list in order of time. Raises InputError."""
    if cursor is None:
        return None
    try:
        at, key = _read(cursor, 2)
        return datetime.fromisoformat(at).astimezone(UTC), str(uuid.UUID(key))
    except (ValueError, OverflowError):
        raise InputError("cursor is none of ours.", remedy=_REMEDY) from None


def read_risk_cursor(cursor: str | None) -> tuple[float, float, str] | None:
    """(value at risk, probability, customer's id) of a list in order of risk. Raises InputError."""
    if cursor is None:
        return None
    try:
        worth, probability, key = _read(cursor, 3)
        place = float(worth), float(probability), str(uuid.UUID(key))
    except ValueError:
        raise InputError("cursor is none of ours.", remedy=_REMEDY) from None
    if not (math.isfinite(place[0]) and math.isfinite(place[1])):
        raise InputError("cursor is none of ours.", remedy=_REMEDY)
    return place


def read_number_cursor(cursor: str | None) -> int | None:
    """The id of a list in order of ids. Raises InputError."""
    if cursor is None:
        return None
    try:
        number = int(_read(cursor, 1)[0])
    except ValueError:
        raise InputError("cursor is none of ours.", remedy=_REMEDY) from None
    if not 0 <= number < 2**63:
        raise InputError("cursor is none of ours.", remedy=_REMEDY)
    return number


def read_offset_cursor(cursor: str | None) -> int:
    """How many of a list that has no order of its own were told already. Raises InputError."""
    offset = read_number_cursor(cursor) or 0
    if offset > DEEPEST:
        raise InputError(
            f"This list goes no further than {DEEPEST} rows.", remedy="Narrow it by its filters."
        )
    return offset


def cut(rows: Sequence[R], told: int, limit: int) -> tuple[list[R], str | None]:
    """The page of a list that is read whole, `told` rows on, and the cursor of the next one; None at the end."""
    more = len(rows) > told + limit
    return list(rows[told : told + limit]), write_cursor(told + limit) if more else None


def write_place_cursor(place: Place, sorted_by: str) -> str:
    """A cursor of a list that can be sorted: a place in this order, as a query names it."""
    value = place.value.isoformat() if isinstance(place.value, date) else place.value
    return base64.urlsafe_b64encode(msgspec.json.encode([sorted_by, value, place.id])).decode().rstrip("=")


def read_place_cursor(cursor: str, sorted_by: str, kind: str, *, remedy: str) -> Place:
    """The place in this order whose values are of the SQL type `kind`. Raises InputError, with `remedy`."""
    refused = InputError("cursor is none of ours, or of another order.", remedy=remedy)
    try:
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        order, value, id_ = msgspec.json.decode(written, type=tuple[str, float | str | None, str])
        place = Place(_typed(value, kind), str(uuid.UUID(id_)))
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        raise refused from None
    if order != sorted_by:
        raise refused
    return place


def _typed(value: float | str | None, kind: str) -> float | date | str | None:
    if value is None:
        return None
    if kind in ("text", "timestamptz", "date"):
        if not isinstance(value, str) or "\x00" in value:
            raise ValueError(value)
        if kind == "text":
            return value
        return date.fromisoformat(value) if kind == "date" else datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(value)
    if kind == "integer":
        if not -(2**31) <= value < 2**31:
            raise ValueError(value)
        return int(value)
    return value


def _read(cursor: str, count: int) -> Sequence[str]:
    try:
        parts = (
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            .decode("ascii")
            .split("|")
        )
    except binascii.Error as error:
        raise ValueError(cursor) from error
    if len(parts) != count:
        raise ValueError(cursor)
    return parts
