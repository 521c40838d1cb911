"""What changes, told to whoever watches: one look at the database for all watchers of a process; scores as heard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextvars import Context
from datetime import datetime, timedelta

from store.bells import until_rung
from store.database import Database
from store.faults import is_away
from store.reading_changes import CHANNEL, list_changes
from store.reading_rows import ChangeRow
from store.score_news import listen_for_scores

logger = logging.getLogger("holdfast.web")


class Changes:
    """Watches while somebody listens: at a ring of `holdfast_changes`, and every two seconds without one."""

    INTERVAL_SECONDS = 2.0
    # Rings in quick succession are one look.
    PAUSE_SECONDS = 0.25
    # A row's moment is taken before its commit, so each look goes back a little and tells only what is new.
    OVERLAP = timedelta(seconds=30)
    FURTHEST_BACK = timedelta(hours=1)
    MOST_BEHIND = 1000
    RECONNECT_SECONDS = 0.5

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[asyncio.Queue[ChangeRow | None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._told: dict[tuple[str, str, str], str] = {}
        self._bell = asyncio.Event()
        self._joining = asyncio.Lock()
        self._closed = False

    async def follow(self, since: datetime | None = None) -> AsyncIterator[ChangeRow | None]:
        """Changes as they come, for ever; first those after `since`, an hour back at most.

        None says that it listens now, and later that nothing came for a while.
        Ends when this is closed, or when the listener falls too far behind.
        """
        if self._closed:
            return
        queue: asyncio.Queue[ChangeRow | None] = asyncio.Queue(self.MOST_BEHIND)
        await self._join(queue)
        try:
            yield None
            for change in await self._missed(since) if since else ():
                yield change
            while not self._closed and queue in self._listeners:
                try:
                    async with asyncio.timeout(15):
                        change_or_end = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if change_or_end is None:
                    return
                yield change_or_end
        finally:
            self._listeners.discard(queue)

    @property
    def listeners(self) -> int:
        """How many follow."""
        return len(self._listeners)

    async def close(self) -> None:
        """End every stream, then stop looking."""
        self.end_streams()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def end_streams(self) -> None:
        """Tell every listener that this is the end."""
        self._closed = True
        for queue in list(self._listeners):
            self._drop(queue)

    async def _join(self, queue: asyncio.Queue[ChangeRow | None]) -> None:
        async with self._joining:
            if not self._listeners:
                # What there is by now isn't news to the first listener.
                await self._try_look(tell=False)
            self._listeners.add(queue)
            if not self._tasks:
                self._tasks = [
                    asyncio.create_task(work(), context=Context())
                    for work in (self._watch, self._listen, self._hear_scores)
                ]

    async def _missed(self, since: datetime) -> list[ChangeRow]:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            return await list_changes(connection, max(since, now - self.FURTHEST_BACK))

    async def _listen(self) -> None:
        await self._database.listen([CHANNEL], self._bell)

    async def _hear_scores(self) -> None:
        # They come as they are told: nothing is stored that would have to be looked for.
        while True:
            try:
                async for heard in listen_for_scores(self._database):
                    for one in heard:
                        self._tell(
                            ChangeRow(
                                kind=one.kind,
                                id=one.customer_id,
                                run_id="",
                                playbook="",
                                user_id=one.user_id,
                                state=one.state,
                                at=one.at,
                            )
                        )
            except Exception as error:
                if is_away(error):
                    logger.warning("scores can't be heard, the database is away: %s", type(error).__name__)
                else:
                    logger.exception("scores can't be heard")
            await asyncio.sleep(self.RECONNECT_SECONDS)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.PAUSE_SECONDS)
            await until_rung(self._bell, self.INTERVAL_SECONDS)
            self._bell.clear()
            if self._listeners:
                await self._try_look(tell=True)

    async def _try_look(self, *, tell: bool) -> None:
        try:
            await self._look(tell=tell)
        except Exception as error:
            # Whatever it is, the next look may go well; watchers only hear nothing until then.
            if is_away(error):
                logger.warning("changes can't be read, the database is away: %s", type(error).__name__)
            else:
                logger.exception("changes can't be read")

    async def _look(self, *, tell: bool) -> None:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            rows = await list_changes(connection, now - self.OVERLAP)
        told: dict[tuple[str, str, str], str] = {}
        for row in rows:
            key = (row.kind, row.run_id, row.id)
            told[key] = row.state
            if tell and self._told.get(key) != row.state:
                self._tell(row)
        self._told = told

    def _tell(self, row: ChangeRow) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(row)
            except asyncio.QueueFull:
                self._drop(queue)

    def _drop(self, queue: asyncio.Queue[ChangeRow | None]) -> None:
        self._listeners.discard(queue)
        with contextlib.suppress(asyncio.QueueFull, asyncio.QueueEmpty):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
