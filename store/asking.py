"""Asking the driver itself: for what every message needs, and for what pages and the API read all the time, since
SQLAlchemy's way to a statement takes longer than PostgreSQL's.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import AsyncRowFactory, dict_row, tuple_row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

Driver = psycopg.AsyncConnection[Any]
# What a statement can be asked of: a connection in or out of a transaction, or one that is only read from.
Source = AsyncConnection | Driver
# A connection that was given back so short a time ago isn't asked whether it works, if nothing came on it since.
TRUSTED_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
R = TypeVar("R")


async def fetch(source: Source, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement that gives rows; it is prepared. Placeholders are `%(name)s`. Raises as SQLAlchemy does."""
    return await _ask(source, query, values, tuple_row)


async def fetch_named(source: Source, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `fetch`, each row by the names of its columns."""
    return await _ask(source, query, values, dict_row)


async def perform(source: Source, query: str, values: Mapping[str, Any]) -> None:
    """As `fetch`, of a statement that gives no rows."""
    await _ask(source, query, values, tuple_row)


async def _ask(source: Source, query: str, values: Mapping[str, Any], rows: AsyncRowFactory[R]) -> list[R]:
    driver = source if isinstance(source, psycopg.AsyncConnection) else _driver_of(source)
    try:
        cursor = driver.cursor(row_factory=rows)
        await cursor.execute(query, values, prepare=True)
        return await cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        gone = driver.closed
        if gone and isinstance(source, AsyncConnection):
            await source.invalidate(error)
        raise _as_sqlalchemy(error, query, gone=gone) from error


def _driver_of(connection: AsyncConnection) -> Driver:
    below = connection.sync_connection
    assert below is not None
    driver = below.connection.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


def _as_sqlalchemy(error: psycopg.Error, query: str, *, gone: bool) -> BaseException:
    # What a statement was called with names people; errors end up in logs and histories.
    return DBAPIError.instance(
        query, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=gone
    )


def has_news(driver: Driver) -> bool:
    """Whether something came on an idle connection: its end, or the server's last words."""
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(waiting.poll(0))


class ReadingLane:
    """The connections that are only read from: every statement is a transaction of its own, and there is nothing to begin,
    to end or to reset.
    """

    def __init__(self, connect: Callable[[], Awaitable[Driver]], connections: int) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(connections)
        # What was given back last goes out first: its statements are prepared, and it was alive a moment ago.
        self._idle: list[tuple[Driver, float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[Driver]:
        """One of them, that works. Raises what DATABASE_AWAY names where there is none."""
        if self._room.locked():
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._room.acquire()
            except TimeoutError:
                raise PoolTimeoutError("too many read at once") from None
        else:
            await self._room.acquire()
        driver: Driver | None = None
        try:
            driver = await self._find() or await self._open()
            yield driver
        finally:
            if driver is not None:
                self._give_back(driver)
            self._room.release()

    async def close(self) -> None:
        """Close what is idle; the rest is closed when it is given back."""
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].close()

    async def _find(self) -> Driver | None:
        while self._idle:
            driver, used_at = self._idle.pop()
            if time.monotonic() - used_at < TRUSTED_SECONDS and not driver.closed and not has_news(driver):
                return driver
            try:
                await driver.execute("")
            except psycopg.Error:
                await driver.close()
            except asyncio.CancelledError:
                driver.pgconn.finish()
                raise
            else:
                return driver
        return None

    async def _open(self) -> Driver:
        try:
            return await self._connect()
        except psycopg.Error as error:
            raise _as_sqlalchemy(error, "", gone=False) from error

    def _give_back(self, driver: Driver) -> None:
        # One that was cancelled in the midst of a statement isn't waited for.
        if self._closed or driver.pgconn.transaction_status != TransactionStatus.IDLE:
            driver.pgconn.finish()
        else:
            self._idle.append((driver, time.monotonic()))
