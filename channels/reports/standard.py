"""Requests of any other system by Standard Webhooks: `{"type": …, "timestamp": …, "data": {…}}`.

- `message.received`: somebody wrote to us; `data` has channel, from, text, id.
- `message.sent`, `.delivered`, `.opened`, `.clicked`, `.bounced`, `.complained` …: a report; `data` has delivery_id, or
  message_id as the channel's receipt had it.
- Anything else is an event: `ticket.opened` becomes `ticket_opened`, of the customer that `data` names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.reports.fields import (
    LONGEST_TEXT,
    delivery_of,
    items,
    mapping,
    moment,
    read_json,
    storable,
    word,
)
from channels.reports.mail_reply import make_reply
from schemas.delivery_report import REPORT_KINDS, DeliveryReport, ForeignEvent, HookContents, InboundMessage
from schemas.errors import EventError

CUSTOMER_FIELDS = ("user_id", "userId", "customer_id", "customerId", "external_id")
FAULTS = ("hard", "soft", "block", "opted_out")
# The catalogue's own names, which nobody else may say.
RESERVED = ("message_", "unsubscribed", "identify", "feature_unlocked", "feature_locked")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
LARGEST_PROPERTIES_BYTES = 32 * 1024
_DEEPEST = 8


def read(source: str, request_id: str, body: bytes, received_at: datetime) -> HookContents:
    """One report, message or event. Raises EventError."""
    envelope = mapping(read_json(body))
    kind, data = word(envelope.get("type"), 100), mapping(envelope.get("data"))
    if not kind:
        raise EventError('The body has no type: {"type": …, "timestamp": …, "data": {…}} is needed.')
    at = moment(envelope.get("timestamp"), received_at)
    if kind == "message.received":
        return HookContents(messages=(_read_message(source, request_id, data, at),))
    told = kind.removeprefix("message.")
    if kind.startswith("message.") and told in REPORT_KINDS:
        return HookContents(reports=(_read_report(source, request_id, told, data, at),))
    return HookContents(events=(_read_event(source, request_id, kind, data, len(body), at),))


def _read_message(source: str, request_id: str, data: Mapping[str, Any], at: datetime) -> InboundMessage:
    channel, sender, text = (
        word(data.get("channel")),
        word(data.get("from"), 1000),
        word(data.get("text"), 100_000),
    )
    message_id = word(data.get("id")) or request_id
    if channel == "email":
        headers = {
            "in-reply-to": word(data.get("in_reply_to"), 1000),
            "references": " ".join(word(one, 300) for one in items(data.get("references"))),
            **({"auto-submitted": "auto-replied"} if data.get("automatic") is True else {}),
        }
        return make_reply(source, message_id, sender, word(data.get("subject"), 500), text, headers, at)
    if channel not in ("sms", "whatsapp") or not _NUMBER.fullmatch(sender):
        raise EventError(
            "A message has a channel (email, sms, whatsapp) and whom it is from (+491701234567)."
        )
    return InboundMessage(source, message_id, channel, sender, storable(text)[:LONGEST_TEXT], at)


def _read_report(
    source: str, request_id: str, kind: str, data: Mapping[str, Any], at: datetime
) -> DeliveryReport:
    delivery, message_id = delivery_of(data.get("delivery_id")), word(data.get("message_id")) or None
    if delivery is None and message_id is None:
        raise EventError("A report names a delivery_id or a message_id.")
    fault = word(data.get("fault"))
    return DeliveryReport(
        source, request_id, kind, at, word(data.get("channel"), 40), message_id, delivery,  # type: ignore[arg-type]
        None, fault if fault in FAULTS else "", word(data.get("code"), 40),  # type: ignore[arg-type]
        data.get("machine") is True, word(data.get("user_agent")),
    )  # fmt: skip


def _read_event(
    source: str, request_id: str, kind: str, data: Mapping[str, Any], size: int, at: datetime
) -> ForeignEvent:
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()).strip("_")
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        raise EventError(f"{kind[:60]!r} can't be the name of an event.")
    customer = next((found for field in CUSTOMER_FIELDS if (found := word(data.get(field)))), "")
    if not customer:
        raise EventError("The event names no customer: data.user_id is needed.")
    if size > LARGEST_PROPERTIES_BYTES:
        raise EventError("The event is larger than 32 KB.")
    properties = {
        storable(key)[:200]: _plain(value, 0) for key, value in data.items() if key not in CUSTOMER_FIELDS
    }
    return ForeignEvent(source, request_id, name, at, properties, customer)


def _plain(value: Any, depth: int) -> Any:
    """What PostgreSQL can hold: no NUL, nothing deeper than anybody reads, no number that is none."""
    if depth > _DEEPEST:
        raise EventError("The event is nested too deeply.")
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise EventError("The event holds a number that is none.")
    return value
