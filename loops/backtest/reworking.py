"""What late and corrected events make of a customer's past in a backtest, as repairs do on the live system."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

from activities.past_scores import SCORE
from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from scoring.health import Scorer
from scoring.replay import rightly_typed
from scoring.rework import foretold_names, replay_midnights
from scoring.signals import derive_signals, tally_events
from store.kept_past import KnownEvent


def believe(told: Iterable[KnownEvent]) -> list[KnownEvent]:
    """Of all that was told of each event the last, those that never happened left out; in order of arrival."""
    last: dict[object, KnownEvent] = {}
    for number, one in enumerate(told):
        # What a run brought about has no id.
        last[one.key if one.message_id else number] = one
    return [one for one in last.values() if not one.retracts]


def rework_series(
    events: Sequence[Event],
    days: Collection[date],
    scores: dict[date, int],
    history: dict[str, list[tuple[date, Value]]],
    *,
    catalogue: Catalogue,
    scorer: Scorer | None,
) -> None:
    """Set the scores and daily values of `days` to what they are by these events, in order of arrival."""
    if not days:
        return
    names = history.keys() - foretold_names(catalogue)
    tallies = tally_events(events, catalogue)
    for midnight, stored, sums in replay_midnights(events, tallies, days, carried={}, catalogue=catalogue):
        day, known = midnight.date(), rightly_typed(stored)
        before = {one: score for one, score in scores.items() if one < day}
        derived = derive_signals(
            known, sums, now=midnight, catalogue=catalogue, previous=before, score=scorer
        )
        values = {**known, **derived}
        scores.pop(day, None)
        score = values.get(SCORE)
        if isinstance(score, int | float):
            scores[day] = int(score)
        for name in names:
            others = [one for one in history[name] if one[0] != day]
            if name in values:
                others.append((day, values[name]))
            history[name] = sorted(others, key=lambda one: one[0])
