"""Fields of what others sent, of which nothing is taken for granted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.delivery_report import Fault
from schemas.errors import EventError

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LONGEST_TEXT = 10_000
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# About the sender or the content, whatever the recipient's address is.
_BLOCKED = re.compile(r"spam|block(ed|list)|blacklist|reputation|policy|dmarc|\bspf\b|dkim", re.IGNORECASE)


def read_json(body: bytes) -> Any:
    """The JSON of a body; raises EventError."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise EventError("The body is no JSON.") from None


def _refuse(_: str) -> None:
    raise ValueError


def mapping(value: Any) -> Mapping[str, Any]:
    """The mapping that this is, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The list that this is, or an empty one."""
    return value if isinstance(value, list) else []


def word(value: Any, longest: int = 256) -> str:
    """A text that can be stored, cut; empty for what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return (
        storable(str(value))[:longest].strip()
        if not isinstance(value, int) or value.bit_length() < 200
        else ""
    )


def storable(value: str) -> str:
    """Text as PostgreSQL can hold it."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def delivery_of(value: Any) -> str | None:
    """Our delivery id, if this is one; also the part of a Message-ID before its @."""
    found = word(value).strip("<> ").partition("@")[0]
    return found.lower() if _UUID.fullmatch(found) else None


def moment(value: Any, received_at: datetime) -> datetime:
    """When it happened, by seconds since 1970 or ISO 8601; never later than it was received.

    What is told in whole seconds happened by the end of the second.
    """
    at: datetime | None = None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str) and value.strip().isdecimal():
            at = datetime.fromtimestamp(int(value), UTC)
        elif isinstance(value, str):
            at = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
    except (ValueError, OverflowError, OSError):
        at = None
    if at is None:
        return received_at
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    if at < _EARLIEST:
        return received_at
    if at.microsecond == 0:
        at += timedelta(microseconds=999_999)
    return min(at, received_at)


def judge_bounce(status: str, said: str, *, otherwise: Fault) -> Fault:
    """Whose fault a bounce is, by its enhanced status code (RFC 3463) where there is one, else as the provider says.

    x.7.z is policy: the recipient's side refuses us. 4.y.z and a full mailbox pass. 5.1.z and 5.2.1: nobody is there.
    """
    found = _ENHANCED.search(status) or _ENHANCED.search(said)
    if found is None:
        return otherwise
    kind, subject = found.group(1), f"{found.group(2)}.{found.group(3)}"
    if subject.startswith("7.") or subject in ("1.7", "1.8"):
        return "block"
    if kind == "4" or subject in ("2.2", "3.1", "3.2", "4.5", "4.6"):
        return "soft"
    if subject.startswith("1.") or subject == "2.1":
        return "hard"
    return "block" if _BLOCKED.search(said) else otherwise
