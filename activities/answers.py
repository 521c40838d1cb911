"""How all customers answer by channel, and where too many complained, as far as this process read it last."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from rules.best_channel import SETTLED, Answers
from store.database import Connection
from store.message_history import count_answers
from store.standing_alerts import load_parked_channels

# Many messages tell a rate, however the last hour's went; and reading it looks at all of them.
EVERYBODY = timedelta(days=30)
CACHE_SECONDS = 600.0
# So many complaints gather over days that it isn't a matter of seconds.
PARKED_CACHE_SECONDS = 2.0


class AnswerBook:
    """Reads the rates at most every ten minutes, what is parked at most every two seconds."""

    def __init__(self) -> None:
        self._answers: Mapping[str, Answers] = {}
        self._read_at = float("-inf")
        self._parked: frozenset[str] = frozenset()
        self._parked_at = float("-inf")

    async def read(self, connection: Connection, now: datetime) -> Mapping[str, Answers]:
        """Messages of the last 30 days that had a day to be answered, and of them answered, by channel."""
        if (begun := time.monotonic()) - self._read_at >= CACHE_SECONDS:
            # One counts, which takes a while; the others go by what was known until then.
            before, self._read_at = self._read_at, begun
            try:
                found = await count_answers(connection, now - EVERYBODY, now - SETTLED)
            except BaseException:
                self._read_at = before
                raise
            self._answers = {channel: Answers(*counts) for channel, counts in found.items()}
        return self._answers

    async def read_parked(self, connection: Connection) -> frozenset[str]:
        """The channels by which only critical messages leave, because of complaints."""
        if time.monotonic() - self._parked_at >= PARKED_CACHE_SECONDS:
            self._parked = frozenset(await load_parked_channels(connection))
            self._parked_at = time.monotonic()
        return self._parked
