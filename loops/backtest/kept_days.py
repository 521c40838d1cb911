"""What the live system would have written down of a customer day by day, as a backtest goes along."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Self

from activities.facts import HISTORY_DAYS
from activities.past_scores import DAYS as SCORE_DAYS
from activities.past_scores import SCORE
from loops.backtest.reworking import rework_series
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from scoring.health import Scorer
from store.repairs import missing_days


class KeptDays:
    """The health scores (0–100) of the days that trends look at, and the daily values of the signals in `names`."""

    def __init__(self, names: Collection[str], catalogue: Catalogue, scorer: Scorer | None) -> None:
        self._names, self._catalogue, self._scorer = names, catalogue, scorer
        self._latest: date | None = None
        self.scores: dict[date, int] = {}
        self.history: dict[str, list[tuple[date, Value]]] = {}

    def __contains__(self, day: date) -> bool:
        """Whether the latest day that was kept is this one."""
        return day == self._latest

    def copy(self) -> Self:
        """The same days, to be gone on with apart."""
        other = copy.copy(self)
        other.scores = dict(self.scores)
        other.history = {name: list(days) for name, days in self.history.items()}
        return other

    def restore(self, days: Mapping[str, Sequence[tuple[date, Any]]], start: date) -> None:
        """Begin at `start` with what was recorded of each signal by then."""
        oldest = start - timedelta(days=SCORE_DAYS)
        scores = days.get(SCORE, ())
        self.scores = {day: int(value) for day, value in scores if day >= oldest}
        self._latest = start if any(day == start for day, _ in scores) else None
        self.history = {name: list(days.get(name, ())) for name in self._names}

    def keep(self, day: date, values: Mapping[str, Value]) -> None:
        """Keep the day, and forget what no window reaches any more."""
        self._latest = day
        score = values.get(SCORE)
        if isinstance(score, int | float):
            # The score of today is always that of now: see `derive_signals`.
            self.scores[day] = int(score)
        oldest = day - timedelta(days=HISTORY_DAYS)
        for name in self._names:
            days = [one for one in self.history.get(name, ()) if one[0] >= oldest]
            if name in values:
                days.append((day, values[name]))
            self.history[name] = days
        self.scores.pop(day - timedelta(days=SCORE_DAYS + 1), None)

    def rework(self, events: Sequence[Event], since: date, now: datetime, born: datetime) -> bool:
        """Make the days from `since` on what they are by these events, in order of arrival; whether there were any."""
        kept = {day for series in self.history.values() for day, _ in series} | self.scores.keys()
        days = {day for day in kept if day >= since}
        if events:
            days |= set(missing_days(since, now, min(event.at for event in events), born, days))
        rework_series(events, days, self.scores, self.history, catalogue=self._catalogue, scorer=self._scorer)
        return bool(days)
