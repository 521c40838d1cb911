"""Customers and triggers to match: drawn from the signal catalogue, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from rules.column_data import (
    BOOL,
    MISSING,
    NUMBER,
    TEXT,
    TIME,
    Column,
    Columns,
    Dictionary,
    Floats,
    Longs,
    Occurrences,
    Series,
    microseconds,
    offsets_of,
)
from schemas.condition import Value
from schemas.facts import Event, Facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = 86_400_000_000
HISTORY_DAYS = 30
# Of each signal so many values are missing.
MISSING_SHARE = 0.03

TEXTS: Mapping[str, tuple[str, ...]] = {
    "plan": ("free", "starter", "pro", "business"),
    "billing_period": ("monthly", "annual"),
    "subscription_status": ("trial", "active", "past_due", "cancelled"),
    "segment": ("new_user", "established", "power_user"),
    "country": ("DE", "FR", "US", "GB", "ES", "IT", "NL", "AT"),
    "risk_level": ("healthy", "at_risk", "critical"),
    "health_trend": ("improving", "stable", "declining"),
}
# Highest value; whole numbers where it is one.
NUMBERS: Mapping[str, float] = {
    "health_score": 100, "churn_probability": 1.0, "days_since_last_login": 60, "account_age_days": 700,
    "session_count_30d": 40, "active_days_30d": 30, "usage_drop_percent": 100, "features_adopted": 12,
    "clients_imported": 60, "journeys_created": 20, "support_tickets_30d": 6, "open_tickets": 3,
    "failed_payments_30d": 3, "critical_milestones_done": 5, "monthly_price": 99.0,
}  # fmt: skip
FLAGS = ("influencer", "recent_viral_activity")
# How many days before (or, where negative, after) now the earliest and latest lie.
TIMES: Mapping[str, tuple[int, int]] = {"last_login": (0, 60), "renewal_date": (-180, 20)}
HISTORIES = ("health_score", "churn_probability")
# Mean count of each event in 60 days.
EVENTS: Mapping[str, float] = {
    "login": 6, "payment_failed": 0.2, "ticket_rated": 0.5, "form_created": 2, "referral_made": 0.3,
}  # fmt: skip


@dataclass(frozen=True)
class Population:
    """Customers as columns; `facts_of` tells any of them as the live path knows them."""

    columns: Columns

    def facts_of(self, row: int) -> Facts:
        """One customer's facts."""
        columns = self.columns
        signals = {name: _value(name, column, row) for name, column in columns.signals.items()}
        events = []
        for name, happened in columns.events.items():
            for at in range(happened.offsets[row], happened.offsets[row + 1]):
                told = {key: _value(key, column, at) for key, column in happened.properties.items()}
                properties = {key: value for key, value in told.items() if value is not None}
                events.append(Event(name, _moment(happened.at[at]), properties))
        history: dict[str, list[tuple[date, Value]]] = {}
        for name, series in columns.history.items():
            points = zip(series.at[::-1, row], series.values[::-1, row], strict=True)
            history[name] = [(_moment(at).date(), float(value)) for at, value in points]
        known = {name: value for name, value in signals.items() if value is not None}
        return Facts(f"c{row}", NOW, known, sorted(events, key=lambda event: event.at), history)


def make_population(customers: int, seed: int = 1) -> Population:
    """`customers` rows with every signal that the triggers of `bench.triggers` look at."""
    dice = np.random.default_rng(seed)
    now = microseconds(NOW)
    signals: dict[str, Column] = {}
    for name, texts in TEXTS.items():
        codes = dice.integers(0, len(texts), customers, dtype=np.int32)
        signals[name] = Column(_kinds(dice, customers, TEXT), codes=codes, texts=Dictionary(texts))
    for name, highest in NUMBERS.items():
        signals[name] = Column(_kinds(dice, customers, NUMBER), numbers=_numbers(dice, customers, highest))
    for name in FLAGS:
        drawn = (dice.random(customers) < 0.1).astype(np.float64)
        signals[name] = Column(_kinds(dice, customers, BOOL), numbers=drawn)
    for name, (latest, earliest) in TIMES.items():
        at = now - dice.integers(latest * DAY, earliest * DAY, customers)
        if name == "renewal_date":
            at -= at % DAY
        signals[name] = Column(_kinds(dice, customers, TIME), instants=at)
    history = {name: _walk(dice, signals[name], NUMBERS[name], now) for name in HISTORIES}
    events = {name: _happen(dice, customers, mean, now) for name, mean in EVENTS.items()}
    return Population(Columns(customers, np.array(now, np.int64), signals, history, events))


def sample_rows(customers: int, count: int, seed: int = 2) -> list[int]:
    """Some of the rows, in order."""
    return sorted(random.Random(seed).sample(range(customers), min(count, customers)))


def _kinds(dice: np.random.Generator, n: int, kind: int) -> Any:
    return np.where(dice.random(n) < MISSING_SHARE, MISSING, kind).astype(np.uint8)


def _numbers(dice: np.random.Generator, n: int, highest: float) -> Floats:
    if isinstance(highest, int):
        return dice.integers(0, highest + 1, n).astype(np.float64)
    return np.round(dice.random(n) * highest, 2)


def _walk(dice: np.random.Generator, current: Column, highest: float, now: int) -> Series:
    """Daily values that lead up to the present one."""
    n = len(current.kinds)
    assert current.numbers is not None
    steps = dice.normal(0, highest / 25, (HISTORY_DAYS, n))
    values = current.numbers + np.cumsum(steps, axis=0)
    decimals = 0 if isinstance(highest, int) else 2
    days = now - now % DAY - np.arange(HISTORY_DAYS) * DAY
    return Series(
        np.full(n, HISTORY_DAYS),
        np.broadcast_to(days[:, None], values.shape),
        np.round(np.clip(values, 0, highest), decimals),
    )


def _happen(dice: np.random.Generator, n: int, mean: float, now: int) -> Occurrences:
    counts = dice.poisson(mean, n)
    rows = np.repeat(np.arange(n), counts)
    at: Longs = now - dice.integers(0, 60 * DAY, len(rows))
    order = np.lexsort((at, rows))
    ratings = Column(_kinds(dice, len(rows), NUMBER), numbers=_numbers(dice, len(rows), 5))
    return Occurrences(offsets_of(counts), at[order], {"rating": ratings})


def _value(name: str, column: Column, row: int) -> Value | None:
    kind = int(column.kinds[row])
    if kind == MISSING:
        return None
    if kind == TEXT:
        assert column.codes is not None
        return column.texts.texts[column.codes[row]]
    if kind == TIME:
        assert column.instants is not None
        moment = _moment(column.instants[row])
        return moment.date() if name == "renewal_date" else moment
    assert column.numbers is not None
    number = float(column.numbers[row])
    if kind == BOOL:
        return bool(number)
    return int(number) if number.is_integer() else number


def _moment(at: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at))
