"""E-mail through SendGrid's v3 API.

SendGrid knows no idempotency key, and only accounts with an add-on can ask what became of a mail. So a mail is posted
once, and what is unknown afterwards stays so until SendGrid's events, which carry the delivery id, say more.
Source: twilio.com/docs/sendgrid/api-reference/mail-send.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from channels.header import clean_line
from channels.http_api import HttpApi
from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS, RETRY_AFTER_LIMIT_SECONDS
from channels.invitation_body import CALENDAR_FILE
from channels.mail_parts import take_apart
from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    OutgoingMessage,
    Receipt,
    Unanswerable,
    UnknownOutcomeError,
)
from channels.sendgrid_codes import read_error

BASE_URL = "https://api.sendgrid.com"
PROVIDER = "sendgrid"


class SendgridChannel:
    """Sends e-mails with one API key, which needs no more than the scope *Mail Send*."""

    name = "email"
    provider = PROVIDER

    def __init__(
        self,
        api_key: str,
        *,
        sender: tuple[str, str],
        base_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = f"{base_url or BASE_URL}/v3/mail/send"
        self._key = api_key
        self._sender = sender
        self._clock = clock
        self._api = HttpApi(
            PROVIDER, "SendGrid", deadline_seconds=deadline_seconds, connect_seconds=connect_seconds
        )

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the mail once; the receipt's id is SendGrid's X-Message-Id."""
        answer, exchange = await self._api.post(
            self._url,
            self._make_body(message),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        if answer.status != 202:
            kind, code, said = read_error(answer.status, answer.body)
            if 200 <= answer.status < 300:
                kind = "unknown"
            raise FAILURES[kind](
                f"SendGrid said {answer.status}: {said}.",
                provider=PROVIDER,
                provider_code=code,
                retry_after_seconds=exchange.retry_after_seconds or self._read_reset(answer.headers),
            )
        message_id = answer.headers.get("x-message-id")
        if not message_id:
            raise UnknownOutcomeError("SendGrid's answer holds no message id.", provider=PROVIDER)
        return Receipt(PROVIDER, message_id)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """SendGrid's own list of mails comes minutes late, and only to those who pay for it."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._api.close()

    def _make_body(self, message: OutgoingMessage) -> bytes:
        parts = take_apart(message, provider=PROVIDER)
        name, address = clean_line(message.sender_name or self._sender[0]), self._sender[1]
        content = [{"type": "text/plain", "value": parts.text}] if parts.text.strip() else []
        if parts.html is not None:
            content.append({"type": "text/html", "value": parts.html})
        attachments: list[dict[str, str]] = []
        if message.calendar is not None:
            # What stands last is what programs that can prefer; a file's type must hold no parameters here.
            kind = f"text/calendar; method={message.calendar.method}"
            content.append({"type": kind, "value": message.calendar.content.decode()})
            attachments.append({
                "type": "application/ics", "filename": CALENDAR_FILE, "disposition": "attachment",
                "content": base64.b64encode(message.calendar.content).decode(),
            })  # fmt: skip
        return json.dumps({
            **({"attachments": attachments} if attachments else {}),
            "personalizations": [{
                "to": [{"email": parts.recipient}],
                # Come back with every event about this mail.
                "custom_args": {"delivery_id": message.delivery_id, "attempt": str(message.attempt)},
            }],
            "from": {"email": address, "name": name} if name else {"email": address},
            "subject": parts.subject,
            "content": content,
            "headers": parts.headers,
        }).encode()  # fmt: skip

    def _read_reset(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until SendGrid's window begins anew, by its own header (seconds since 1970)."""
        value = headers.get("x-ratelimit-reset", "")
        if not value.isdigit() or headers.get("x-ratelimit-remaining") != "0":
            return None
        return min(max(float(value) - self._clock(), 1.0), RETRY_AFTER_LIMIT_SECONDS)
