"""A stand-in for Twilio's Messages API that delivers nowhere: every message becomes a file that can be looked at.

Speaks what the real Twilio client asks for: creating a message, reading one, listing by To, From, DateSent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loops.data_directory import write_atomically
from loops.mail_sink import message_name

VERSION = "2010-04-01"
GSM_LETTERS = 160
UNICODE_LETTERS = 70


WHATSAPP = "whatsapp:"


class SmsSink:
    """Keeps each message in `outbox` as TIME-RANDOM.sms.json, in Twilio's own shape, before it says 201.

    What goes to a WhatsApp address becomes TIME-RANDOM.whatsapp.json.
    """

    def __init__(self, outbox: Path, account_sid: str, auth_token: str) -> None:
        self._outbox = outbox
        self._account = account_sid
        expected = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._authorization = f"Basic {expected}"

    def routes(self) -> list[Route]:
        """What it answers to."""
        messages = f"/{VERSION}/Accounts/{{account}}/Messages.json"
        one = f"/{VERSION}/Accounts/{{account}}/Messages/{{sid}}.json"
        return [
            Route(messages, self.create, methods=["POST"]),
            Route(messages, self.search, methods=["GET"]),
            Route(one, self.read, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """POST Messages.json: on the disk first, then acknowledged."""
        if refusal := self._refusal(request):
            return refusal
        body = (await request.body()).decode("utf-8", "replace")
        form = dict(parse_qsl(body, keep_blank_values=True))
        if not form.get("To"):
            return _problem(400, 21604, "A 'To' phone number is required.")
        if not (form.get("From") or form.get("MessagingServiceSid")):
            return _problem(400, 21603, "A 'From' phone number is required.")
        if not (form.get("Body") or form.get("ContentSid") or form.get("MediaUrl")):
            return _problem(400, 21602, "Message body is required.")
        message = self._message(form)
        name = message_name()
        kept = {
            **message,
            "content_sid": form.get("ContentSid"),
            "content_variables": form.get("ContentVariables"),
            "status_callback": form.get("StatusCallback"),
        }
        kind = "whatsapp" if form["To"].startswith(WHATSAPP) else "sms"
        await asyncio.to_thread(
            write_atomically,
            self._outbox / f"{name}.{kind}.json",
            json.dumps(kept, indent=2, ensure_ascii=False) + "\n",
        )
        return JSONResponse({**message, "status": "queued", "date_sent": None}, status_code=201)

    async def search(self, request: Request) -> Response:
        """GET Messages.json: newest first, one page."""
        if refusal := self._refusal(request):
            return refusal
        size = min(max(int(request.query_params.get("PageSize", "50")), 1), 1000)
        try:
            found = [kept for kept in await self._kept() if _matches(kept, request.query_params)][:size]
        except ValueError:
            return _problem(400, 20001, "A parameter isn't valid.")
        here = str(request.url.path)
        return JSONResponse({
            "messages": found, "page": 0, "page_size": size, "start": 0, "end": max(len(found) - 1, 0),
            "uri": here, "first_page_uri": here, "next_page_uri": None, "previous_page_uri": None,
        })  # fmt: skip

    async def read(self, request: Request) -> Response:
        """GET Messages/SID.json."""
        if refusal := self._refusal(request):
            return refusal
        for kept in await self._kept():
            if kept["sid"] == request.path_params["sid"]:
                return JSONResponse(kept)
        return _problem(404, 20404, f"The requested resource {request.url.path} was not found")

    async def _kept(self) -> list[dict[str, Any]]:
        def load() -> list[dict[str, Any]]:
            paths = [*self._outbox.glob("*.sms.json"), *self._outbox.glob("*.whatsapp.json")]
            return [json.loads(path.read_text()) for path in sorted(paths, reverse=True)]

        return await asyncio.to_thread(load)

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), self._authorization.encode()):
            return _problem(401, 20003, "Authenticate")
        if request.path_params["account"] != self._account:
            return _problem(404, 20404, f"The requested resource {request.url.path} was not found")
        return None

    def _message(self, form: Mapping[str, str]) -> dict[str, Any]:
        now = format_datetime(datetime.now(UTC))
        sid = f"SM{secrets.token_hex(16)}"
        # Twilio shows what a template came to; of ours only the variables are known here.
        body = form.get("Body") or form.get("ContentVariables", "")
        letters = GSM_LETTERS if body.isascii() else UNICODE_LETTERS
        uri = f"/{VERSION}/Accounts/{self._account}/Messages/{sid}"
        return {
            "account_sid": self._account, "api_version": VERSION, "body": body, "date_created": now,
            "date_sent": now, "date_updated": now, "direction": "outbound-api", "error_code": None,
            "error_message": None,
            "from": form.get("From"), "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_media": "1" if form.get("MediaUrl") else "0",
            "num_segments": str(max(1, -(-len(body) // letters))),
            "price": None, "price_unit": "USD", "sid": sid, "status": "delivered",
            "subresource_uris": {"media": f"{uri}/Media.json"}, "to": form["To"], "uri": f"{uri}.json",
        }  # fmt: skip


def _matches(kept: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    if asked.get("To") not in (None, kept["to"]) or asked.get("From") not in (None, kept["from"]):
        return False
    sent = parsedate_to_datetime(kept["date_sent"])
    if "DateSent" in asked and sent.date() != date.fromisoformat(asked["DateSent"][:10]):
        return False
    if "DateSent>" in asked and sent < _moment(asked["DateSent>"]):
        return False
    return not ("DateSent<" in asked and sent > _moment(asked["DateSent<"]))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _problem(status: int, code: int, message: str) -> Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse(
        {"code": code, "message": message, "more_info": more, "status": status}, status_code=status
    )
