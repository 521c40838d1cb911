"""Tells whoever watches that a customer's score or prediction is another now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Literal

from activities.facts import Known
from store.database import Database
from store.score_news import CHANNEL, ScoreNews, pack

# More than that nobody watches at once.
MOST_WAITING = 500
_KINDS: tuple[tuple[Literal["health_changed", "churn_scored"], str], ...] = (
    ("health_changed", "risk_level"),
    ("churn_scored", "churn_risk_level"),
)


class ScoreTelling:
    """Tells at once, then at most ten times a second some sixty of them, in order; of one customer the latest.

    Nobody waits for it, and of more than 500 that wait nothing is told: a NOTIFY has its price, and each look at a
    customer's page reads the score anew.
    """

    INTERVAL_SECONDS = 0.1

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, str], ScoreNews] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, known: Iterable[Known]) -> None:
        """Tell of those whose score or prediction isn't the one that was stored; what they are is committed."""
        for one in known:
            signals, customer = one.derived.signals, one.customer
            for kind, level in _KINDS:
                key = (kind, customer.id)
                if kind in one.changed and (len(self._waiting) < MOST_WAITING or key in self._waiting):
                    state = str(signals.get(level, ""))
                    self._waiting[key] = ScoreNews(
                        kind, customer.id, customer.external_id, state, one.facts.now
                    )
        if self._waiting and (self._telling is None or self._telling.done()):
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        while self._waiting:
            text, count = pack(self._waiting.values())
            for key in list(self._waiting)[:count]:
                del self._waiting[key]
            # Whoever missed it sees the new score at the next look.
            with contextlib.suppress(Exception):
                await self._database.notify(CHANNEL, text)
            await asyncio.sleep(self.INTERVAL_SECONDS)
