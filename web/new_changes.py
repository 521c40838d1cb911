"""What is stored and wasn't told yet, looked for again and again: what it costs hangs on what is new."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from store.database import Database
from store.reading_changes import ChangeRow, stream_changes


@dataclass(frozen=True)
class News:
    """What is new as of `at`, in order of time; nothing but that it is so where that is `too_many`."""

    at: datetime
    changes: Sequence[ChangeRow]
    too_many: bool = False


class NewChanges:
    """Remembers what was found; a row's moment is taken before its commit, so each look goes back a little further than
    to the last one.
    """

    OVERLAP = timedelta(seconds=30)
    # What is longer ago isn't told one by one, whether the database was away or the listener.
    FURTHEST_BACK = timedelta(hours=1)
    # Among very many a look reads only as far as anything is new; so often it reads all, for what was committed late.
    WHOLE_SECONDS = 5.0
    # More at once isn't told one by one.
    MOST = 5000

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: set[ChangeRow] = set()
        self._whole_at = float("-inf")
        self._read_at: datetime | None = None

    async def read(self, *, anew: bool = False) -> News:
        """What wasn't found before; `anew`: what there is by now, however long nobody looked."""
        whole = anew or time.monotonic() - self._whole_at > self.WHOLE_SECONDS
        seen: set[ChangeRow] = set()
        news: list[ChangeRow] = []
        to_the_end = True
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            last = now if anew or self._read_at is None else min(now, self._read_at)
            too_long = now - last > self.FURTHEST_BACK
            since = max(last, now - self.FURTHEST_BACK) - self.OVERLAP
            async with contextlib.aclosing(stream_changes(connection, since)) as pages:
                async for page in pages:
                    fresh = [one for one in dict.fromkeys(page) if one not in self._found and one not in seen]
                    seen.update(page)
                    # Of more than are told one by one it is only noted that they are known.
                    news += fresh[: self.MOST + 1 - len(news)]
                    if not fresh and not whole:
                        to_the_end = False
                        break
        self._read_at = now
        self._found = seen if to_the_end else self._found | seen
        if whole:
            self._whole_at = time.monotonic()
        return News(now, (), True) if too_long or len(news) > self.MOST else News(now, news[::-1])
