"""Connections to PostgreSQL: one engine per process, short transactions, and the bell that wakes loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import msgspec
import psycopg
from psycopg.types.json import set_json_loads
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from schemas.errors import SettingError
from store.asking import TRUSTED_SECONDS, Driver, ReadingLane, Source, fetch, has_news

# What others pass around without knowing what it is made of.
Connection = AsyncConnection
# How it shows that the server is away, restarting, or out of connections.
DATABASE_AWAY = (DBAPIError, PoolTimeoutError)
# How connections are made: a server that says nothing is waited for so many seconds.
CONNECTED = {"connect_timeout": 5}
_USED_AT = "used_at"
_OPTIONS = "-c statement_timeout=30000 -c timezone=UTC"
_json = msgspec.json.Encoder()
_read_json = msgspec.json.Decoder().decode


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


def _dsn_of(database_url: str) -> str:
    url = make_url(driver_url(database_url)).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def encode(value: object) -> str:
    """JSON text for a jsonb parameter; datetimes become ISO text."""
    return _json.encode(value).decode()


def _decode(value: bytes | bytearray | str) -> Any:
    """What PostgreSQL sends as JSON; three times as fast as the standard library."""
    try:
        return _read_json(value)
    except msgspec.DecodeError:
        # Numbers that no float holds, which the standard library reads as infinite.
        return json.loads(value)


class Clock(Protocol):
    """Where a decision takes its `now` from."""

    async def read(self, source: Source) -> datetime:
        """The present moment, aware, UTC."""

    def fixed(self) -> datetime | None:
        """The present moment where it isn't what the database's clock says."""


class LiveClock:
    """The database's clock, so that all processes agree."""

    async def read(self, source: Source) -> datetime:
        """The database's time at this instant, not at the start of the transaction."""
        [[now]] = await fetch(source, "SELECT clock_timestamp()", {})
        return now.astimezone(UTC)  # type: ignore[no-any-return]

    def fixed(self) -> datetime | None:
        """Nothing: whoever reads the database's clock along with something else needs no statement for it."""
        return None


class PlayedClock:
    """A clock that only its player moves."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    async def read(self, source: Source) -> datetime:
        """The moment that the player has reached."""
        return self.now

    def fixed(self) -> datetime | None:
        """The same."""
        return self.now


class Database:
    """One process's pool of connections, and its clock; as a context it is closed when the block ends."""

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
        self._being_made: set[asyncio.Task[psycopg.AsyncConnection[Any]]] = set()
        options = f"{_OPTIONS}{'' if durable else ' -c synchronous_commit=off'}"
        self.engine: AsyncEngine = create_async_engine(
            driver_url(database_url),
            pool_size=connections,
            max_overflow=0,
            # What was given back last goes out first: its statements are prepared, and it was alive a moment ago.
            pool_use_lifo=True,
            pool_timeout=30,
            # What a statement was called with names people; errors end up in logs and histories.
            hide_parameters=True,
            json_deserializer=_decode,
            connect_args={"async_creator_fn": self.connect, **CONNECTED, "options": options},
        )
        self._lane = ReadingLane(functools.partial(self._connect_for_reading, options), connections)

        event.listen(self.engine.sync_engine, "checkin", self._take_back)
        if durable:
            # A connection that a restart of the server broke is noticed before it is used.
            event.listen(self.engine.sync_engine, "checkout", self._try)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failed: object) -> None:
        await self.close()

    def _try(self, adapted: Any, record: ConnectionPoolEntry, proxy: object) -> None:
        """Give a connection out only if it works: one that was used just now and got no word since needs no asking."""
        driver = record.driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)
        used_at = record.info.get(_USED_AT)
        if used_at is None:
            return  # it was made this instant
        if time.monotonic() - used_at < TRUSTED_SECONDS and not driver.closed and not has_news(driver):
            return
        try:
            working = self.engine.dialect.do_ping(adapted)
        except psycopg.Error:
            working = False
        if not working:
            raise InvalidatePoolError

    def _take_back(self, adapted: object, record: ConnectionPoolEntry) -> None:
        """Keep what was given back, or close it where nobody will use it any more: the pool that it came from was emptied
        by the close, and what comes later would stay open until the garbage collector finds it.
        """
        record.info[_USED_AT] = time.monotonic()
        driver = record.driver_connection
        if self._closed and isinstance(driver, psycopg.AsyncConnection):
            driver.pgconn.finish()

    @contextlib.asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement is a transaction of its own, for what is written by one alone."""
        async with self.engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    def reading(self) -> AbstractAsyncContextManager[Driver]:
        """What `fetch` can ask where nothing is stored: every statement sees what was committed when it began."""
        return self._lane.take()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self.engine.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def counting(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for counting everybody: its statements take one processor at a time, so that others are answered."""
        async with self.engine.begin() as connection:
            await connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
            yield connection

    async def notify(self, channel: str, payload: str = "") -> None:
        """Wake whoever listens to `channel`, with a word of under 8,000 bytes; nobody, once this is closed."""
        async with self._notifying:
            if self._closed:
                return
            async with self.reading() as source:
                await fetch(
                    source,
                    "SELECT pg_notify(%(channel)s, %(payload)s)",
                    {"channel": channel, "payload": payload},
                )

    async def connect(self, *where: Any, **how: Any) -> psycopg.AsyncConnection[Any]:
        """A driver's own connection that is made to its end even if whoever wants it is cancelled: one that is given up half way
        stays open until the server drops it after a minute, and until then nobody can drop its database. Raises
        psycopg.OperationalError.
        """
        if self._closed:
            raise psycopg.OperationalError("this process is done with the database")
        making = asyncio.create_task(psycopg.AsyncConnection.connect(*where, **how))
        self._being_made.add(making)
        making.add_done_callback(self._being_made.discard)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_give_back)
            raise

    async def connect_aside(self) -> Driver:
        """A connection beside the pool, to listen on. Raises as `connect`."""
        return await self.connect(_dsn_of(self.url), autocommit=True, **CONNECTED)

    async def close(self) -> None:
        """Give all connections back, that of a bell which is being rung and those that are being made included."""
        async with self._notifying:
            self._closed = True
            await self._lane.close()
            await self.engine.dispose()
        if self._being_made:
            await asyncio.wait(self._being_made)

    async def _connect_for_reading(self, options: str) -> Driver:
        driver = await self.connect(_dsn_of(self.url), autocommit=True, options=options, **CONNECTED)
        set_json_loads(_decode, driver)
        return driver

    async def listen(self, channels: Sequence[str], bell: asyncio.Event) -> None:
        """Set `bell` at every notification, for ever; reconnects, and rings after each reconnect."""
        while True:
            try:
                async with await self.connect_aside() as connection:
                    for channel in channels:
                        await connection.execute(
                            psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel))
                        )
                    bell.set()
                    async for _ in connection.notifies():
                        bell.set()
            except (psycopg.OperationalError, OSError):
                await asyncio.sleep(0.5)


def _give_back(made: asyncio.Task[psycopg.AsyncConnection[Any]]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().pgconn.finish()


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
