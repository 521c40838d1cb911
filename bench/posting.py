"""Posting events over one kept-open connection, with as little of our own time in it as possible."""

from __future__ import annotations

import asyncio
import base64


class Poster:
    """One HTTP/1.1 connection to the web process; `headers` are lines that go with each request."""

    def __init__(self, port: int, api_key: str, *, headers: str = "") -> None:
        self._port, self._headers = port, headers
        self._credentials = base64.b64encode(f"{api_key}:".encode()).decode()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> Poster:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def post(self, path: str, body: bytes) -> int:
        """Post JSON; returns the status when the whole answer is there.

        A server closes a connection that was idle for long: then the request goes out again over a new one, which
        changes nothing where events carry their ids.
        """
        return await self._ask(path, body, "POST")

    async def get(self, path: str) -> int:
        """Get; returns the status when the whole answer is there, as `post` does."""
        return await self._ask(path, b"", "GET")

    async def _ask(self, path: str, body: bytes, method: str) -> int:
        kept = self._writer is not None
        try:
            return await self._send(path, body, method)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not kept:
                raise
            self.close()
            await self.open()
            return await self._send(path, body, method)

    async def _send(self, path: str, body: bytes, method: str) -> int:
        if self._reader is None or self._writer is None:
            await self.open()
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {self._credentials}\r\n"
            f"{self._headers}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        start = lower.index(b"content-length:") + len(b"content-length:")
        await self._reader.readexactly(int(lower[start : lower.index(b"\r\n", start)]))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
