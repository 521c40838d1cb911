"""Playing one customer's past through the signals, day by day: for imports, demo data and backtests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from scoring.signals import Tally, derive_signals, move_signals, tally_events


@dataclass(frozen=True, slots=True)
class Replayed:
    """A customer after its past: what to store, and all signals at the end of each of the last days.

    `signals` are true at the moment replayed to; `days` maps earlier UTC days to the signals at their end.
    """

    stored: dict[str, Value]
    stamps: dict[str, datetime]
    tallies: list[Tally]
    signals: dict[str, Value]
    days: dict[date, dict[str, Value]]

    def history(self, signal: str) -> list[tuple[date, Value]]:
        """The daily values of one signal, in order of day."""
        return [(day, signals[signal]) for day, signals in self.days.items() if signal in signals]


def replay_customer(events: Sequence[Event], *, until: datetime, days: int, catalogue: Catalogue) -> Replayed:
    """Replay one customer's `events` (identify calls included) to `until`, keeping the last `days` days."""
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
    for moment in [*midnights, until]:
        end = taken
        # The last moment includes what happens at it; a day ends just before the next midnight.
        while end < len(ordered) and (ordered[end].at < moment or moment is until):
            end += 1
        fresh = ordered[taken:end]
        taken = end
        moved = move_signals(stored, stamps, fresh, catalogue)
        stored.update(moved.signals)
        stamps.update(moved.stamps)
        tallies.extend(tally_events(fresh, catalogue))
        if not stored:
            continue
        at = moment if moment is until else moment - timedelta(microseconds=1)
        derived = derive_signals(stored, tallies, now=at, catalogue=catalogue, previous=scores)
        signals = {**stored, **derived}
        if moment is until:
            return Replayed(stored, stamps, tallies, signals, kept)
        kept[at.date()] = signals
        score = derived["health_score"]
        scores[at.date()] = score if isinstance(score, int) else 0
    return Replayed(stored, stamps, tallies, {}, kept)
