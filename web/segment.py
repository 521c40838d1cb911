"""One call of Segment's tracking API, checked and made an event. Pure: bytes in, event or error out."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schemas.errors import EventError
from schemas.incoming import DeadLetter, IncomingEvent
from web.segment_body import LARGEST_CALL_BYTES, Body, read_instant, without_key

KINDS = ("track", "identify", "group", "page", "screen", "alias")
DEEPEST = 32
LONGEST_NAME = 200
LONGEST_ID = 200
FUTURE_ALLOWED = timedelta(minutes=5)

# Events without a messageId get one from this and their content.
NAMESPACE = uuid.UUID("3c1b6d1e-7d38-4c36-8f0a-2b0d2f5f6f52")

# Segment's reserved traits, as our catalogue and profiles call them.
SEGMENT_TRAITS = {
    "firstName": "first_name",
    "lastName": "last_name",
    "businessName": "business_name",
    "createdAt": "signed_up_at",
}


class _Call(msgspec.Struct):
    type: str | None = None
    messageId: str | int | None = None  # noqa: N815 - as written on the wire
    userId: str | int | None = None  # noqa: N815
    customerId: str | int | None = None  # noqa: N815
    anonymousId: str | int | None = None  # noqa: N815
    groupId: str | int | None = None  # noqa: N815
    event: str | None = None
    name: Any = None
    category: Any = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: str | None = None


_call = msgspec.json.Decoder(_Call)
_content = msgspec.json.Encoder(order="deterministic")
_LONG_NUMBER = re.compile(rb"\d{16}")
# One that nobody ends reaches to the end: looked for anew at each quote, its end would take minutes.
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class _RepeatedKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _RepeatedKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return found


_strict = json.JSONDecoder(object_pairs_hook=_unique)


def read_calls(
    body: Body, *, kind: str | None, source: str, received_at: datetime
) -> tuple[list[IncomingEvent], list[DeadLetter]]:
    """The events of a request, and dead letters for the rest. `kind` None: each call says its own."""
    events: list[IncomingEvent] = []
    dead: list[DeadLetter] = []
    for call in body.calls:
        try:
            events.append(
                read_call(call, kind=kind, source=source, received_at=received_at, sent_at=body.sent_at)
            )
        except EventError as error:
            text = without_key(call[:LARGEST_CALL_BYTES]).decode("utf-8", "replace")
            dead.append(DeadLetter(source, error.code, error.message, text, received_at))
    return events, dead


def read_call(
    raw: bytes, *, kind: str | None, source: str, received_at: datetime, sent_at: datetime | None = None
) -> IncomingEvent:
    """One call as an event. Raises EventError, whose code is HF111 to HF118 (see docs/http.md)."""
    call = _decode(raw)
    kind = kind or call.type
    if kind == "alias":
        raise EventError("alias is not supported", code="HF118")
    if kind not in KINDS:
        told = "is missing" if kind is None else f"{kind[:40]!r} isn't known"
        raise EventError(f"type {told}; it is one of {', '.join(KINDS[:5])}.", code="HF116")
    external_id = _identifier(call.userId if call.userId is not None else call.customerId, "userId")
    if external_id is None:
        told = " (anonymousId alone names no customer)" if call.anonymousId is not None else ""
        raise EventError(f"userId is missing{told}.", code="HF116")
    at, day, clamped = _moment(call, received_at, sent_at)
    name, properties, traits = _meaning(call, kind)
    if clamped:
        properties["_clamped"] = True
    message_id = _identifier(call.messageId, "messageId") or _message_id(call, kind, received_at)
    return IncomingEvent(source, message_id, external_id, name, at, received_at, day, properties, traits)


def _decode(raw: bytes) -> _Call:
    if len(raw) > LARGEST_CALL_BYTES:
        raise EventError(f"the event has {len(raw)} bytes; {LARGEST_CALL_BYTES} is the limit.", code="HF111")
    try:
        call = _call.decode(raw)
    except msgspec.ValidationError as error:
        code = "HF113" if "out of range" in str(error) else "HF116"
        raise EventError(f"{error}.", code=code) from None
    except UnicodeDecodeError:
        raise EventError("the text is not UTF-8.", code="HF113") from None
    except RecursionError:
        raise EventError(f"nested more than {DEEPEST} levels deep.", code="HF114") from None
    except msgspec.DecodeError as error:
        raise EventError(_why_malformed(raw, str(error)), code="HF112") from None
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and _depth(raw) > DEEPEST:
        raise EventError(f"nested more than {DEEPEST} levels deep.", code="HF114")
    try:
        tree = _strict.decode(raw.decode())
    except _RepeatedKeyError as error:
        raise EventError(f"the key {str(error)[:60]!r} is there twice in one object.", code="HF115") from None
    except ValueError as error:
        raise EventError(f"not JSON: {error}.", code="HF112") from None
    # Looking into every value costs more than reading it, so only what could be wrong is looked into.
    if b"\\u0000" in raw or _LONG_NUMBER.search(raw):
        _inspect(tree)
    return call


def _why_malformed(raw: bytes, told: str) -> str:
    """The parser's reason, or a plainer one where the cause is one of the usual ones."""
    outside = _TEXT.sub(b'""', raw)
    number = re.search(rb"NaN|-?Infinity", outside)
    if number:
        return f"{number.group().decode()} is no JSON number."
    if re.search(rb"\\u[dD][89a-fA-F]", raw):
        return "half of a surrogate pair in a text can't be stored."
    return f"not JSON: {told}."


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', raw):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif mark[:1] != b'"':
            depth -= 1
    return deepest


def _inspect(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise EventError("a text holds a NUL character, which can't be stored.", code="HF113")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _inspect(key)
            _inspect(inner)
    elif isinstance(value, list):
        for inner in value:
            _inspect(inner)
    elif isinstance(value, int) and abs(value) >= 2**64:
        raise EventError("a whole number of more than 64 bits can't be stored.", code="HF113")


def _identifier(value: str | int | None, field: str) -> str | None:
    text = "" if value is None else str(value).strip()
    if len(text) > LONGEST_ID:
        raise EventError(f"{field} has {len(text)} characters; {LONGEST_ID} is the limit.", code="HF116")
    return text or None


def _moment(call: _Call, received_at: datetime, sent_at: datetime | None) -> tuple[datetime, Any, bool]:
    """When it happened, the UTC day of the sender's own timestamp, and whether it was clamped."""
    if call.timestamp is None:
        return received_at, None, False
    try:
        stamp = read_instant(call.timestamp)
    except ValueError:
        raise EventError(f"timestamp {call.timestamp[:40]!r} is no ISO 8601 time.", code="HF117") from None
    at = stamp
    if sent_at is not None:
        # The sender's clock was off by as much at sending as at stamping: Segment's correction.
        try:
            at = stamp + (received_at - sent_at)
        except OverflowError:
            at = stamp
    if at > received_at + FUTURE_ALLOWED:
        return received_at, stamp.date(), True
    return at, stamp.date(), False


def _meaning(call: _Call, kind: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The event's name, its properties, and what it says of the customer."""
    if kind == "track":
        name = (call.event or "").strip()
        if not name:
            raise EventError("event (the name of what happened) is missing.", code="HF116")
        if len(name) > LONGEST_NAME:
            raise EventError(f"event has {len(name)} characters; {LONGEST_NAME} is the limit.", code="HF116")
        return name, dict(call.properties or {}), {}
    context = call.context or {}
    if kind == "identify":
        # Rudder's clients put the traits into the context.
        inner = context.get("traits")
        traits = call.traits or (inner if isinstance(inner, dict) else {})
        return kind, {}, _named(traits, {key: context.get(key) for key in ("timezone", "locale")})
    if kind == "group":
        group = _identifier(call.groupId, "groupId")
        if group is None:
            raise EventError("groupId is missing.", code="HF116")
        # What is said of the company holds for the customer, but its mail and phone aren't the person's.
        shared = {
            key: value for key, value in (call.traits or {}).items() if key not in ("email", "phone", "name")
        }
        traits = _named(shared, {"business_name": (call.traits or {}).get("name")})
        return kind, {"groupId": group}, traits
    given = {"name": call.name, "category": call.category}
    return (
        kind,
        {key: value for key, value in given.items() if isinstance(value, str)} | (call.properties or {}),
        {},
    )


def _named(traits: Mapping[str, Any], also: Mapping[str, Any]) -> dict[str, Any]:
    """Traits under our names; `also` fills in texts that nobody gave."""
    named = {SEGMENT_TRAITS.get(key, key): value for key, value in traits.items()}
    for key, value in also.items():
        if isinstance(value, str) and value:
            named.setdefault(key, value)
    return named


def _message_id(call: _Call, kind: str, received_at: datetime) -> str:
    """An id from the content, so that a repetition of the request changes nothing.

    Content without a timestamp doesn't say which of two like events it is: then the minute of receipt goes
    in, too.
    """
    minute = "" if call.timestamp else f"{received_at:%Y-%m-%dT%H:%M}"
    return str(uuid.uuid5(NAMESPACE, f"{kind}\0{minute}\0{_content.encode(call).decode()}"))
