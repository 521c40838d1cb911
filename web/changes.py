"""What changes, told to whoever watches: one look at the database for all watchers of a process; scores as heard.

Whoever watches one customer, run or playbook hears of that alone. Of a customer or a run they hear of everything that
its page shows, whoever changed it (`store.page_marks`). That something can't be told one by one is told as `reload`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from store.bells import until_rung
from store.database import Database
from store.faults import is_away
from store.page_marks import Mark, PageMarks, Watched
from store.reading_changes import CHANNEL, Change, list_changes
from store.reading_rows import ChangeRow
from store.score_news import listen_for_scores
from web.new_changes import NewChanges

logger = logging.getLogger("holdfast.web")


# What is told of a page that is watched; `state` names the parts that are others now.
PAGE = "page"
# Something is not told: whoever hears this reads anew what they show. `state` says why: more changed at once, or since
# the last event seen, than is told one by one; that was longer ago than is looked back; scores couldn't be heard.
RELOAD = "reload"
TOO_MANY, TOO_OLD, SCORES = "too_many", "too_old", "scores"
_Heard = asyncio.Queue[ChangeRow | None]


@dataclass(frozen=True)
class About:
    """Whom or what a listener wants to hear of: one customer (by the caller's id), one run, one playbook; else all.

    `page`: of the customer or the run everything that a page shows, not only what is told to everybody.
    """

    customer: str | None = None
    run: str | None = None
    playbook: str | None = None
    page: bool = False

    @property
    def watched(self) -> Watched | None:
        """Whose page it is."""
        if self.page and self.run is not None:
            return Watched("run", self.run)
        return Watched("customer", self.customer) if self.page and self.customer is not None else None

    def concerns(self, change: ChangeRow) -> bool:
        """Whether this change is to be heard."""
        return (
            self.customer in (None, change.user_id)
            and self.run in (None, change.run_id)
            and self.playbook in (None, change.playbook)
        )


ALL = About()


class Changes:
    """Watches while somebody listens: at a ring of `holdfast_changes`, and twice a second without one."""

    INTERVAL_SECONDS = 0.5
    # How often it is looked whether a page that somebody has open is another.
    PAGES_SECONDS = 0.3
    # Rings in quick succession are one look.
    PAUSE_SECONDS = 0.25
    FURTHEST_BACK = timedelta(hours=1)
    MOST_BEHIND = 1000
    # More isn't told one by one to whoever comes back.
    MOST_MISSED = 2000
    RECONNECT_SECONDS = 0.5
    # After so many, those who listen are let go on.
    TOLD_TOGETHER = 100
    PATIENCE_SECONDS = 0.2

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[_Heard, About] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._new = NewChanges(database)
        self._pages = PageMarks()
        self._marks: dict[Watched, Mark | None] = {}
        self._marking = asyncio.Lock()
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
        queue: _Heard = asyncio.Queue(self.MOST_BEHIND)
        await self._join(queue, about)
        try:
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
        finally:
            self._listeners.pop(queue, None)

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

    async def _join(self, queue: _Heard, about: About) -> None:
        async with self._joining:
            if not self._listeners:
                # What there is by now isn't news to the first listener.
                await self._try_look(tell=False)
            self._listeners[queue] = about
            if not self._tasks:
                self._tasks = [
                    asyncio.create_task(work(), context=Context())
                    for work in (self._watch, self._watch_pages, self._listen, self._hear_scores)
                ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.RECONNECT_SECONDS):
                await self._hearing.wait()
        if about.watched is not None and about.watched not in self._marks:
            await self._try_mark()

    async def _missed(self, since: datetime) -> list[ChangeRow]:
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            furthest = now - self.FURTHEST_BACK
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
                        self._tell_all(_reload(SCORES, await self._read_clock()))
                        deaf = False
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
            deaf = True
            self._hearing.clear()
            await asyncio.sleep(self.RECONNECT_SECONDS)

    async def _read_clock(self) -> datetime:
        async with self._database.single() as connection:
            return await self._database.clock.read(connection)

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
                self._tell_all(_reload(TOO_MANY, news.at))
            elif tell:
                await self._tell_in_order(news.changes)
        except Exception as error:
            # Whatever it is, the next look may go well; watchers only hear nothing until then.
            if is_away(error):
                logger.warning("changes can't be read, the database is away: %s", type(error).__name__)
            else:
                logger.exception("changes can't be read")

    async def _tell_in_order(self, news: Sequence[Change]) -> None:
        for place, one in enumerate(news, 1):
            self._tell(one.tell())
            if place % self.TOLD_TOGETHER == 0:
                await self._let_hear()

    async def _let_hear(self) -> None:
        """Let those who listen catch up, as long as they do; whoever takes too long over it falls behind."""
        await asyncio.sleep(0)
        behind, give_up_at = self._furthest_behind(), time.monotonic() + self.PATIENCE_SECONDS
        while behind > self.MOST_BEHIND // 2 and time.monotonic() < give_up_at:
            await asyncio.sleep(0.001)
            if (now := self._furthest_behind()) < behind:
                behind, give_up_at = now, time.monotonic() + self.PATIENCE_SECONDS

    def _furthest_behind(self) -> int:
        return max((queue.qsize() for queue in self._listeners), default=0)

    async def _watch_pages(self) -> None:
        while True:
            await asyncio.sleep(self.PAGES_SECONDS)
            if self._marks or self._watched():
                await self._try_mark()

    def _watched(self) -> set[Watched]:
        return {about.watched for about in self._listeners.values() if about.watched is not None}

    async def _try_mark(self) -> None:
        # One after the other: an older reading never takes the place of a newer one.
        async with self._marking:
            try:
                await self._mark()
            except Exception as error:
                if is_away(error):
                    logger.warning("pages can't be watched, the database is away: %s", type(error).__name__)
                else:
                    logger.exception("pages can't be watched")

    async def _mark(self) -> None:
        watched = self._watched()
        if not watched:
            self._marks = {}
            return
        async with self._database.single() as connection:
            now = await self._database.clock.read(connection)
            found = await self._pages.read(connection, watched, now.astimezone(UTC).date())
        before, self._marks = self._marks, {one: found.get(one) for one in watched}
        for one in watched & before.keys():
            was, is_ = before[one], found.get(one)
            if was != is_:
                self._tell_page(one, was, is_, now)

    def _tell_page(self, one: Watched, was: Mark | None, is_: Mark | None, now: datetime) -> None:
        mark = is_ or was
        assert mark is not None
        old, new = was.parts if was else {}, is_.parts if is_ else {}
        parts = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        row = ChangeRow(
            kind=PAGE, id=mark.id, run_id=mark.run_id, playbook=mark.playbook, user_id=mark.user_id,
            state=" ".join(parts), at=now,
        )  # fmt: skip
        for queue, about in list(self._listeners.items()):
            if about.watched == one:
                self._put(queue, row)

    def _tell(self, row: ChangeRow) -> None:
        for queue, about in list(self._listeners.items()):
            if about.concerns(row):
                self._put(queue, row)

    def _tell_all(self, row: ChangeRow) -> None:
        for queue in list(self._listeners):
            self._put(queue, row)

    def _put(self, queue: _Heard, row: ChangeRow) -> None:
        try:
            queue.put_nowait(row)
        except asyncio.QueueFull:
            self._drop(queue)

    def _drop(self, queue: _Heard) -> None:
        self._listeners.pop(queue, None)
        with contextlib.suppress(asyncio.QueueFull, asyncio.QueueEmpty):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


def _reload(why: str, at: datetime) -> ChangeRow:
    return ChangeRow(kind=RELOAD, id="", run_id="", playbook="", user_id="", state=why, at=at)
