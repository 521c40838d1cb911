"""What every stand-in is: a server on this machine that ends all its conversations with itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.standins.http import ConnectionCut, Request, read_request


class StandInServer:
    """The server; an asynchronous context manager. `port` is known once it is started."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._listening: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one conversation; it ends with this, or when either side hangs up."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        await self.drop_connections()
        await self._listening.wait_closed()

    async def drop_connections(self) -> None:
        """Close every connection, as a server does that restarts."""
        tasks = list(self._conversations)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionCut):
            pass
        finally:
            self._conversations.discard(task)
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


class HttpStandIn(StandInServer):
    """One that speaks HTTP."""

    @property
    def url(self) -> str:
        """Where it is found."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request) -> AsyncIterator[bytes]:
        """The bytes of the answer, piece by piece; ConnectionCut to hang up."""
        raise NotImplementedError

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        while request := await read_request(reader):
            async for piece in self.answer(request):
                writer.write(piece)
                await writer.drain()
