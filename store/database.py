"""Connections to PostgreSQL: one engine per process, short transactions, and the bell that wakes loops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import psycopg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from schemas.errors import SettingError

# What others pass around without knowing what it is made of.
Connection = AsyncConnection
# How it shows that the server is away, restarting, or out of connections.
DATABASE_AWAY = (DBAPIError, PoolTimeoutError)
_json = msgspec.json.Encoder()


def driver_url(database_url: str) -> str:
    """`postgresql://…` in the form that makes SQLAlchemy use psycopg 3. Raises SettingError for anything else."""
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise SettingError(
            "HOLDFAST_DATABASE_URL is not a database URL.",
            remedy="Write it as postgresql://user:password@host:port/name.",
        ) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingError(
            f"HOLDFAST_DATABASE_URL names {url.get_backend_name()}, but Holdfast runs on PostgreSQL.",
            remedy="Write it as postgresql://user:password@host:port/name.",
        )
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def encode(value: object) -> str:
    """JSON text for a jsonb parameter; datetimes become ISO text."""
    return _json.encode(value).decode()


class Clock(Protocol):
    """Where a decision takes its `now` from."""

    async def read(self, connection: AsyncConnection) -> datetime:
        """The present moment, aware, UTC."""


class LiveClock:
    """The database's clock, so that all processes agree."""

    async def read(self, connection: AsyncConnection) -> datetime:
        """The database's time at this instant, not at the start of the transaction."""
        row = await connection.execute(text("SELECT clock_timestamp()"))
        return row.scalar_one().astimezone(UTC)  # type: ignore[no-any-return]


class PlayedClock:
    """A clock that only its player moves."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    async def read(self, connection: AsyncConnection) -> datetime:
        """The moment that the player has reached."""
        return self.now


class Database:
    """One process's pool of connections, and its clock."""

    def __init__(
        self, database_url: str, *, connections: int = 10, clock: Clock | None = None, durable: bool = True
    ) -> None:
        """`durable=False`: commits don't wait for the disk and connections aren't tried first, for a
        database that is only played with.
        """
        self.url = database_url
        self.clock: Clock = clock or LiveClock()
        self._notifying = asyncio.Lock()
        self._closed = False
        self.engine: AsyncEngine = create_async_engine(
            driver_url(database_url),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=30,
            # A connection that a restart of the server broke is noticed before it is used.
            pool_pre_ping=durable,
            # What a statement was called with names people; errors end up in logs and histories.
            hide_parameters=True,
            connect_args={
                "connect_timeout": 5,
                "options": "-c statement_timeout=30000 -c timezone=UTC"
                + ("" if durable else " -c synchronous_commit=off"),
            },
        )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self.engine.begin() as connection:
            yield connection

    async def notify(self, channel: str, payload: str = "") -> None:
        """Wake whoever listens to `channel`, with a word of under 8,000 bytes; nobody, once this is closed."""
        async with self._notifying:
            if self._closed:
                return
            async with self.engine.begin() as connection:
                await connection.execute(
                    text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload}
                )

    async def close(self) -> None:
        """Give all connections back, that of a bell which is being rung included.

        Bells are rung in the background. A connection that is given up while it's being made stays half open until the
        server drops it, and until then nobody can drop its database.
        """
        async with self._notifying:
            self._closed = True
            await self.engine.dispose()

    async def listen(self, channels: Sequence[str], bell: asyncio.Event) -> None:
        """Set `bell` at every notification, for ever; reconnects, and rings after each reconnect."""
        dsn = (
            make_url(driver_url(self.url)).set(drivername="postgresql").render_as_string(hide_password=False)
        )
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    dsn, autocommit=True, connect_timeout=5
                ) as connection:
                    for channel in channels:
                        await connection.execute(
                            psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel))
                        )
                    bell.set()
                    async for _ in connection.notifies():
                        bell.set()
            except (psycopg.OperationalError, OSError):
                await asyncio.sleep(0.5)


class Waker:
    """Rings a channel at once, then at most 20 times a second: a NOTIFY per commit costs two thirds of the throughput."""

    INTERVAL_SECONDS = 0.05

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._pending: asyncio.Task[None] | None = None
        self._again = False

    def ring(self) -> None:
        """Ring now, or as soon as the interval is over."""
        if self._pending and not self._pending.done():
            self._again = True
            return
        self._pending = asyncio.get_running_loop().create_task(self._ring())

    async def _ring(self) -> None:
        while True:
            self._again = False
            # Polling is the truth; a lost bell only costs its interval.
            with contextlib.suppress(Exception):
                await self._database.notify(self._channel)
            await asyncio.sleep(self.INTERVAL_SECONDS)
            if not self._again:
                return
