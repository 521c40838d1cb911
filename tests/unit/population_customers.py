"""Customers as one path knows them, and the same ones as columns, for the tests that compare both."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

from schemas.catalogue import Catalogue
from schemas.condition import Value
from scoring.churning.columns import categories_of
from scoring.health import Scorer
from scoring.population.days import DAYS, DayScores
from scoring.population.deriving import Derived, derive_columns, derived_names
from scoring.population.tallies import TallyColumns, tally_columns
from scoring.predictors import RULES_ONLY, Predictors
from scoring.signal_columns import NO_INSTANT, SignalColumns
from scoring.signals import UNMEASURED, Tally, derive_signals

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_scores(scores: Sequence[Mapping[date, int]], today: date) -> DayScores:
    """Scores by UTC day, a mapping per row, as columns; other days are left out."""
    found = DayScores.none(len(scores))
    for row, by_day in enumerate(scores):
        for day, score in by_day.items():
            if 0 <= (ago := (today - day).days) < DAYS:
                found.values[row, ago] = score
    return found


@dataclass
class One:
    """A customer: what is stored, what happened, and the scores of earlier days."""

    stored: dict[str, Value] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    scores: dict[date, int] = field(default_factory=dict)


def micros(value: date) -> int:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    return (value - EPOCH) // timedelta(microseconds=1)


def signal_columns(rows: Sequence[Mapping[str, Value]], catalogue: Catalogue) -> SignalColumns:
    """The signals as columns, by the catalogue's types."""
    columns = SignalColumns(len(rows), {}, {}, {}, {})
    for name in sorted({name for row in rows for name in row}):
        values: list[Any] = [row.get(name) for row in rows]
        match catalogue.signals[name].type:
            case "number" | "bool":
                floats = [math.nan if value is None else float(value) for value in values]
                columns.numbers[name] = np.array(floats, np.float64)  # type: ignore[index]
            case "text":
                columns.texts[name] = categories_of(values)  # type: ignore[index]
            case "time" | "date":
                at = [NO_INSTANT if value is None else micros(value) for value in values]
                columns.instants[name] = np.array(at, np.int64)  # type: ignore[index]
            case "list":
                columns.lists[name] = values  # type: ignore[index]
    return columns


def signals_of(columns: SignalColumns, row: int, catalogue: Catalogue) -> dict[str, Value]:
    """One row of the columns, as the one path has it: no key where there is no value."""
    found: dict[str, Value] = {}
    for name, numbers in columns.numbers.items():
        assert numbers.dtype == np.float64, name
        if not math.isnan(number := float(numbers[row])):
            found[name] = bool(number) if catalogue.signals[name].type == "bool" else number
    for name, texts in columns.texts.items():
        assert list(texts.levels) == sorted(set(texts.levels)), name
        if (code := int(texts.codes[row])) >= 0:
            found[name] = texts.levels[code]
    for name, instants in columns.instants.items():
        if (at := int(instants[row])) != NO_INSTANT:
            moment = EPOCH + timedelta(microseconds=at)
            found[name] = moment.date() if catalogue.signals[name].type == "date" else moment
    for name, lists in columns.lists.items():
        if (words := lists[row]) is not None:
            found[name] = words
    return found


def derive_one(
    one: One, now: datetime, catalogue: Catalogue, scorer: Scorer, predictors: Predictors = RULES_ONLY
) -> dict[str, Value]:
    """What one path knows of the customer: stored and derived."""
    derived = derive_signals(
        one.stored,
        one.tallies,
        now=now,
        catalogue=catalogue,
        previous=one.scores,
        score=scorer,
        predictors=predictors,
    )
    return {**one.stored, **derived}


def parts_of(
    customers: Sequence[One], now: datetime, catalogue: Catalogue
) -> tuple[SignalColumns, TallyColumns, DayScores]:
    """The same customers as columns."""
    today = now.astimezone(UTC).date()
    return (
        signal_columns([one.stored for one in customers], catalogue),
        tally_columns([one.tallies for one in customers], today),
        day_scores([one.scores for one in customers], today),
    )


def derive_many(
    customers: Sequence[One],
    now: datetime,
    catalogue: Catalogue,
    scorer: Scorer,
    predictors: Predictors = RULES_ONLY,
) -> Derived:
    """What the columns know of the customers, lists included."""
    lists = [name for name, signal in catalogue.signals.items() if signal.type == "list"]
    return derive_columns(
        *parts_of(customers, now, catalogue),
        now=now,
        catalogue=catalogue,
        scorer=scorer,
        predictors=predictors,
        lists=lists,
    )


def draw_customers(seed: int, count: int, now: datetime, catalogue: Catalogue) -> list[One]:
    """Customers of every kind: busy and silent, complete and hardly known, with days and instants of all sorts."""
    dice = random.Random(seed)
    return [_draw(dice, now, catalogue) for _ in range(count)]


def _draw(dice: random.Random, now: datetime, catalogue: Catalogue) -> One:
    one = One()
    known = dice.choice([0.0, 0.3, 0.9, 1.0])
    passing = derived_names(catalogue)
    for name, signal in catalogue.signals.items():
        if name in passing or signal.personal or dice.random() >= known:
            continue
        value = _value(dice, signal.type, signal.values, now)
        if value is not None:
            one.stored[name] = value
    busy = dice.choice([0.0, 0.1, 0.5])
    today = now.astimezone(UTC).date()
    for name, kind in catalogue.events.items():
        details = [""]
        if kind.detail:
            details = [*catalogue.core_features[:4], "zäh", "Other", UNMEASURED, ""]
        elif kind.measure:
            details = ["", UNMEASURED]
        for ago in range(-2, 64):
            for detail in details:
                if dice.random() < busy / len(details):
                    total = dice.choice([0.0, 4.0, 12.5, dice.random() * 90])
                    day = today - timedelta(days=ago)
                    one.tallies.append(Tally(name, detail, day, dice.randint(1, 4), total))
    dice.shuffle(one.tallies)
    scored = dice.choice([0.0, 0.2, 1.0])
    level, step = dice.randint(0, 100), dice.choice([0, 1, -1, 3])
    for ago in range(-1, 40):
        if dice.random() < scored:
            wobble = dice.choice([0, 0, dice.randint(-4, 4)])
            one.scores[today - timedelta(days=ago)] = min(100, max(0, level - step * ago + wobble))
    return one


def _value(dice: random.Random, kind: str, values: tuple[str, ...] | None, now: datetime) -> Value | None:
    match kind:
        case "number":
            return dice.choice(
                [0, 1, 2, 3, 5, 8, 30, 1.5, 4.25, dice.random(), dice.random() * 99, -1, 2**53]
            )
        case "bool":
            return dice.random() < 0.5
        case "text":
            return dice.choice([*(values or ("photographer", "venue")), "", "else"])
        case "time":
            nudge = dice.choice([timedelta(0), timedelta(microseconds=1), timedelta(microseconds=-1)])
            days = dice.choice([0, 1, 2, 6, 7, 8, 14, 29, 30, 31, 400, -1, dice.random() * 60])
            return now - timedelta(days=days) + nudge
        case "date":
            return (now - timedelta(days=dice.randint(-40, 40))).date()
        case "list":
            return tuple(dice.sample(["vip", "zäh", "a", "b"], dice.randint(0, 3)))
    return None
