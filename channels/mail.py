"""The bytes of one e-mail, built so that nothing in them can become a header or a recipient of its own."""

from __future__ import annotations

import re
from datetime import datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, getaddresses
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

from channels.header import clean_line, clean_text
from channels.outcome import ContentError, OutgoingMessage, RecipientError

DELIVERY_HEADER = "X-Holdfast-Delivery"
_DELIVERY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FOLDED = SMTP.clone(cte_type="7bit")
_UNFOLDED = SMTP.clone(cte_type="7bit", max_line_length=998)


class MailPolicy(EmailPolicy):
    """Folds what people wrote at 78 characters, and leaves the lines that machines read in one piece.

    Python's default policy turns a List-Unsubscribe longer than 78 characters into an encoded word, which no
    mail client understands; with 998 for all, encoded words of a subject would outgrow RFC 2047's 75.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        return (_FOLDED if name.lower() in ("subject", "from", "to") else _UNFOLDED).fold_binary(name, value)


_POLICY = MailPolicy(linesep="\r\n", max_line_length=998, cte_type="7bit")


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

    sender: display name and address. recipient: as `check_recipient` returns it.
    Raises ContentError where the result would not be exactly the headers and the one recipient meant.
    """
    check_delivery_id(message.delivery_id, provider)
    name, address = sender
    headers = {
        "From": Address(display_name=clean_line(name), addr_spec=address),
        "To": Address(addr_spec=recipient),
        "Subject": clean_line(message.subject),
        "Date": format_datetime(now),
        "Message-ID": make_message_id(message.delivery_id, address),
        "Auto-Submitted": "auto-generated",
        DELIVERY_HEADER: message.delivery_id,
    }
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{check_url(message.unsubscribe_url, provider)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if not headers["Subject"]:
        raise ContentError("The e-mail has no subject.", provider=provider)
    mail = EmailMessage(policy=_POLICY)
    try:
        for header, value in headers.items():
            mail[header] = value
        mail.set_content(clean_text(message.text))
        if message.html is not None:
            mail.add_alternative(clean_text(message.html), subtype="html")
        data = mail.as_bytes()
    except (ValueError, IndexError, UnicodeError) as error:
        raise ContentError(f"The e-mail can't be written: {error}", provider=provider) from error
    _check_result(data, [*headers, *_body_headers(message)], recipient, provider)
    return data


def make_message_id(delivery_id: str, sender_address: str) -> str:
    """The Message-ID by which a delivery is known in mail servers' logs."""
    return f"<{delivery_id}@{sender_address.rpartition('@')[2]}>"


def _body_headers(message: OutgoingMessage) -> list[str]:
    if message.html is not None:
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
    parsed = message_from_bytes(data)
    if sorted(map(str.lower, parsed.keys())) != sorted(map(str.lower, expected)):
        raise ContentError("The e-mail's headers aren't the ones meant.", provider=provider)
    addresses = [address for _, address in getaddresses(parsed.get_all("To", []))]
    if addresses != [recipient]:
        raise ContentError("The e-mail's recipient isn't the one meant.", provider=provider)
