"""What the stand-ins of providers with an HTTP API have in common: they accept, count, and fail as they are told.

A fault is one of FAULTS, or `status/code` such as `400/validation_error`, which is answered as the provider words its
errors. "before" means that the message isn't accepted, "after" that it is. `duplicate` accepts it twice, as carriers do
now and then; `reorder` accepts it after the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.standins.http import ConnectionCut, Request, respond
from tests.standins.programme import Journal, Programme
from tests.standins.server import HttpStandIn

FAULTS = (
    "429", "500_before", "500_after", "503_before", "cut_before", "cut_after", "garbled_after", "truncated_after",
    "huge_after", "307", "drip_after", "hang_before", "hang_after", "delay", "duplicate", "reorder", "refused",
)  # fmt: skip
CHANCE = ("429", "500_before", "500_after", "cut_before", "cut_after", "garbled_after")
CHUNK_BYTES = 64 * 1024
HUGE_BYTES = 128 * 1024 * 1024
TURN_SECONDS = 2.0


@dataclass(frozen=True)
class Accepted:
    """One message that was taken; `content` is what the provider was given."""

    id: str
    to: str
    delivery: str
    content: dict[str, Any]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class ProviderStandIn(HttpStandIn):
    """The server; an asynchronous context manager. `url` is known once it is started."""

    # What is answered to a message that was taken.
    taken_status = 200

    def __init__(
        self,
        programme: Programme | None = None,
        *,
        port: int = 0,
        log: str | Path | None = None,
        delay_seconds: float = 0.2,
        retry_after: str = "7",
    ) -> None:
        super().__init__(port)
        self.programme = programme or Programme()
        self.accepted: list[Accepted] = []
        self.requests: list[Request] = []
        # How much of huge answers left before the client had enough.
        self.bytes_out = 0
        self._delay_seconds = delay_seconds
        self.retry_after = retry_after
        self._journal = Journal(log)
        self._news = asyncio.Condition()

    def count(self, delivery: str) -> int:
        """How often a delivery was accepted."""
        return sum(message.delivery == delivery for message in self.accepted)

    def check(self, request: Request) -> bytes | None:
        """What a request is refused with whatever the programme says: a wrong key, a missing field."""
        raise NotImplementedError

    def read(self, request: Request) -> Accepted:
        """The message that a request holds."""
        raise NotImplementedError

    def confirm(self, message: Accepted) -> bytes:
        """The answer to a message that was taken."""
        raise NotImplementedError

    def refuse(self, status: int, code: str, **headers: str) -> bytes:
        """An error in the provider's own words."""
        raise NotImplementedError

    def refuse_account(self) -> bytes:
        """What a wrong key is answered with."""
        raise NotImplementedError

    def take(self, message: Accepted) -> None:
        """Accept a message, for good."""
        self.accepted.append(message)
        self._journal.write({"id": message.id, "to": message.to, "delivery": message.delivery})

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._journal.close()

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        """Take a message, or fail."""
        self.requests.append(request)
        refusal = self.check(request)
        if refusal is not None:
            yield refusal
            return
        fault = self.programme.draw()
        if fault == "cut_before":
            raise ConnectionCut
        if fault == "hang_before":
            await asyncio.sleep(3600)
        if fault == "delay":
            await asyncio.sleep(self._delay_seconds)
        if fault == "307":
            yield respond(307, b"", Location=f"{self.url}/elsewhere")
        elif fault == "429":
            yield self.refuse(429, "429", **{"Retry-After": self.retry_after})
        elif fault == "refused":
            yield self.refuse_account()
        elif fault in ("500_before", "503_before"):
            yield respond(int(fault[:3]), b"oops", kind="text/plain")
        elif "/" in fault:
            status, code = fault.split("/", 1)
            yield self.refuse(int(status), code)
        else:
            async for piece in self._accept(fault, request):
                yield piece

    async def _accept(self, fault: str, request: Request) -> AsyncIterator[bytes]:
        message = self.read(request)
        if fault == "reorder":
            before = len(self.accepted)
            async with self._news:
                try:
                    async with asyncio.timeout(TURN_SECONDS):
                        await self._news.wait_for(lambda: len(self.accepted) > before)
                except TimeoutError:
                    pass
        for _ in range(2 if fault == "duplicate" else 1):
            self.take(message)
        async with self._news:
            self._news.notify_all()
        answer = self.confirm(message)
        if fault == "500_after":
            yield respond(500, b"oops", kind="text/plain")
        elif fault == "cut_after":
            raise ConnectionCut
        elif fault == "hang_after":
            await asyncio.sleep(3600)
        elif fault == "garbled_after":
            yield respond(self.taken_status, b"<html>sent</html>", kind="text/html")
        elif fault == "truncated_after":
            head, _, body = answer.partition(b"\r\n\r\n")
            # The length says more than what comes.
            longer = head.replace(f"Content-Length: {len(body)}".encode(), b"Content-Length: 5000")
            yield longer + b"\r\n\r\n" + body[:10]
            raise ConnectionCut
        elif fault == "huge_after":
            yield f"HTTP/1.1 {self.taken_status} X\r\nContent-Length: {HUGE_BYTES}\r\n\r\n".encode()
            while self.bytes_out < HUGE_BYTES:
                yield b"x" * CHUNK_BYTES
                self.bytes_out += CHUNK_BYTES
        elif fault == "drip_after":
            for byte in answer:
                yield bytes([byte])
                await asyncio.sleep(0.05)
        else:
            yield answer
