"""A stand-in for Twilio's Messages and Calls that delivers nowhere: each becomes a file that can be looked at.

Speaks what the real Twilio client asks for: creating one, reading one, listing by To, From and the day.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loops.conduct import ChannelConduct, Conduct, Fault, SinkChannel
from loops.mail_sink import keep_message, message_name

VERSION = "2010-04-01"
GSM_LETTERS = 160
UNICODE_LETTERS = 70


WHATSAPP = "whatsapp:"


class SmsSink:
    """Keeps each message in `outbox` as TIME-RANDOM.sms.json, in Twilio's own shape, before it says 201.

    What goes to a WhatsApp address becomes TIME-RANDOM.whatsapp.json, a call TIME-RANDOM.voice.json.
    """

    def __init__(
        self, outbox: Path, account_sid: str, auth_token: str, conduct: Conduct | None = None
    ) -> None:
        self._outbox = outbox
        self._conduct = conduct or Conduct()
        self._account = account_sid
        expected = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._authorization = f"Basic {expected}"

    def routes(self) -> list[Route]:
        """What it answers to."""
        messages = f"/{VERSION}/Accounts/{{account}}/Messages.json"
        calls = f"/{VERSION}/Accounts/{{account}}/Calls.json"
        one = f"/{VERSION}/Accounts/{{account}}/Messages/{{sid}}.json"
        return [
            Route(messages, self.create, methods=["POST"]),
            Route(messages, self.search, methods=["GET"]),
            Route(one, self.read, methods=["GET"]),
            Route(calls, self.call, methods=["POST"]),
            Route(calls, self.search, methods=["GET"]),
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
        kind: SinkChannel = "whatsapp" if form["To"].startswith(WHATSAPP) else "sms"
        return await self._take(kind, form, lambda: self._message(form))

    async def call(self, request: Request) -> Response:
        """POST Calls.json: the same for a call, which nobody answers."""
        if refusal := self._refusal(request):
            return refusal
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        if not form.get("To") or not form.get("From") or not (form.get("Twiml") or form.get("Url")):
            return _problem(400, 21201, "A call needs 'To', 'From', and 'Twiml' or 'Url'.")
        return await self._take("voice", form, lambda: self._call(form))

    async def _take(
        self, kind: SinkChannel, form: Mapping[str, str], make: Callable[[], dict[str, Any]]
    ) -> Response:
        fault = self._conduct.draw(kind)
        if refusal := _fail(fault, self._conduct.channels[kind]):
            return refusal

        async def keep() -> dict[str, Any]:
            made = make()
            kept = {
                **made,
                "content_sid": form.get("ContentSid"),
                "content_variables": form.get("ContentVariables"),
                "twiml": form.get("Twiml"),
                "status_callback": form.get("StatusCallback"),
            }
            text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
            path = self._outbox / f"{message_name()}.{kind}.json"
            await asyncio.to_thread(keep_message, path, text)
            return made

        made = await self._conduct.take(kind, fault, keep)
        return JSONResponse({**made, "status": "queued", "date_sent": None}, status_code=201)

    async def search(self, request: Request) -> Response:
        """GET Messages.json or Calls.json: newest first, one page."""
        if refusal := self._refusal(request):
            return refusal
        what = "calls" if request.url.path.endswith("/Calls.json") else "messages"
        size = min(max(int(request.query_params.get("PageSize", "50")), 1), 1000)
        try:
            known = await (self._kept("voice") if what == "calls" else self._kept("sms", "whatsapp"))
            found = [kept for kept in known if _matches(kept, request.query_params)][:size]
        except ValueError:
            return _problem(400, 20001, "A parameter isn't valid.")
        here = str(request.url.path)
        return JSONResponse({
            what: found, "page": 0, "page_size": size, "start": 0, "end": max(len(found) - 1, 0),
            "uri": here, "first_page_uri": here, "next_page_uri": None, "previous_page_uri": None,
        })  # fmt: skip

    async def read(self, request: Request) -> Response:
        """GET Messages/SID.json."""
        if refusal := self._refusal(request):
            return refusal
        for kept in await self._kept("sms", "whatsapp"):
            if kept["sid"] == request.path_params["sid"]:
                return JSONResponse(kept)
        return _problem(404, 20404, f"The requested resource {request.url.path} was not found")

    async def _kept(self, *kinds: SinkChannel) -> list[dict[str, Any]]:
        def load() -> list[dict[str, Any]]:
            paths = [path for kind in kinds for path in self._outbox.glob(f"*.{kind}.json")]
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

    def _call(self, form: Mapping[str, str]) -> dict[str, Any]:
        now = format_datetime(datetime.now(UTC))
        sid = f"CA{secrets.token_hex(16)}"
        uri = f"/{VERSION}/Accounts/{self._account}/Calls/{sid}.json"
        return {
            "account_sid": self._account, "api_version": VERSION, "date_created": now, "date_sent": now,
            "date_updated": now, "direction": "outbound-api", "from": form["From"], "sid": sid,
            "status": "completed", "to": form["To"], "uri": uri, "subresource_uris": {},
        }  # fmt: skip


def _fail(fault: Fault, conduct: ChannelConduct) -> Response | None:
    match fault:
        case "busy":
            refusal = _problem(429, 20429, "Too Many Requests")
            refusal.headers["Retry-After"] = str(conduct.retry_after_seconds)
            return refusal
        case "error":
            return _problem(500, 20500, "Internal Server Error")
        case "refuse":
            return _problem(400, 21211, "The 'To' number is not a valid phone number.")
        case "account":
            return _problem(401, 20003, "Authenticate")
    return None


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
