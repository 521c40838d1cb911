"""The history of the live database as snapshots to train on: read in pages, bounded in memory, always the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import nan
from typing import Any

import numpy as np

from rules.assignment import held_out
from schemas.catalogue import Catalogue, Signal
from schemas.facts import Event
from scoring.churning.columns import Floats, categories_of
from scoring.derivations import TRAIT_EVENTS, compile_derivations
from scoring.detection import STATUS
from scoring.features import feature_table, learnable
from scoring.hazard.snapshots import Snapshots
from scoring.leaving import Stay, trace_stay
from scoring.signal_columns import NO_INSTANT, SignalColumns
from scoring.training import left_after, midnight, training_days, treated_stretch
from store import training
from store.database import Connection, Database
from store.playbooks import load_policy
from store.training import DRAWN_OF, DayRow, Kind, Known

MOST_ROWS = 200_000
# Customers read at once.
PAGE = 2_000
YOUNGEST = timedelta(days=7)
SIGNED_UP, RENEWAL = "signed_up_at", "renewal_date"
_DAY = timedelta(days=1)
_DAY_MICROSECONDS = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What was read as of a moment. `of_rows` is how many rows there would be at most, `share` how many were drawn."""

    as_of: datetime
    snapshots: Snapshots
    customers: int
    days: tuple[date, ...]
    of_rows: int
    share: float

    @property
    def as_of_day(self) -> float:
        """The moment as an ordinal day with its fraction."""
        start = midnight(self.as_of.date())
        return start.toordinal() + (self.as_of - start) / _DAY


@dataclass(slots=True)
class _Rows:
    """The kept rows so far, one entry each; `values` are in the order of the signals asked for."""

    customer: list[str]
    day: list[date]
    values: list[tuple[Any, ...]]
    left: list[float]
    treated: list[tuple[float, float]]
    drawn: list[int]


async def read_training(
    database: Database,
    catalogue: Catalogue,
    *,
    as_of: datetime,
    most_rows: int = MOST_ROWS,
    say: Say = lambda line: None,
) -> TrainingData:
    """Everybody who was there, at least 7 days old, on the days of the calendar before `as_of`.

    No more than `most_rows`, drawn by a hash of customer and day. Only signals that may be learned from are read.
    """
    async with database.transaction() as connection:
        first = await training.first_customer_at(connection)
        policy = await load_policy(connection)
        days = [] if first is None else training_days(as_of, first.astimezone(UTC).date())
        of_rows = await training.count_rows(connection, days)
    share = min(1.0, most_rows / max(1, of_rows))
    asked = _asked(catalogue)
    rows = _Rows([], [], [], [], [], [])
    after = ""
    seen = 0
    while days:
        async with database.transaction() as connection:
            page = await training.list_customers(connection, after, PAGE)
            if not page:
                break
            after = page[-1][1]
            found = await training.read_days(
                connection, [one[0] for one in page], days, asked, below=round(share * DRAWN_OF)
            )
            known = await _read_courses(
                connection, sorted({row.customer_id for row in found}), as_of, catalogue
            )
        _keep(rows, found, known, asked, as_of, catalogue)
        seen += len(page)
        say(f"{seen:,} customers looked at, {len(rows.day):,} rows on {len(days)} days")
    chosen = _choose(rows, most_rows)
    snapshots = _build(rows, chosen, asked, as_of, catalogue, policy.holdout_percent)
    return TrainingData(as_of, snapshots, len(np.unique(snapshots.customer)), tuple(days), of_rows, share)


def _asked(catalogue: Catalogue) -> list[tuple[str, Kind]]:
    """What is read of a day: learnable signals, what ages count from, sign-up and renewal; never anything else."""
    names: dict[str, Kind] = {SIGNED_UP: "time", RENEWAL: "date"}
    for signal in learnable(catalogue):
        stored = catalogue.signals[signal.age_of] if signal.age_of else signal
        names[stored.name] = stored.type  # type: ignore[assignment]  # lists are never learned from
    return [(name, kind) for name, kind in sorted(names.items()) if name in catalogue.signals]


async def _read_courses(
    connection: Connection, ids: Sequence[str], as_of: datetime, catalogue: Catalogue
) -> dict[str, Known]:
    plan = compile_derivations(catalogue)
    telling = [name for name, moves in plan.moves.items() if any(one.signal.name == STATUS for one in moves)]
    keys = sorted(
        {
            key
            for name in TRAIT_EVENTS
            for one in plan.moves.get(name, ())
            if one.signal.name == STATUS
            for key in one.names
        }
    )
    return await training.read_courses(
        connection, ids, names=telling, traits=TRAIT_EVENTS, keys=keys, until=as_of
    )


def _keep(
    rows: _Rows,
    found: Sequence[DayRow],
    known: dict[str, Known],
    asked: Sequence[tuple[str, Kind]],
    as_of: datetime,
    catalogue: Catalogue,
) -> None:
    """Add those who were there on the day and old enough, with what became of them."""
    signed_up = [name for name, _ in asked].index(SIGNED_UP)
    stays: dict[str, Stay] = {}
    for row in found:
        who = known.get(row.customer_id)
        if who is None:
            continue
        stay = stays.get(row.customer_id)
        if stay is None:
            told = [Event(name, at, body) for name, at, body in who.events]
            told += [Event("login", at, {}) for at in who.logins]
            stay = stays[row.customer_id] = trace_stay(who.external_id, who.created_at, told, catalogue)
        at = midnight(row.day)
        since = row.values[signed_up]
        if stay.is_gone(at) or (isinstance(since, datetime) and at - since < YOUNGEST):
            continue
        left = left_after(stay, at)
        rows.customer.append(who.external_id)
        rows.day.append(row.day)
        rows.values.append(row.values)
        rows.left.append(nan if left is None or left > as_of else (left - at) / _DAY)
        rows.treated.append(treated_stretch(who.treated, at) or (nan, nan))
        rows.drawn.append(row.drawn)


def _choose(rows: _Rows, most_rows: int) -> list[int]:
    """The places of the rows to keep, in order of customer and day: independent of how the database orders them."""
    places = range(len(rows.day))
    if len(rows.day) > most_rows:
        places = sorted(places, key=lambda one: (rows.drawn[one], rows.customer[one], rows.day[one]))[
            :most_rows
        ]  # type: ignore[assignment]
    return sorted(places, key=lambda one: (rows.customer[one], rows.day[one]))


def _build(
    rows: _Rows,
    chosen: Sequence[int],
    asked: Sequence[tuple[str, Kind]],
    as_of: datetime,
    catalogue: Catalogue,
    holdout_percent: float,
) -> Snapshots:
    names = [rows.customer[one] for one in chosen]
    numbers: dict[str, int] = {}
    customer = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    held = [held_out("global", holdout_percent, name) for name in numbers]
    day = np.array([rows.day[one].toordinal() for one in chosen], dtype=np.int64)
    now = (day - _EPOCH.toordinal()) * _DAY_MICROSECONDS
    columns = _columns(rows, chosen, asked, now, catalogue)
    renewal = np.where(
        columns.instants[RENEWAL] == NO_INSTANT, nan, (columns.instants[RENEWAL] - now) / _DAY_MICROSECONDS
    )
    end = (as_of - _EPOCH) / _DAY + _EPOCH.toordinal()
    followed: Floats = np.asarray(end - day, dtype=np.float64)
    treated = np.array([rows.treated[one] for one in chosen], dtype=np.float64).reshape(-1, 2)
    return Snapshots(
        table=feature_table(columns, catalogue),
        customer=customer,
        day=day,
        # In days both are rounded: who left at the last moment didn't leave after it.
        left=np.minimum(np.array([rows.left[one] for one in chosen], dtype=np.float64), followed),
        followed=followed,
        renewal=renewal,
        treated_from=treated[:, 0],
        treated_until=treated[:, 1],
        held_out=np.array(held, dtype=np.bool_)[customer] if held else np.zeros(0, dtype=np.bool_),
    )


def _columns(
    rows: _Rows,
    chosen: Sequence[int],
    asked: Sequence[tuple[str, Kind]],
    now: np.ndarray[Any, Any],
    catalogue: Catalogue,
) -> SignalColumns:
    """The values as columns, ages at each row's own midnight among the numbers."""
    columns = SignalColumns(len(chosen), {}, {}, {}, {})
    numbers, texts, instants = dict(columns.numbers), dict(columns.texts), dict(columns.instants)
    for place, (name, kind) in enumerate(asked):
        values = [rows.values[one][place] for one in chosen]
        signal = catalogue.signals[name]
        if kind in ("number", "bool"):
            numbers[name] = np.array([nan if value is None else float(value) for value in values], np.float64)
        elif kind == "text":
            texts[name] = categories_of(values)
        else:
            instants[name] = np.array([_instant(signal, value) for value in values], np.int64)
    for name, base in compile_derivations(catalogue).ages:
        since = instants.get(base)
        if since is not None:
            known = (since != NO_INSTANT) & (since <= now)
            age = np.floor_divide(now - np.where(known, since, now), _DAY_MICROSECONDS)
            numbers[name] = np.where(known, age.astype(np.float64), nan)
    return SignalColumns(len(chosen), numbers, texts, instants)


def _instant(signal: Signal, value: Any) -> int:
    """Microseconds since 1970; a date stands at its midnight."""
    if isinstance(value, str):
        value = signal.read(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value.toordinal() - _EPOCH.toordinal()) * _DAY_MICROSECONDS
    return NO_INSTANT
