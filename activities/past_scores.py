"""The health scores of earlier days, remembered while the day lasts: nothing else costs as much to read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from store.customer_health import load_midnight_scores
from store.database import Connection

# What the score is called among the signals.
SCORE = "health_score"
# The trend of health is worked out over 30 days, whoever asks.
DAYS = 31
KEPT = 20_000

Scores = Mapping[date, int]


async def load_scores(connection: Connection, ids: Sequence[str], today: date) -> dict[str, Scores]:
    """The health scores of these customers on the last 31 days before `today`, from the store."""
    found = await load_midnight_scores(connection, ids, today - timedelta(days=DAYS), today)
    return {id_: found.get(id_, {}) for id_ in ids}


class PastScores:
    """One process's memory of them, for one database.

    A day's row is written during that day only, by whoever holds the customer's lock, so what is read under
    the lock of the days before is read for good. The most recently used customers are kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._today: date | None = None
        self._scores: OrderedDict[str, Scores] = OrderedDict()

    async def load(self, connection: Connection, ids: Sequence[str], today: date) -> dict[str, Scores]:
        """As `load_scores`, reading only what isn't remembered; the customers' locks are held."""
        if today != self._today:
            self._today = today
            self._scores.clear()
        found = {id_: self._scores[id_] for id_ in ids if id_ in self._scores}
        for id_ in found:
            self._scores.move_to_end(id_)
        missing = [id_ for id_ in ids if id_ not in found]
        if missing:
            read = await load_scores(connection, missing, today)
            found |= read
            # Another call may have begun another day meanwhile.
            if today == self._today:
                self._scores.update(read)
                while len(self._scores) > self._kept:
                    self._scores.popitem(last=False)
        return found

    def forget(self, ids: Iterable[str]) -> None:
        """These customers' pasts are others now."""
        for id_ in ids:
            self._scores.pop(id_, None)
