"""Signals out of events: totals and latest values as each event comes, windows and ages at a moment.

Moving is incremental and tolerates events that arrive late or out of order: totals add up, latest values keep
the later instant, and the rest is settled by the event's own time (`stamps`). Windows are read from daily
tallies, UTC days, today included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, cast

from schemas.catalogue import Catalogue
from schemas.condition import Value
from schemas.facts import Event
from schemas.signal_value import WrongType, normalise
from scoring.derivations import (
    COUNT,
    DETAILS,
    MEASURE,
    TRAIT_EVENTS,
    DerivationPlan,
    Move,
    compile_derivations,
    read_amount,
)
from scoring.health import Health, Scorer, average_health, long_trend, segment_of, shipped_scorer
from scoring.prediction import Prediction
from scoring.predictors import RULES_ONLY, Predictors, Risk, churn_signals, describe_risk, rate_one
from scoring.viral import enhance_score

DAY_SECONDS = 86400
# An event that should carry a measure and doesn't is kept apart, so that means leave it out and counts don't.
UNMEASURED = "-"
MAX_DETAIL = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """What events changed: `signals` and `stamps` hold only what is new or different."""

    signals: dict[str, Value]
    stamps: dict[str, datetime]


class Tally(NamedTuple):
    """How many events `name` a customer had on a UTC day, by detail; `total` sums their measures."""

    name: str
    detail: str
    day: date
    count: int  # type: ignore[assignment]  # a row's word for it, not tuple's
    total: float


def move_signals(
    stored: Mapping[str, Value],
    stamps: Mapping[str, datetime],
    events: Sequence[Event],
    catalogue: Catalogue,
) -> Moved:
    """Move one customer's stored signals on by new `events`, each given once, in any order.

    Identify and group calls come as events of that name with the traits as properties. Properties and traits that
    are missing change nothing. One of the wrong type is there, and the latest that is known: a `WrongType`.
    """
    plan = compile_derivations(catalogue)
    moved: dict[str, Value] = {}
    times: dict[str, datetime] = {}
    for event in sorted(events, key=lambda event: event.at):
        for move in plan.moves.get(event.name, ()):
            name = move.signal.name
            if move.kind == "add" and move.total is not None:
                amount = read_amount(move.total, event.properties) * move.sign
                if amount:
                    moved[name] = _whole(_number(moved.get(name, stored.get(name))) + amount)
                continue
            if move.kind == "latest":
                known = moved.get(name, stored.get(name))
                if not isinstance(known, datetime) or event.at > known:
                    moved[name] = event.at
                continue
            value = _read_value(move, event)
            stamp = times.get(name) or stamps.get(name)
            if value is not None and (stamp is None or event.at >= stamp):
                moved[name] = value
                times[name] = event.at
    changed = {name: value for name, value in moved.items() if stored.get(name) != value}
    return Moved(changed, times)


def _read_value(move: Move, event: Event) -> Value | None:
    if move.kind == "constant":
        return move.value
    wrong: Value | None = None
    for name in move.names:
        value = normalise(event.properties.get(name), move.signal.type)
        if isinstance(value, WrongType):
            # Where only some values mean anything, others say nothing of the signal.
            wrong = wrong if wrong is not None or move.among else cast("Value", value)
        elif value is not None and (not move.among or value in move.among):
            return value
    return wrong


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def tally_events(events: Iterable[Event], catalogue: Catalogue) -> list[Tally]:
    """One customer's events as daily tallies to be added to those stored; only events that a window reads."""
    plan = compile_derivations(catalogue)
    sums: dict[tuple[str, str, date], list[float]] = {}
    for event in events:
        name = event.name
        if name not in plan.slots or name in TRAIT_EVENTS:
            continue
        detail, measure = "", 0.0
        if key := plan.details.get(name):
            raw = event.properties.get(key)
            detail = raw[:MAX_DETAIL] if isinstance(raw, str) else ""
        elif key := plan.measures.get(name):
            raw = event.properties.get(key)
            if isinstance(raw, (int, float)) and not isinstance(raw, bool) and math.isfinite(raw):
                measure = float(raw)
            else:
                detail = UNMEASURED
        row = sums.setdefault((name, detail, event.at.astimezone(UTC).date()), [0, 0.0])
        row[0] += 1
        row[1] += measure
    return [Tally(*key, int(count), total) for key, (count, total) in sums.items()]


@dataclass(frozen=True, slots=True)
class Derived:
    """Every signal that isn't stored, and what health and churn are made of.

    `known` are all signals at `now`, the stored ones among them but for churn's own; `risk` None of whom none is told.
    """

    signals: dict[str, Value]
    known: dict[str, Value]
    health: Health
    scores: Mapping[date, int]
    risk: Risk | None
    predictors: Predictors
    now: datetime

    @property
    def previous_score(self) -> int | None:
        """The last score of an earlier day."""
        today = self.now.astimezone(UTC).date()
        day = max((day for day in self.scores if day < today), default=None)
        return self.scores[day] if day is not None else None

    @property
    def prediction(self) -> Prediction | None:
        """The risk with everything that is told of it."""
        if self.risk is None:
            return None
        return describe_risk(self.predictors, self.risk, self.known, self.now)


def derive_signals(
    stored: Mapping[str, Value],
    tallies: Iterable[Tally],
    *,
    now: datetime,
    catalogue: Catalogue,
    previous: Mapping[date, int] | None = None,
    score: Scorer | None = None,
    predictors: Predictors = RULES_ONLY,
) -> dict[str, Value]:
    """The signals of `derive`."""
    found = derive(
        stored,
        tallies,
        now=now,
        catalogue=catalogue,
        previous=previous,
        score=score,
        predictors=predictors,
    )
    return found.signals


def derive(
    stored: Mapping[str, Value],
    tallies: Iterable[Tally],
    *,
    now: datetime,
    catalogue: Catalogue,
    previous: Mapping[date, int] | None = None,
    score: Scorer | None = None,
    predictors: Predictors = RULES_ONLY,
) -> Derived:
    """Every signal that isn't stored, true at `now`: windows, ages, totals still at 0, segment, health,
    churn.

    `tallies` reach back `catalogue.tally_days` (more does no harm), `previous` is the health score by UTC
    day; without it the trend is missing. `score` works out health (None: the model that ships as default), `predictors`
    say how likely it is that the customer leaves. A signal that has no value has no key: a customer of whom too little
    is known has no score and no risk.
    """
    plan = compile_derivations(catalogue)
    today = now.astimezone(UTC).date()
    derived: dict[str, Value] = {name: 0 for name in plan.totals if name not in stored}
    _read_windows(plan, tallies, today, derived)
    for name, base in plan.ages:
        since = stored.get(base)
        if isinstance(since, datetime) and since <= now:
            derived[name] = (now - since).days
    known = {**stored, **derived}
    derived["segment"] = known["segment"] = segment_of(known)
    scorer = score or shipped_scorer()
    health = scorer(known)
    scores = dict(previous or {})
    if health.score is not None:
        derived["health_score"] = known["health_score"] = scores[today] = health.score
        derived["risk_level"] = health.risk_level
        derived["enhanced_score"] = enhance_score(health.score, known)
    if (mean := average_health(scores, today)) is not None:
        derived["avg_health_30d"] = known["avg_health_30d"] = mean
    if trend := long_trend(scores, today, scorer.model.trend):
        derived["health_trend"] = known["health_trend"] = trend
    risk = rate_one(predictors, known, now, catalogue)
    derived.update(churn_signals(risk))
    return Derived(derived, known, health, scores, risk, predictors, now)


def _read_windows(
    plan: DerivationPlan, tallies: Iterable[Tally], today: date, derived: dict[str, Value]
) -> None:
    # One pass over the tallies; days are bits of an integer, so that a set of days is one number.
    sums: list[Any] = [{} if kind == DETAILS else 0 for kind in plan.kinds]
    measures: dict[int, float] = {}
    reach, ordinal = plan.reach, today.toordinal()
    for name, detail, day, count, total in tallies:
        age = ordinal - day.toordinal()
        for kind, index in reach.get((name, age), ()):
            if kind == COUNT:
                sums[index] += count
            elif kind == DETAILS:
                if detail:
                    days = sums[index]
                    days[detail] = days.get(detail, 0) | 1 << age
            elif kind == MEASURE:
                if detail != UNMEASURED:
                    sums[index] += count
                    measures[index] = measures.get(index, 0.0) + total
            else:
                sums[index] |= 1 << age
    for signal, form, slot, other, at_least_days, keep, core, flag in plan.readings:
        found = sums[slot]
        if form == "count":
            derived[signal] = found > 0 if flag else found
        elif form == "days_with":
            derived[signal] = found.bit_count()
        elif form == "mean":
            if found:
                derived[signal] = measures.get(slot, 0.0) / found
        elif form == "distinct":
            derived[signal] = sum(
                1
                for detail, days in found.items()
                if days.bit_count() >= at_least_days and (not core or detail in plan.core_features)
            )
        elif form == "recent":
            if found:
                latest = sorted(found, key=lambda detail: (found[detail] & -found[detail], detail))
                derived[signal] = tuple(latest[:keep])
        elif sums[other]:
            derived[signal] = math.floor(100 * (sums[other] - found) / sums[other] + 0.5)


def ages(stored: Mapping[str, Value], now: datetime, catalogue: Catalogue) -> dict[str, tuple[datetime, int]]:
    """Each age signal that has a value at `now`: the instant it counts from and its unit in seconds."""
    counted: dict[str, tuple[datetime, int]] = {}
    for name, base in compile_derivations(catalogue).ages:
        since = stored.get(base)
        if isinstance(since, datetime) and since <= now:
            counted[name] = (since, DAY_SECONDS)
    return counted
