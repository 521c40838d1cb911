"""The pages that somebody has open, looked at again and again: what is another by now is told to whoever watches."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from store.database import Database
from store.faults import is_away
from store.page_marks import Mark, PageMarks, Watched
from store.reading_changes import ChangeRow
from web.listeners import Listeners

logger = logging.getLogger("holdfast.web")

# What is told of a page that is watched; `state` names the parts that are others now.
PAGE = "page"


class OpenPages:
    """Compares marks of what pages show; looks only while somebody has one open."""

    INTERVAL_SECONDS = 0.3

    def __init__(self, database: Database, listeners: Listeners) -> None:
        self._database = database
        self._listeners = listeners
        self._pages = PageMarks()
        self._marks: dict[Watched, Mark | None] = {}
        self._marking = asyncio.Lock()

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(self.INTERVAL_SECONDS)
            if self._marks or self._listeners.watched:
                await self._try_mark()

    async def note(self, watched: Watched) -> None:
        """Know how this page is now: from now on it is told what changes on it."""
        if watched not in self._marks:
            await self._try_mark()

    async def _try_mark(self) -> None:
        # One after the other: an older reading never takes the place of a newer one.
        async with self._marking:
            try:
                await self._mark()
            except Exception as error:
                # The next look may go well; watchers only hear nothing until then.
                if is_away(error):
                    logger.warning("pages can't be watched, the database is away: %s", type(error).__name__)
                else:
                    logger.exception("pages can't be watched")

    async def _mark(self) -> None:
        watched = self._listeners.watched
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
                self._tell(one, was, is_, now)

    def _tell(self, one: Watched, was: Mark | None, is_: Mark | None, now: datetime) -> None:
        mark = is_ or was
        assert mark is not None
        old, new = was.parts if was else {}, is_.parts if is_ else {}
        parts = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        row = ChangeRow(
            kind=PAGE, id=mark.id, run_id=mark.run_id, playbook=mark.playbook, user_id=mark.user_id,
            state=" ".join(parts), at=now,
        )  # fmt: skip
        self._listeners.tell_watchers(one, row)
