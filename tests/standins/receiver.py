"""A system that takes webhooks: it remembers every request and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tests.standins.http import Request, read_request, respond
from tests.standins.silence import end

OK = respond(200, b'{"ok": true}')
CUT, HANG = b"cut", b"hang"


class ReceiverStandIn:
    """The server; an asynchronous context manager. `script` holds the coming answers, CUT and HANG among them."""

    def __init__(self, script: Sequence[bytes] = ()) -> None:
        self.script = deque(script)
        self.requests: list[Request] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def bodies(self) -> list[Any]:
        """What the requests said, as JSON."""
        return [json.loads(request.body) for request in self.requests]

    async def __aenter__(self) -> ReceiverStandIn:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while request := await read_request(reader):
                self.requests.append(request)
                answer = self.script.popleft() if self.script else OK
                if answer == CUT:
                    break
                if answer == HANG:
                    await asyncio.sleep(3600)
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            await end(writer)


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
