"""What changes, told to whoever watches: one look at the database for all watchers of a process; scores as heard.

Whoever watches one customer, run or playbook hears of that alone. Of a customer or a run they hear of everything that
its page shows, whoever changed it (`web.open_pages`). That something can't be told one by one is told as `reload`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextvars import Context
from datetime import datetime

from store.bells import until_rung
from store.database import Database
from store.faults import is_away
from store.reading_changes import CHANNEL, ChangeRow, list_changes
from store.score_news import listen_for_scores
from web.listeners import ALL, About, Listeners
from web.new_changes import NewChanges
from web.open_pages import OpenPages

logger = logging.getLogger("holdfast.web")


# Something is not told: whoever hears this reads anew what they show. `state` says why: more changed at once, or since
# the last event seen, than is told one by one; that was longer ago than is looked back; scores couldn't be heard.
RELOAD = "reload"
TOO_MANY, TOO_OLD, SCORES = "too_many", "too_old", "scores"


class Changes:
    """Watches while somebody listens: at a ring of `holdfast_changes`, and twice a second without one."""

    INTERVAL_SECONDS = 0.5
    # Rings in quick succession are one look.
    PAUSE_SECONDS = 0.25
    # More isn't told one by one to whoever comes back.
    MOST_MISSED = 2000
    RECONNECT_SECONDS = 0.5

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners = Listeners()
        self._tasks: list[asyncio.Task[None]] = []
        self._new = NewChanges(database)
        self._pages = OpenPages(database, self._listeners)
        self._bell = asyncio.Event()
        self._joining = asyncio.Lock()
        self._hearing = asyncio.Event()
        self._closed = False

    async def follow(
        self, since: datetime | None = None, about: About = ALL
    ) -> AsyncIterator[ChangeRow | None]:
        """Changes as they come, for ever; first those after `since`, an hour back at most; RELOAD where that isn't all.

        None says that it listens now, and later that nothing came for a while.
        Ends when this is closed, or when the listener falls too far behind.
        """
        if self._closed:
            return
        async with contextlib.AsyncExitStack() as joined:
            async with self._joining:
                if not self._listeners:
                    # What there is by now isn't news to the first listener.
                    await self._try_look(tell=False)
                queue = joined.enter_context(self._listeners.join(about))
                self._start()
            await self._wait_to_hear()
            if about.watched is not None:
                await self._pages.note(about.watched)
            yield None
            for change in await self._missed(since) if since else ():
                if change.kind == RELOAD or about.concerns(change):
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
        self._listeners.end()

    def _start(self) -> None:
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(work(), context=Context())
                for work in (self._watch, self._pages.watch, self._listen, self._hear_scores)
            ]

    async def _wait_to_hear(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.RECONNECT_SECONDS):
                await self._hearing.wait()

    async def _missed(self, since: datetime) -> list[ChangeRow]:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            furthest = now - self._new.FURTHEST_BACK
            # What was committed after its neighbours were told has an earlier moment than theirs.
            missed = await list_changes(
                connection, max(since, furthest) - self._new.OVERLAP, self.MOST_MISSED + 1
            )
        if len(missed) > self.MOST_MISSED:
            return [_reload(TOO_MANY, now)]
        return [_reload(TOO_OLD, furthest), *missed] if since < furthest else missed

    async def _listen(self) -> None:
        await self._database.listen([CHANNEL], self._bell)

    async def _hear_scores(self) -> None:
        # They come as they are told: nothing is stored that could be looked for.
        deaf = False
        while True:
            try:
                async for heard in listen_for_scores(self._database):
                    self._hearing.set()
                    if deaf:
                        self._listeners.tell_all(_reload(SCORES, await self._read_clock()))
                        deaf = False
                    for one in heard:
                        self._listeners.tell(
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
            deaf = True
            self._hearing.clear()
            await asyncio.sleep(self.RECONNECT_SECONDS)

    async def _read_clock(self) -> datetime:
        async with self._database.reading() as source:
            return await self._database.clock.read(source)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.PAUSE_SECONDS)
            await until_rung(self._bell, self.INTERVAL_SECONDS)
            self._bell.clear()
            if self._listeners:
                await self._try_look(tell=True)

    async def _try_look(self, *, tell: bool) -> None:
        try:
            news = await self._new.read(anew=not tell)
            if tell and news.too_many:
                self._listeners.tell_all(_reload(TOO_MANY, news.at))
            elif tell:
                await self._listeners.tell_in_order(news.changes)
        except Exception as error:
            # Whatever it is, the next look may go well; watchers only hear nothing until then.
            if is_away(error):
                logger.warning("changes can't be read, the database is away: %s", type(error).__name__)
            else:
                logger.exception("changes can't be read")


def _reload(why: str, at: datetime) -> ChangeRow:
    return ChangeRow(kind=RELOAD, id="", run_id="", playbook="", user_id="", state=why, at=at)
