"""An e-mail taken apart for providers that put it together themselves, with the same guards as `build_mail`."""

from __future__ import annotations

from dataclasses import dataclass

from channels.header import clean_line, clean_text
from channels.mail import DELIVERY_HEADER, check_delivery_id, check_recipient, check_url
from channels.outcome import ContentError, OutgoingMessage


@dataclass(frozen=True)
class MailParts:
    """One recipient, one line of subject, texts without control characters; `headers` are those that are ours."""

    recipient: str
    subject: str
    text: str
    html: str | None
    headers: dict[str, str]


def take_apart(message: OutgoingMessage, *, provider: str) -> MailParts:
    """The parts of a message. Raises RecipientError for what is no address, ContentError for what can't be sent."""
    recipient = check_recipient(message.recipient, provider)
    check_delivery_id(message.delivery_id, provider)
    subject = clean_line(message.subject)
    if not subject:
        raise ContentError("The e-mail has no subject.", provider=provider)
    text = clean_text(message.text)
    if not text.strip() and not message.html:
        raise ContentError("The e-mail has no text.", provider=provider)
    headers = {"Auto-Submitted": "auto-generated", DELIVERY_HEADER: message.delivery_id}
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{check_url(message.unsubscribe_url, provider)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    html = clean_text(message.html) if message.html is not None else None
    return MailParts(recipient, subject, text, html, headers)


def name_address(sender: tuple[str, str]) -> str:
    """`"Name" <address>`, or the address alone."""
    name, address = clean_line(sender[0]), sender[1]
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>' if name else address
