"""A system that takes webhooks: it remembers every request and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.standins.http import ConnectionCut, Request, respond
from tests.standins.server import HttpStandIn

OK = respond(200, b'{"ok": true}')
CUT, HANG = b"cut", b"hang"


class ReceiverStandIn(HttpStandIn):
    """The server; an asynchronous context manager. `script` holds the coming answers, CUT and HANG among them."""

    def __init__(self, script: Sequence[bytes] = ()) -> None:
        super().__init__()
        self.script = deque(script)
        self.requests: list[Request] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[Any]:
        """What the requests said, as JSON."""
        return [json.loads(request.body) for request in self.requests]

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        """What the script says; OK where it is at its end."""
        self.requests.append(request)
        answer = self.script.popleft() if self.script else OK
        if answer == CUT:
            raise ConnectionCut
        if answer == HANG:
            await asyncio.sleep(3600)
        yield answer


def verify(request: Request, secret: str) -> bool:
    """Whether one of the request's signatures is right, as the Standard Webhooks specification says to check it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    expected = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    return any(
        hmac.compare_digest(signature, f"v1,{expected}")
        for signature in request.headers["webhook-signature"].split(" ")
    )
