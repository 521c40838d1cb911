"""A web process's application on a real port, inside the test's process, and a client to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import text

from schemas.catalogue import load_catalogue
from schemas.errors import Problem
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database
from web.application import build_application
from web.serving import WebServer, bind

KEY = "test-key-0123456789abcdef"


@dataclass
class RunningWeb:
    """Handles of one web application; `other` is a connection pool that the application knows nothing of."""

    address: str
    client: httpx.AsyncClient
    other: Database
    server: WebServer

    async def rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """What another connection sees."""
        async with self.other.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

    async def change(self, sql: str, **parameters: Any) -> None:
        """Change something from another connection."""
        async with self.other.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def count(self, table: str) -> int:
        """How many rows another connection sees in `table`."""
        [row] = await self.rows(f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])


@contextlib.asynccontextmanager
async def run_web(
    database_url: str, temporal: str = "127.0.0.1:9", *, problems: Sequence[Problem] = (), **environ: str
) -> AsyncIterator[RunningWeb]:
    """Serve on a free port; everything is closed at the end. Without `temporal` there is none."""
    given = {"HOLDFAST_DATABASE_URL": database_url, "HOLDFAST_API_KEY": KEY, "TEMPORAL_ADDRESS": temporal, **environ}
    database, other = Database(database_url), Database(database_url, connections=2)
    app = build_application(
        Settings.read(given), database, move=make_mover(load_catalogue()), find_problems=lambda: problems
    )
    listening = asyncio.Event()
    addresses: list[str] = []

    def tell(address: str) -> None:
        addresses.append(address)
        listening.set()

    server = WebServer(app, listening=tell)
    serving = asyncio.create_task(server.serve([bind("127.0.0.1", 0)]))
    await asyncio.wait([serving, asyncio.ensure_future(listening.wait())], return_when=asyncio.FIRST_COMPLETED)
    try:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=addresses[0], headers=headers, timeout=30, trust_env=False) as client:
            yield RunningWeb(addresses[0], client, other, server)
    finally:
        server.should_exit = True
        await serving
        await database.close()
        await other.close()
