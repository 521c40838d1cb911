"""The bytes of one e-mail, built so that nothing in them can become a header or a recipient of its own."""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.parser import HeaderParser
from email.policy import compat32
from email.utils import format_datetime, getaddresses
from functools import lru_cache
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

from channels.header import clean_line, clean_text
from channels.invitation_body import write_invitation_body
from channels.mime import write_body, write_header, write_recipient
from channels.outcome import ContentError, OutgoingMessage, RecipientError

DELIVERY_HEADER = "X-Holdfast-Delivery"
_DELIVERY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_READ = HeaderParser(policy=compat32)


def check_recipient(address: str, provider: str) -> str:
    """The address in the form that goes on the wire: one address, ASCII; raises RecipientError."""
    try:
        checked = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise RecipientError(f"The e-mail address can't be used: {error}", provider=provider) from None
    if checked.ascii_email is None:
        raise RecipientError("The e-mail address has letters that not every server takes.", provider=provider)
    return checked.ascii_email


def build_mail(
    message: OutgoingMessage, *, sender: tuple[str, str], recipient: str, now: datetime, provider: str
) -> bytes:
    """The finished message, with CRLF line ends.

    sender: display name (where the message has none) and address. recipient: as `check_recipient` returns it.
    Raises ContentError where the result would not be exactly the headers and the one recipient meant.
    """
    check_delivery_id(message.delivery_id, provider)
    subject = clean_line(message.subject)
    if not subject:
        raise ContentError("The e-mail has no subject.", provider=provider)
    headers = {
        "Date": format_datetime(now),
        "Message-ID": make_message_id(message.delivery_id, sender[1]),
        "Auto-Submitted": "auto-generated",
        DELIVERY_HEADER: message.delivery_id,
    }
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{check_url(message.unsubscribe_url, provider)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    html = clean_text(message.html) if message.html is not None else None
    try:
        head = b"".join(
            (
                _write_sender(message.sender_name or sender[0], sender[1]),
                write_recipient(recipient),
                write_header("Subject", subject),
                *(write_header(name, value, machine=True) for name, value in headers.items()),
            )
        )
        text = clean_text(message.text)
        if message.calendar is not None:
            data = head + write_invitation_body(text, html, message.calendar, message.delivery_id)
        else:
            data = head + write_body(text, html, message.delivery_id)
    except (ValueError, IndexError, UnicodeError) as error:
        raise ContentError(f"The e-mail can't be written: {error}", provider=provider) from error
    _check_result(data, ["From", "To", "Subject", *headers, *_body_headers(message)], recipient, provider)
    return data


@lru_cache(maxsize=64)
def _write_sender(name: str, address: str) -> bytes:
    return write_header("From", Address(display_name=clean_line(name), addr_spec=address))


def make_message_id(delivery_id: str, sender_address: str) -> str:
    """The Message-ID by which a delivery is known in mail servers' logs."""
    return f"<{delivery_id}@{sender_address.rpartition('@')[2]}>"


def _body_headers(message: OutgoingMessage) -> list[str]:
    if message.html is not None or message.calendar is not None:
        return ["MIME-Version", "Content-Type"]
    return ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


def check_delivery_id(delivery_id: str, provider: str) -> None:
    """Refuse an id that can't be part of a header; raises ContentError."""
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise ContentError("The delivery id can't be part of a Message-ID.", provider=provider)


def check_url(url: str, provider: str) -> str:
    """The link as it may stand in List-Unsubscribe; raises ContentError."""
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not re.fullmatch(r"[!-~]{1,900}", url)
        or re.search("[<>,]", url)
    ):
        raise ContentError("The unsubscribe link isn't a plain http(s) URL.", provider=provider)
    return url


def _check_result(data: bytes, expected: list[str], recipient: str, provider: str) -> None:
    """Read the bytes as a server would, and refuse them if they say more than we meant.

    The last guard: it doesn't depend on which of Python's header bugs a given version has.
    """
    head, _, _ = data.partition(b"\r\n\r\n")
    parsed = _READ.parsestr(head.decode("ascii", "surrogateescape") + "\r\n\r\n")
    if sorted(map(str.lower, parsed.keys())) != sorted(map(str.lower, expected)):
        raise ContentError("The e-mail's headers aren't the ones meant.", provider=provider)
    addresses = [address for _, address in getaddresses(parsed.get_all("To", []))]
    if addresses != [recipient]:
        raise ContentError("The e-mail's recipient isn't the one meant.", provider=provider)
