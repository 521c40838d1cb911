"""Playing one customer's past through the signals, day by day: for imports, demo data and backtests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from schemas.signal_value import WrongType
from scoring.health import Scorer
from scoring.signals import Tally, ages, derive_signals, move_signals, tally_events


class DailySums:
    """One customer's tallies, added up by name, detail and day as the store adds them up."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, date], Tally] = {}

    def add(self, tallies: Iterable[Tally]) -> None:
        """Count these, too."""
        for tally in tallies:
            key = tally[:3]
            before = self._sums.get(key)
            self._sums[key] = (
                Tally(*key, before[3] + tally[3], before.total + tally.total) if before is not None else tally
            )

    def forget_before(self, day: date) -> None:
        """Drop the days before `day`: no window reaches them any more."""
        self._sums = {key: tally for key, tally in self._sums.items() if key[2] >= day}

    def copy(self) -> Self:
        """Another that starts from the same sums."""
        made = type(self)()
        made._sums = dict(self._sums)
        return made

    @property
    def rows(self) -> Collection[Tally]:
        """All of them, one per name, detail and day."""
        return self._sums.values()


@dataclass(frozen=True, slots=True)
class Replayed:
    """A customer after its past: what to store, and all signals at the midnights of the last days.

    `signals` are true at the moment replayed to; `days` maps a UTC day to the signals at the midnight it begins with,
    as the daily look at everybody records them: without ages and without values of the wrong type.
    """

    stored: dict[str, Value]
    stamps: dict[str, datetime]
    tallies: list[Tally]
    signals: dict[str, Value]
    days: dict[date, dict[str, Value]]

    def history(self, signal: str) -> list[tuple[date, Value]]:
        """The daily values of one signal, in order of day."""
        return [(day, signals[signal]) for day, signals in self.days.items() if signal in signals]


def replay_customer(
    events: Sequence[Event],
    *,
    until: datetime,
    days: int,
    catalogue: Catalogue,
    scorer: Scorer | None = None,
) -> Replayed:
    """Replay one customer's `events` (identify calls included) to `until`; `days` is how many of the last midnights
    are looked at, today's among them, and `scorer` works out health (None: the model that ships as default).
    """
    ordered = [event for event in sorted(events, key=lambda event: event.at) if event.at <= until]
    stored: dict[str, Value] = {}
    stamps: dict[str, datetime] = {}
    tallies: list[Tally] = []
    kept: dict[date, dict[str, Value]] = {}
    scores: dict[date, int] = {}
    taken = 0
    today = until.astimezone(UTC).date()
    midnights = [
        datetime.combine(today - timedelta(days=back), time(), UTC) for back in range(days - 1, -1, -1)
    ]
    signals: dict[str, Value] = {}
    for moment in [*midnights, until]:
        end = taken
        while end < len(ordered) and ordered[end].at <= moment:
            end += 1
        fresh = ordered[taken:end]
        taken = end
        moved = move_signals(stored, stamps, fresh, catalogue)
        stored.update(moved.signals)
        stamps.update(moved.stamps)
        tallies.extend(tally_events(fresh, catalogue))
        if not taken:
            continue
        derived = derive_signals(
            rightly_typed(stored), tallies, now=moment, catalogue=catalogue, previous=scores, score=scorer
        )
        signals = {**stored, **derived}
        if moment is until:
            break
        kept[moment.date()] = day_values(signals, moment, catalogue)
        score = derived.get("health_score")
        if isinstance(score, int):
            scores[moment.date()] = score
    return Replayed(stored, stamps, tallies, signals, kept)


def rightly_typed(values: Mapping[str, Value]) -> dict[str, Value]:
    """Without values of the wrong type: nothing is worked out from those."""
    return {name: value for name, value in values.items() if not isinstance(value, WrongType)}


def day_values(signals: Mapping[str, Value], now: datetime, catalogue: Catalogue) -> dict[str, Value]:
    """What a day keeps of the signals at its midnight `now`: no ages (they go on by themselves), nothing wrong."""
    passing = ages(signals, now, catalogue)
    return {name: value for name, value in rightly_typed(signals).items() if name not in passing}
