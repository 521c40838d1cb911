"""A server that takes connections and never says a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def serve_silence() -> AsyncIterator[int]:
    """The port on which nothing is answered."""
    tasks: set[asyncio.Task[None]] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.read()
        await end(writer)

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()


async def end(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, and see it closed."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()
