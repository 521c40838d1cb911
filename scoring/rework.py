"""Making right what follows from a customer's events after one of them came late or was corrected.

Totals and tallies are moved by what a correction changes and never worked out anew, so that they survive events that
are no longer kept. Days are worked out from what is stored now, back to each midnight.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from scoring.derivations import TRAIT_EVENTS, compile_derivations
from scoring.health import Scorer, average_health, long_trend
from scoring.replay import DailySums, day_values, rightly_typed
from scoring.signals import Tally, derive_signals, move_signals, tally_events

SCORE, MEAN, TREND = "health_score", "avg_health_30d", "health_trend"
# What is left when binary fractions are added up in another order.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True, slots=True)
class Belief:
    """One event, as it is believed to have been, and as the signals were moved by it (None: not at all)."""

    now: Event | None
    before: Event | None


@dataclass(frozen=True, slots=True)
class Reworked:
    """A customer's stored signals made right, and what is to be added to the tallies (taken away: below 0).

    `carried` is what the totals have from events that are no longer kept; `complete` says that there are none.
    """

    signals: dict[str, Value]
    stamps: dict[str, datetime]
    tallies: list[Tally]
    carried: dict[str, float]
    complete: bool


def rework_signals(
    beliefs: Sequence[Belief],
    stored: Mapping[str, Value],
    stamps: Mapping[str, datetime],
    catalogue: Catalogue,
) -> Reworked:
    """What is stored of one customer, after `beliefs` (all kept events, in order of arrival) changed."""
    before = move_signals({}, {}, [one.before for one in beliefs if one.before], catalogue)
    corrected = [one for one in beliefs if one.now != one.before]
    now = move_signals({}, {}, [one.now for one in beliefs if one.now], catalogue) if corrected else before
    totals = compile_derivations(catalogue).totals
    signals, times = dict(stored), dict(stamps)
    carried: dict[str, float] = {}
    for name in totals:
        more = _number(stored.get(name)) - _number(before.signals.get(name))
        if abs(more) > _NEGLIGIBLE:
            carried[name] = more
        if now.signals.get(name) != before.signals.get(name):
            total = _number(now.signals.get(name)) + carried.get(name, 0)
            signals[name] = int(total) if total == int(total) else total
    for name in (before.signals.keys() | now.signals.keys()) - set(totals):
        value, stamp = now.signals.get(name), now.stamps.get(name)
        if value == before.signals.get(name) and stamp == before.stamps.get(name):
            continue
        if value is None:
            signals.pop(name, None)
        else:
            signals[name] = value
        if stamp is None:
            times.pop(name, None)
        else:
            times[name] = stamp
    told = _told_names(catalogue) & stored.keys()
    complete = not carried and told <= before.signals.keys() | set(totals)
    return Reworked(signals, times, _difference(corrected, catalogue), carried, complete)


def _difference(corrected: Iterable[Belief], catalogue: Catalogue) -> list[Tally]:
    sums = DailySums()
    for one in corrected:
        if one.now:
            sums.add(tally_events([one.now], catalogue))
        if one.before:
            sums.add(
                t._replace(count=-t.count, total=-t.total) for t in tally_events([one.before], catalogue)
            )
    return [tally for tally in sums.rows if tally.count or tally.total]


def rework_profile(beliefs: Iterable[Belief]) -> dict[str, Any]:
    """The traits that are others now, by what identify and group calls said in order of arrival (None: unknown now)."""
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for one in beliefs:
        for traits, event in ((before, one.before), (now, one.now)):
            if event is not None and event.name in TRAIT_EVENTS:
                traits.update(event.properties)
    return {name: now.get(name) for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def replay_midnights(
    events: Sequence[Event],
    tallies: Iterable[Tally],
    days: Iterable[date],
    *,
    carried: Mapping[str, float],
    catalogue: Catalogue,
) -> Iterator[tuple[datetime, dict[str, Value], list[Tally]]]:
    """Midnight (UTC), stored signals and tallies of each of `days`, in order of day.

    `events` are all that are kept, `tallies` those stored, without a limit to the future: a midnight sees the days
    before it, and of its own what happened at its very moment.
    """
    ordered = sorted(events, key=lambda event: event.at)
    by_day = sorted(tallies, key=lambda tally: tally.day)
    of_day = [tally.day for tally in by_day]
    stored: dict[str, Value] = dict(carried)
    stamps: dict[str, datetime] = {}
    taken = 0
    for day in sorted(days):
        midnight = datetime.combine(day, time(), UTC)
        end = bisect.bisect_right(ordered, midnight, lo=taken, key=lambda event: event.at)
        moved = move_signals(stored, stamps, ordered[taken:end], catalogue)
        stored.update(moved.signals)
        stamps.update(moved.stamps)
        taken = end
        reach = day - timedelta(days=catalogue.tally_days)
        seen = by_day[bisect.bisect_left(of_day, reach) : bisect.bisect_left(of_day, day)]
        striking = ordered[bisect.bisect_left(ordered, midnight, hi=end, key=lambda event: event.at) : end]
        yield midnight, dict(stored), [*seen, *tally_events(striking, catalogue)]


@dataclass(frozen=True, slots=True)
class PastDays:
    """What is on record of one customer's days.

    `recorded` are the rows from the first day to be looked at on, `scores` the health scores of the 31 days before,
    `missing` the days that have no row and should have one.
    """

    recorded: Mapping[date, Mapping[str, Value]]
    scores: Mapping[date, int]
    missing: Sequence[date] = ()


def rework_days(
    events: Sequence[Event],
    tallies: Iterable[Tally],
    past: PastDays,
    reworked: Reworked,
    *,
    catalogue: Catalogue,
    scorer: Scorer,
) -> dict[date, dict[str, Value]]:
    """The days whose row is another than the one on record, or is missing, with their values.

    Health is worked out anew, by today's model, only where what it rests on was wrong; what a churn model said stays
    said. Of a customer whose early events are no longer kept, latest values that no kept event tells stay as they were
    recorded, and days that are missing stay missing.
    """
    judged, told = _judged_names(catalogue), _told_names(catalogue)
    missing = set(past.missing) if reworked.complete else set()
    scores = dict(past.scores)
    found: dict[date, dict[str, Value]] = {}
    for midnight, stored, sums in replay_midnights(
        events,
        tallies,
        past.recorded.keys() | missing,
        carried=reworked.carried,
        catalogue=catalogue,
    ):
        day = midnight.date()
        old = {name: _read(catalogue, name, value) for name, value in past.recorded.get(day, {}).items()}
        known = rightly_typed(stored)
        if not reworked.complete:
            known = {name: old[name] for name in told & old.keys()} | known
        derived = derive_signals(
            known, sums, now=midnight, catalogue=catalogue, previous=_before(scores, day), score=scorer
        )
        values = day_values({**known, **derived}, midnight, catalogue)
        # What no event tells, and what was foretold, isn't worked out here.
        kept = {
            name: value
            for name, value in old.items()
            if name not in catalogue.signals or name in judged.foretold
        }
        kept |= {name: old[name] for name in judged.outside & old.keys()}
        new = {name: value for name, value in values.items() if name not in judged.foretold} | kept
        if old and all(old.get(n) == new.get(n) for n in (old.keys() | new.keys()) - judged.health):
            # The score of that day was worked out from the same; only what sums up other days may differ.
            new = _keep_score(new, old, scores, day, scorer)
        score = new.get(SCORE)
        if isinstance(score, int | float):
            scores[day] = int(score)
        if new != old:
            found[day] = new
    return found


def _keep_score(
    new: dict[str, Value], old: Mapping[str, Value], scores: Mapping[date, int], day: date, scorer: Scorer
) -> dict[str, Value]:
    kept = dict(old)
    score = old.get(SCORE)
    told = _before(scores, day) | ({day: int(score)} if isinstance(score, int | float) else {})
    for name, value in (
        (MEAN, average_health(told, day)),
        (TREND, long_trend(told, day, scorer.model.trend)),
    ):
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
    return kept


def _before(scores: Mapping[date, int], day: date) -> dict[date, int]:
    return {one: score for one, score in scores.items() if one < day}


def _read(catalogue: Catalogue, name: str, value: Value) -> Value:
    """A recorded value in its signal's own type: days keep custom ones as JSON has them."""
    signal = catalogue.signals.get(name)
    read = signal.read(value) if signal else None
    return value if read is None else read


@dataclass(frozen=True, slots=True)
class _Judged:
    """Signals by who works them out: a health model, a churn model, nobody here."""

    health: frozenset[str]
    foretold: frozenset[str]
    outside: frozenset[str]


@cache
def _judged_names(catalogue: Catalogue) -> _Judged:
    by_model = {
        model: frozenset(
            name
            for name, signal in catalogue.signals.items()
            if any(form.model == model for form in signal.derive)
        )
        for model in ("health", "churn")
    }
    outside = frozenset(name for name, signal in catalogue.signals.items() if not signal.derive)
    return _Judged(by_model["health"], by_model["churn"], outside)


def foretold_names(catalogue: Catalogue) -> frozenset[str]:
    """Signals that a churn model says: what it said of a day stays said."""
    return _judged_names(catalogue).foretold


@cache
def _told_names(catalogue: Catalogue) -> frozenset[str]:
    """Signals that hold the latest that an event told."""
    return frozenset(
        move.signal.name
        for moves in compile_derivations(catalogue).moves.values()
        for move in moves
        if move.kind != "add"
    )


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
