"""A mail that came in: who wrote it, what they wrote themselves, and which of our mails it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from email.utils import parseaddr
from typing import cast

from channels.reports.fields import LONGEST_TEXT, storable
from schemas.delivery_report import InboundMessage
from schemas.errors import EventError

# RFC 3834, and what older programs write instead.
_AUTOMATIC_HEADERS = ("x-autoreply", "x-autorespond", "x-auto-response-suppress")
_AUTOMATIC_PRECEDENCE = ("bulk", "auto_reply", "junk", "list")
_AUTOMATIC_SUBJECT = re.compile(
    r"(auto(matic)?[- ]?(reply|response)|out of (the )?office|abwesen|automatische antwort|réponse automatique"
    r"|respuesta automática|undeliverable|delivery status notification|mail delivery)",
    re.IGNORECASE,
)
_AUTOMATIC_SENDER = re.compile(r"(mailer-daemon|postmaster|no-?reply|bounces?)(\+.*)?@", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,300})>")
_QUOTE = re.compile(
    r"^(>|-{2,}\s*(original message|ursprüngliche nachricht)|_{10,}|on .{5,200} wrote:\s*$|am .{5,200} schrieb.*:\s*$"
    r"|le .{5,200} a écrit\s*:\s*$|from: |von: )",
    re.IGNORECASE,
)
_MOST_REFERENCES = 20
# What stands in a header is whoever's who writes to us, and a longer one means nothing more.
_LONGEST_HEADER = 1000
_LONGEST_REFERENCES = 4000
_MOST_PARTS = 1000


class _Bounded(EmailPolicy):
    """Of each header its beginning: how long Python takes over one grows with the square of its length."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        longest = _LONGEST_REFERENCES if name.lower() == "references" else _LONGEST_HEADER
        return name, value[:longest]


_BOUNDED = cast("EmailPolicy[EmailMessage]", _Bounded())


def make_reply(
    provider: str,
    provider_id: str,
    sender: str,
    subject: str,
    text: str,
    headers: Mapping[str, str],
    at: datetime,
) -> InboundMessage:
    """The mail as a message; headers by lower-case name. Raises EventError."""
    try:
        address = parseaddr(sender[:_LONGEST_HEADER])[1].strip().lower()
    except RecursionError:
        address = ""
    if "@" not in address or len(address) > 320 or not provider_id:
        raise EventError("The mail has no sender, or no id.")
    own = take_own_words(text).strip() or (subject if not text.strip() else "")
    references = _MESSAGE_ID.findall(f"{headers.get('in-reply-to', '')} {headers.get('references', '')}")
    return InboundMessage(
        provider, provider_id, "email", address, storable(own)[:LONGEST_TEXT], at,
        references=tuple(dict.fromkeys(references))[:_MOST_REFERENCES],
        automatic=_is_automatic(headers, subject, address),
    )  # fmt: skip


def read_mail(raw: bytes, provider: str, provider_id: str, at: datetime) -> InboundMessage:
    """A mail by its bytes. Raises EventError."""
    # Each line that begins so may be a part of its own.
    raw = b"\n--".join(raw.split(b"\n--", _MOST_PARTS)[:_MOST_PARTS])
    try:
        mail = message_from_bytes(raw, policy=_BOUNDED)
        assert isinstance(mail, EmailMessage)
        part = mail.get_body(("plain",))
        text = str(part.get_content()) if part is not None else ""
        headers = _read_headers(mail)
    except (
        MessageError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        RecursionError,
    ):
        raise EventError("The mail can't be read.") from None
    return make_reply(
        provider, provider_id, headers.get("from", ""), headers.get("subject", ""), text, headers, at
    )


def read_parsed_mail(body: bytes, content_type: str, provider: str, received_at: datetime) -> InboundMessage:
    """A mail that was taken apart into a form: `from`, `subject`, `text`, `headers`, or whole as `email`.

    Raises EventError.
    """
    fields = _read_multipart(body, content_type)
    if "email" in fields:
        raw = fields["email"].encode("utf-8", "surrogateescape")
        found = _MESSAGE_ID.search(fields["email"][:100_000].partition("Message-ID:")[2])
        return read_mail(raw, provider, found.group(1) if found else "", received_at)
    try:
        parsed = message_from_bytes(fields.get("headers", "").encode("utf-8", "replace"), policy=_BOUNDED)
        headers = _read_headers(parsed)
    except (MessageError, ValueError, LookupError):
        headers = {}
    found = _MESSAGE_ID.search(headers.get("message-id", ""))
    return make_reply(
        provider, found.group(1) if found else "", fields.get("from", ""), fields.get("subject", ""),
        fields.get("text", ""), headers, received_at,
    )  # fmt: skip


def _read_headers(mail: Message) -> dict[str, str]:
    """As they were written, by lower-case name: Python's own reading of one takes minutes where it is made to."""
    found: dict[str, str] = {}
    for name, value in mail.raw_items():
        plain = " ".join(str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())
        found[name.lower()] = _decode(plain) if name.lower() == "subject" else plain
    return found


def _decode(subject: str) -> str:
    try:
        return str(make_header(decode_header(subject)))
    except (MessageError, ValueError, LookupError):
        return subject


def take_own_words(text: str) -> str:
    """What stands above the first quoted line."""
    lines: list[str] = []
    for line in text.splitlines()[:500]:
        if _QUOTE.match(line.strip()):
            break
        lines.append(line)
    return "\n".join(lines)


def _is_automatic(headers: Mapping[str, str], subject: str, address: str) -> bool:
    submitted = headers.get("auto-submitted", "no").partition(";")[0].strip().lower()
    return (
        submitted != "no"
        or any(name in headers for name in _AUTOMATIC_HEADERS)
        or headers.get("precedence", "").strip().lower() in _AUTOMATIC_PRECEDENCE
        or "list-id" in headers
        or _AUTOMATIC_SUBJECT.search(subject) is not None
        or _AUTOMATIC_SENDER.match(address) is not None
    )


def _read_multipart(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a posted form that are texts; attachments are left out."""
    head = b"Content-Type: " + content_type.encode("ascii", "replace").replace(b"\n", b" ") + b"\r\n\r\n"
    fields: dict[str, str] = {}
    try:
        for part in message_from_bytes(head + body, policy=_BOUNDED).iter_parts():
            name = part.get_param("name", header="content-disposition")
            if isinstance(name, str) and not part.get_filename():
                payload = part.get_payload(decode=True)
                fields[name] = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    except (MessageError, ValueError, LookupError, AttributeError, RecursionError):
        raise EventError("The form can't be read.") from None
    return fields
