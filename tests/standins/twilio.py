"""Twilio's Messages and Calls resources as far as Holdfast uses it: it accepts, counts, lists, and fails as it is told.

A fault is one of FAULTS, or `status/code` such as `400/21211`, which is answered as Twilio words its errors.
"before" means that the message isn't accepted, "after" that it is.

    python -m tests.standins.twilio --port 4010 --log accepted.jsonl --seed 7 --fail-rate 0.2
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

from tests.standins.http import ConnectionCut, Request, respond
from tests.standins.programme import Journal, Programme, read_script, share
from tests.standins.server import HttpStandIn

FAULTS = (
    "429", "500_before", "500_after", "cut_before", "cut_after", "garbled_after", "truncated_after",
    "huge_after", "307", "drip_after", "hang_before", "hang_after", "delay", "401", "21610",
)  # fmt: skip
CHANCE = ("429", "500_before", "500_after", "cut_before", "cut_after", "garbled_after")
_PATH = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/(Messages|Calls)\.json")
_MESSAGES = {
    20003: "Authentication Error - invalid username",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    21211: "The 'To' number is not a valid phone number.",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21610: "Attempt to send to unsubscribed recipient",
    21655: "The ContentSid is Invalid",
    63007: "Could not find a Channel with the specified From address",
}


@dataclass(frozen=True)
class AcceptedSms:
    """One message that was taken."""

    sid: str
    to: str
    body: str
    delivery: str
    form: dict[str, str]
    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def to_json(self, account: str) -> dict[str, Any]:
        """The Message resource."""
        moment = format_datetime(self.at)
        if self.sid.startswith("CA"):
            return {
                "account_sid": account, "api_version": "2010-04-01", "date_created": moment, "date_updated": moment,
                "direction": "outbound-api", "from": self.form.get("From"), "sid": self.sid, "status": "queued",
                "to": self.to, "uri": f"/2010-04-01/Accounts/{account}/Calls/{self.sid}.json",
            }  # fmt: skip
        return {
            "account_sid": account, "api_version": "2010-04-01", "body": self.body, "date_created": moment,
            "date_sent": None, "date_updated": moment, "direction": "outbound-api", "error_code": None,
            "error_message": None, "from": self.form.get("From"),
            "messaging_service_sid": self.form.get("MessagingServiceSid"), "num_media": "0",
            "num_segments": "1", "price": None, "price_unit": "USD", "sid": self.sid, "status": "queued",
            "subresource_uris": {}, "to": self.to,
            "uri": f"/2010-04-01/Accounts/{account}/Messages/{self.sid}.json",
        }  # fmt: skip


class TwilioStandIn(HttpStandIn):
    """The server; an asynchronous context manager. `url` is known once it is started."""

    def __init__(
        self,
        programme: Programme | None = None,
        *,
        account: str = "AC" + "0" * 32,
        token: str = "secret",
        port: int = 0,
        log: str | Path | None = None,
        delay_seconds: float = 0.2,
        retry_after: str = "7",
        contents: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port)
        self.programme = programme or Programme()
        self.account = account
        self.token = token
        self.accepted: list[AcceptedSms] = []
        self.requests: list[str] = []
        # What the next message to a number meets, instead of the programme's; `held_before` waits for `go_on`.
        self.faults_of: dict[str, str] = {}
        self.go_on = asyncio.Event()
        self._delay_seconds = delay_seconds
        self._retry_after = retry_after
        # What approved templates say, by their sid, with {{1}} for a variable.
        self._contents = dict(contents or {})
        self._journal = Journal(log)

    def count(self, delivery: str) -> int:
        """How often a delivery was accepted."""
        return sum(sms.delivery == delivery for sms in self.accepted)

    def count_body(self, body: str) -> int:
        """How often a text was accepted."""
        return sum(sms.body == body for sms in self.accepted)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._journal.close()

    def accept(self, form: dict[str, str]) -> AcceptedSms:
        """Take a message, for good."""
        delivery = parse_qs(urlsplit(form.get("StatusCallback", "")).query).get("d", [""])[0]
        kind = "CA" if "Twiml" in form else "SM"
        sms = AcceptedSms(kind + uuid4().hex, form["To"], self._read(form), delivery, form)
        self.accepted.append(sms)
        self._journal.write({"sid": sms.sid, "to": sms.to, "body": sms.body, "delivery": sms.delivery})
        return sms

    def _read(self, form: dict[str, str]) -> str:
        """What the phone shows: the body, or the template filled in."""
        text = form.get("Twiml") or form.get("Body") or self._contents.get(form.get("ContentSid", ""), "")
        for name, value in json.loads(form.get("ContentVariables") or "{}").items():
            text = text.replace("{{" + name + "}}", value)
        return text

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        """Take a message, or list those taken."""
        self.requests.append(request.method)
        credentials = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        path = _PATH.fullmatch(request.path)
        if request.headers.get("authorization") != f"Basic {credentials}":
            yield _error(401, 20003)
        elif path is None or path.group(1) != self.account:
            yield _error(404, 20404)
        elif request.method == "GET":
            yield self._list(request, path.group(2))
        else:
            async for piece in self._post(request.form):
                yield piece

    async def _post(self, form: dict[str, str]) -> AsyncIterator[bytes]:
        refusal = _check(form, self._contents)
        if refusal:
            yield _error(400, refusal)
            return
        fault = self.faults_of.pop(form["To"], None) or self.programme.draw()
        if fault == "cut_before":
            raise ConnectionCut
        if fault == "hang_before":
            await asyncio.sleep(3600)
        if fault == "held_before":
            await self.go_on.wait()
        if fault == "delay":
            await asyncio.sleep(self._delay_seconds)
        if fault == "307":
            yield respond(307, b"", Location=f"{self.url}/2010-04-01/Accounts/{self.account}/Messages.json")
        elif fault == "429":
            yield _error(429, 20429, **{"Retry-After": self._retry_after})
        elif fault == "401":
            yield _error(401, 20003)
        elif fault == "21610":
            yield _error(400, 21610)
        elif fault == "500_before":
            yield respond(500, b"oops", kind="text/plain")
        elif "/" in fault:
            status, code = fault.split("/")
            yield _error(int(status), int(code))
        else:
            sms = self.accept(form)
            async for piece in self._confirm(fault, json.dumps(sms.to_json(self.account)).encode()):
                yield piece

    async def _confirm(self, fault: str, body: bytes) -> AsyncIterator[bytes]:
        if fault == "500_after":
            yield respond(500, b"oops", kind="text/plain")
        elif fault == "cut_after":
            raise ConnectionCut
        elif fault == "hang_after":
            await asyncio.sleep(3600)
        elif fault == "garbled_after":
            yield respond(201, b"<html>created</html>", kind="text/html")
        elif fault == "truncated_after":
            yield respond(201, body)[:-20]
            raise ConnectionCut
        elif fault == "huge_after":
            yield respond(201, b'{"sid": "' + b"x" * 3_000_000 + b'"}')
        elif fault == "drip_after":
            for byte in respond(201, body):
                yield bytes([byte])
                await asyncio.sleep(0.05)
        else:
            yield respond(201, body)

    def _list(self, request: Request, kind: str) -> bytes:
        query = request.query
        called = kind == "Calls"
        found = [
            sms
            for sms in reversed(self.accepted)
            if query.get("To") in (None, sms.to) and sms.sid.startswith("CA") is called
        ]
        earliest, latest = query.get("DateSent>", "")[:10], query.get("DateSent<", "9999")[:10]
        found = [sms for sms in found if earliest <= sms.at.date().isoformat() <= latest]
        size, page = int(query.get("PageSize", "50")), int(query.get("Page", "0"))
        more = urlencode({**query, "Page": page + 1}) if len(found) > (page + 1) * size else ""
        path = f"/2010-04-01/Accounts/{self.account}/{kind}.json"
        shown = [sms.to_json(self.account) for sms in found[page * size : (page + 1) * size]]
        answer = {
            kind.lower(): shown, "page": page, "page_size": size, "start": page * size,
            "end": page * size + len(shown), "uri": path, "first_page_uri": path, "previous_page_uri": None,
            "next_page_uri": f"{path}?{more}" if more else None,
        }  # fmt: skip
        return respond(200, json.dumps(answer).encode())


def _check(form: dict[str, str], contents: Mapping[str, str]) -> int | None:
    if "To" not in form:
        return 21604
    if not re.fullmatch(r"(whatsapp:)?\+[1-9]\d{6,14}", form["To"]):
        return 21211
    if form["To"].startswith("whatsapp:"):
        if not form.get("From", "MG").startswith(("whatsapp:", "MG")):
            return 63007
        if form.get("ContentSid") not in contents and ("ContentSid" in form or not form.get("Body")):
            return 21655
    elif not form.get("Body") and not form.get("Twiml"):
        return 21602
    return None if form.get("From") or form.get("MessagingServiceSid") else 21603


def _error(status: int, code: int, **headers: str) -> bytes:
    body = {
        "code": code, "message": _MESSAGES.get(code, "Refused."), "status": status,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
    }  # fmt: skip
    return respond(status, json.dumps(body).encode(), **headers)


async def _run(arguments: argparse.Namespace) -> None:
    programme = Programme(
        read_script(arguments.script), share(arguments.fail_rate, arguments.faults.split(",")), arguments.seed
    )
    server = TwilioStandIn(
        programme, account=arguments.account, token=arguments.token, port=arguments.port, log=arguments.log,
        delay_seconds=arguments.delay,
    )  # fmt: skip
    async with server:
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A Twilio that counts and fails.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="append one JSON line per accepted message")
    parser.add_argument("--account", default="AC" + "0" * 32)
    parser.add_argument("--token", default="secret")
    parser.add_argument("--script", help="JSON list of faults, one per message")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fail-rate", type=float, default=0.0)
    parser.add_argument("--faults", default=",".join(CHANCE), help="what the fail rate draws from")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds of the fault `delay`")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
