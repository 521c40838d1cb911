"""Lines of a timeline as JSON has them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from loops.simulation.run import Line


def plain_line(line: Line) -> dict[str, Any]:
    """The line with its times as text, in UTC."""
    return {key: plain(value) for key, value in line.items()}


def to_milliseconds(at: datetime) -> datetime:
    """`at` as it is told: what is true a moment after an hour is told of that hour."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, datetime):
        return to_milliseconds(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
