"""A server that takes connections and never says a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.standins.server import StandInServer


class _Silence(StandInServer):
    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()


@asynccontextmanager
async def serve_silence() -> AsyncIterator[int]:
    """The port on which nothing is answered."""
    async with _Silence() as server:
        yield server.port
