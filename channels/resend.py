"""E-mail through Resend, which makes one mail of all requests with the same Idempotency-Key for 24 hours.

The key is the delivery's id, whatever the attempt. So a mail whose answer was lost is simply posted again, to Resend
and nobody else. It can't be asked about a mail whose id it never told us.
Source: resend.com/docs/api-reference/emails/send-email, resend.com/docs/dashboard/emails/idempotency-keys.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from channels.http_api import HttpApi
from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.invitation_body import CALENDAR_FILE
from channels.mail_parts import name_address, take_apart
from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    OutgoingMessage,
    Receipt,
    Unanswerable,
    UnknownOutcomeError,
)
from channels.resend_codes import PAUSE_SECONDS, TAKEN_BEFORE, read_error

BASE_URL = "https://api.resend.com"
PROVIDER = "resend"


class ResendChannel:
    """Sends e-mails with one API key, for which *Sending access* is enough."""

    name = "email"
    provider = PROVIDER
    # Resend keeps keys for 24 hours; the last request must come well within.
    repeatable_seconds = 20 * 3600.0

    def __init__(
        self,
        api_key: str,
        *,
        sender: tuple[str, str],
        base_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._url = f"{base_url or BASE_URL}/emails"
        self._key = api_key
        self._sender = sender
        self._api = HttpApi(
            PROVIDER, "Resend", deadline_seconds=deadline_seconds, connect_seconds=connect_seconds
        )

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the mail once; the receipt's id is Resend's, or None where it took the mail at an earlier request, with
        other words, and doesn't say under which id.
        """
        answer, exchange = await self._api.post(
            self._url,
            self._make_body(message),
            {
                "Authorization": f"Bearer {self._key}",
                "Content-Type": "application/json",
                "Idempotency-Key": message.delivery_id,
            },
        )
        if not 200 <= answer.status < 300:
            kind, code, said = read_error(answer.status, answer.body)
            if code == TAKEN_BEFORE and message.repeated:
                return Receipt(PROVIDER, None)
            raise FAILURES[kind](
                f"Resend said {answer.status}: {said}.",
                provider=PROVIDER,
                provider_code=code,
                retry_after_seconds=exchange.retry_after_seconds or PAUSE_SECONDS.get(code),
            )
        try:
            given = json.loads(answer.body)["id"]
        except (ValueError, KeyError, TypeError):
            given = None
        if not isinstance(given, str) or not given:
            raise UnknownOutcomeError("Resend's answer holds no id.", provider=PROVIDER)
        return Receipt(PROVIDER, given)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Resend finds a mail by its own id alone, which is what got lost."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._api.close()

    def _make_body(self, message: OutgoingMessage) -> bytes:
        """The same for the same message, attempt and all: Resend compares bodies."""
        parts = take_apart(message, provider=PROVIDER)
        body: dict[str, Any] = {
            "from": name_address((message.sender_name or self._sender[0], self._sender[1])),
            "to": [parts.recipient],
            "subject": parts.subject,
            "text": parts.text,
            "headers": parts.headers,
            "tags": [{"name": "delivery_id", "value": message.delivery_id}],
        }
        if parts.html is not None:
            body["html"] = parts.html
        if message.calendar is not None:
            body["attachments"] = [{
                "filename": CALENDAR_FILE,
                "content": base64.b64encode(message.calendar.content).decode(),
                "content_type": f"text/calendar; charset=utf-8; method={message.calendar.method}",
            }]  # fmt: skip
        return json.dumps(body).encode()
