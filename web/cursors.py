"""Where the next page of a list begins, as a text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
import math
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.errors import InputError

# Lists without an order of their own are read anew from their beginning.
DEEPEST = 10_000
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
