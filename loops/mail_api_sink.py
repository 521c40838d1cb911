"""Stand-ins for the mail APIs of SendGrid, Resend and Amazon SES that deliver nowhere: every mail becomes a file.

They know no credentials: any is right but an empty one. What they don't look at, the providers themselves may refuse.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loops.conduct import Conduct
from loops.mail_sink import keep_message, message_name

DELIVERY_HEADER = "X-Holdfast-Delivery"


class MailApiSink:
    """Keeps each mail in `outbox` as TIME-RANDOM.email.json before it says that it was taken."""

    def __init__(self, outbox: Path, conduct: Conduct | None = None) -> None:
        self._outbox = outbox
        self._conduct = conduct or Conduct()
        # Resend makes one mail of two requests with the same key.
        self._known: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """What it answers to."""
        return [
            Route("/v3/mail/send", self.sendgrid, methods=["POST"]),
            Route("/emails", self.resend, methods=["POST"]),
            Route("/v2/email/outbound-emails", self.ses, methods=["POST"]),
        ]

    async def sendgrid(self, request: Request) -> Response:
        """POST /v3/mail/send."""
        mail = await request.json()
        letter = mail["personalizations"][0]
        parts = {part["type"]: part["value"] for part in mail.get("content", ())}
        told = {
            "to": letter["to"][0]["email"], "subject": mail.get("subject"), "text": parts.get("text/plain"),
            "html": parts.get("text/html"), "delivery_id": letter.get("custom_args", {}).get("delivery_id"),
            "headers": mail.get("headers", {}),
        }  # fmt: skip
        taken = await self._take(request, "sendgrid", told)
        if isinstance(taken, Response):
            return taken
        return Response(status_code=202, headers={"X-Message-Id": taken})

    async def resend(self, request: Request) -> Response:
        """POST /emails."""
        mail = await request.json()
        key = request.headers.get("idempotency-key", "")
        if key in self._known:
            return JSONResponse({"id": self._known[key]})
        tags = {tag["name"]: tag["value"] for tag in mail.get("tags", ())}
        to = mail["to"][0] if isinstance(mail["to"], list) else mail["to"]
        told = {
            "to": to, "subject": mail.get("subject"), "text": mail.get("text"), "html": mail.get("html"),
            "delivery_id": tags.get("delivery_id"), "headers": mail.get("headers", {}),
        }  # fmt: skip
        taken = await self._take(request, "resend", told, key)
        return taken if isinstance(taken, Response) else JSONResponse({"id": taken})

    async def ses(self, request: Request) -> Response:
        """POST /v2/email/outbound-emails, of a raw mail."""
        order = await request.json()
        mail = message_from_bytes(base64.b64decode(order["Content"]["Raw"]["Data"]))
        told = {
            "to": order["Destination"]["ToAddresses"][0], "subject": mail["Subject"],
            "text": _text(mail), "html": None, "delivery_id": mail[DELIVERY_HEADER], "headers": dict(mail.items()),
        }  # fmt: skip
        taken = await self._take(request, "ses", told)
        return taken if isinstance(taken, Response) else JSONResponse({"MessageId": taken})

    async def _take(
        self, request: Request, provider: str, told: Mapping[str, Any], key: str = ""
    ) -> Response | str:
        fault = self._conduct.draw("email")
        status = {"busy": 429, "error": 500, "refuse": 400, "account": 401}.get(fault, 200)
        if not request.headers.get("authorization"):
            status = 401
        if status != 200:
            return _refuse(provider, status, self._conduct.channels["email"].retry_after_seconds)

        async def keep() -> str:
            message_id = str(uuid4())
            kept = {
                "provider": provider,
                "id": message_id,
                "received_at": datetime.now(UTC).isoformat(),
                **told,
            }
            text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
            path = self._outbox / f"{message_name()}.email.json"
            await asyncio.to_thread(keep_message, path, text)
            if key:
                self._known[key] = message_id
            return message_id

        return await self._conduct.take("email", fault, keep)


def _refuse(provider: str, status: int, retry_after_seconds: int) -> Response:
    headers = {"Retry-After": str(retry_after_seconds)} if status == 429 else {}
    if provider == "ses":
        names = {429: "TooManyRequestsException", 400: "MessageRejected", 401: "InvalidSignatureException"}
        headers["x-amzn-ErrorType"] = names.get(status, "InternalFailure")
        return JSONResponse({"message": "Refused."}, 403 if status == 401 else status, headers)
    if provider == "resend":
        names = {429: "rate_limit_exceeded", 400: "validation_error", 401: "invalid_api_key"}
        said = "Invalid `to` field." if status == 400 else "Refused."
        told = {"statusCode": status, "name": names.get(status, "application_error"), "message": said}
        return JSONResponse(told, 422 if status == 400 else status, headers)
    error = {"message": "Refused.", "field": "personalizations.0.to.0.email" if status == 400 else None}
    return JSONResponse({"errors": [error]}, status, headers)


def _text(mail: Any) -> str | None:
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            content = part.get_payload(decode=True)
            return content.decode("utf-8", "replace") if isinstance(content, bytes) else None
    return None
