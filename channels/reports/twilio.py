"""Twilio's status callbacks of messages and calls, and what people write to our numbers.

The signature parts names from values nowhere, so every field is checked for its form.
Source: twilio.com/docs/messaging/guides/webhook-request, twilio.com/docs/voice/api/call-resource,
twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from channels.reports.fields import LONGEST_TEXT, delivery_of, storable
from channels.signatures.refusal import SignatureError
from channels.signatures.twilio import read_form
from channels.twilio_codes import PROVIDER, classify_code
from schemas.delivery_report import DeliveryReport, Fault, HookContents, InboundMessage, ReportKind
from schemas.errors import EventError

WHATSAPP = "whatsapp:"
MESSAGE_KINDS: Mapping[str, ReportKind] = {
    "accepted": "accepted", "scheduled": "accepted", "queued": "accepted", "sending": "accepted", "sent": "sent",
    "delivered": "delivered", "read": "opened", "undelivered": "undelivered", "failed": "undelivered",
    "canceled": "undelivered",
}  # fmt: skip
CALL_KINDS: Mapping[str, ReportKind] = {
    "queued": "accepted", "initiated": "accepted", "ringing": "sent", "in-progress": "delivered",
    "completed": "delivered", "busy": "undelivered", "no-answer": "undelivered", "failed": "undelivered",
    "canceled": "undelivered",
}  # fmt: skip
INBOUND = ("", "received", "receiving")
_FAULTS: Mapping[str, Fault] = {
    "recipient": "hard",
    "consent": "opted_out",
    "transient": "soft",
    "account": "block",
}
# Filtered by a carrier or by WhatsApp: the sender's problem. Other contents were merely wrong.
_FILTERED = (30004, 30007, 63049)
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")
_ADDRESS = re.compile(r"(whatsapp:)?\+[1-9]\d{6,14}")
_CODE = re.compile(r"\d{1,6}")


def read(body: bytes, query: str, received_at: datetime) -> HookContents:
    """One report, or one message. Raises EventError."""
    try:
        fields = dict(read_form(body))
    except SignatureError as error:
        raise EventError(error.message) from None
    if "CallSid" in fields:
        return HookContents(reports=(_read_call(fields, query, received_at),))
    status = fields.get("MessageStatus") or fields.get("SmsStatus", "")
    if status in INBOUND and "From" in fields and "Body" in fields:
        return HookContents(messages=(_read_message(fields, received_at),))
    kind = MESSAGE_KINDS.get(status)
    if kind is None:
        raise EventError(f"Twilio's status {status[:40]!r} isn't known.")
    sid, address = _sid(fields.get("MessageSid") or fields.get("SmsSid", "")), fields.get("To", "")
    code = fields.get("ErrorCode", "")
    whatsapp = address.startswith(WHATSAPP) or fields.get("From", "").startswith(WHATSAPP)
    return HookContents(reports=(
        DeliveryReport(
            PROVIDER, f"{sid}/{status}", kind, received_at, "whatsapp" if whatsapp else "sms", sid,
            _delivery(query), _address(address), _fault(code) if kind == "undelivered" else "",
            code if _CODE.fullmatch(code) else "",
        ),
    ))  # fmt: skip


def _read_call(fields: Mapping[str, str], query: str, received_at: datetime) -> DeliveryReport:
    status, sid = fields.get("CallStatus", ""), _sid(fields["CallSid"])
    kind = CALL_KINDS.get(status)
    if kind is None:
        raise EventError(f"Twilio's status {status[:40]!r} of a call isn't known.")
    # Who was called, but isn't there or doesn't want to talk now, can be called again.
    return DeliveryReport(
        PROVIDER, f"{sid}/{status}", kind, received_at, "voice", sid, _delivery(query),
        _address(fields.get("To", "")), "", status if kind == "undelivered" else "",
    )  # fmt: skip


def _read_message(fields: Mapping[str, str], received_at: datetime) -> InboundMessage:
    sender, sid = fields["From"], _sid(fields.get("MessageSid") or fields.get("SmsMessageSid", ""))
    address = _address(sender)
    if address is None:
        raise EventError("Twilio's message has no sender that can be a number.")
    return InboundMessage(
        PROVIDER, sid, "whatsapp" if sender.startswith(WHATSAPP) else "sms", address,
        storable(fields["Body"])[:LONGEST_TEXT], received_at, fields.get("OptOutType", "").lower()[:20],
    )  # fmt: skip


def _sid(value: str) -> str:
    if not _SID.fullmatch(value):
        raise EventError("Twilio's request names no message or call.")
    return value


def _address(value: str) -> str | None:
    return value.removeprefix(WHATSAPP) if _ADDRESS.fullmatch(value) else None


def _delivery(query: str) -> str | None:
    return delivery_of(dict(parse_qsl(query)).get("d"))


def _fault(code: str) -> Fault:
    if not _CODE.fullmatch(code):
        return ""
    return "block" if int(code) in _FILTERED else _FAULTS.get(classify_code(int(code)) or "", "")
