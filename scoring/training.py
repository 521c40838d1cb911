"""What a churn model is trained and tested on: days of a fixed calendar, when customers left, folds forward in time.

Nothing that wasn't known at a moment is used for what is said at that moment: a fold learns from the days before its
own, and of what happened to them only what had happened by its day.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from scoring.churning.columns import Flags, Floats, Integers
from scoring.churning.folds import SEED, deal_groups
from scoring.hazard.outlook import HORIZONS
from scoring.hazard.snapshots import Snapshots
from scoring.hazard.weeks import count_weeks
from scoring.leaving import SILENCE, Stay

# Mondays whose week, counted from that of 1970-01-05, divides by four: the same days whenever one trains.
EVERY_DAYS = 28
_FIRST_MONDAY = date(1970, 1, 5).toordinal()
# Thirteen weeks, the reach of the hazard and of the longest horizon.
MATURE_DAYS = 91
WEEK_DAYS = 7
# No further back than this, however long the history.
MOST_DAYS_BACK = 1092
# How long after entering a playbook a customer counts as treated.
TREATED = timedelta(days=84)
FEWEST_EVENTS = 10
NEWEST_MONTHS = 3
# Up to so many rows every part of the customers is predicted in every month, above it a part in each.
SMALL_ROWS = 20_000
_DAY = timedelta(days=1)


def training_days(as_of: datetime, first: date) -> list[date]:
    """The days of the calendar from `first` on of which at least a week is over at `as_of`, in order of time."""
    newest = as_of.astimezone(UTC).date().toordinal() - WEEK_DAYS
    newest -= (newest - _FIRST_MONDAY) % EVERY_DAYS
    oldest = max(first.toordinal(), newest - MOST_DAYS_BACK)
    return [date.fromordinal(day) for day in range(newest, oldest - 1, -EVERY_DAYS)][::-1]


def midnight(day: date) -> datetime:
    """The instant at which a UTC day begins."""
    return datetime.combine(day, time(), UTC)


def left_after(stay: Stay, at: datetime) -> datetime | None:
    """When somebody who is there at `at` leaves: the first cancellation after it, or the end of 60 days of silence.

    None where neither is due by what is known: the moment may lie beyond what is known, as silence goes on.
    """
    cancelled = min((one for one in stay.course.cancelled if one > at), default=None)
    place = bisect.bisect_right(stay.logins, at)
    seen = max(stay.logins[place - 1], stay.course.since) if place else stay.course.since
    for login in stay.logins[place:]:
        if login > seen + SILENCE:
            break
        seen = login
    silent = max(seen + SILENCE, at)
    return silent if cancelled is None else min(cancelled, silent)


def treated_stretch(entries: Sequence[datetime], at: datetime) -> tuple[float, float] | None:
    """The first stretch of treatment that isn't over before `at`, in days from `at`; stretches that touch are one.

    `entries` are in order of time.
    """
    stretches: list[tuple[datetime, datetime]] = []
    for entered in entries:
        if stretches and entered <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], entered + TREATED)
        else:
            stretches.append((entered, entered + TREATED))
    for start, end in stretches:
        if end > at:
            return (start - at) / _DAY, (end - at) / _DAY
    return None


def rows_of(snapshots: Snapshots, rows: Integers, *, known_day: float | None = None) -> Snapshots:
    """These rows alone; with `known_day` (an ordinal) only what had happened to them by the midnight of that day."""
    part = snapshots.take(rows)
    if known_day is None:
        return part
    followed = np.minimum(part.followed, known_day - part.day)
    with np.errstate(invalid="ignore"):
        left = np.where(part.left <= followed, part.left, np.nan)
    return replace(part, followed=followed, left=left)


def outcome_within(snapshots: Snapshots, days: int) -> Floats:
    """1 where the row's customer left within `days`, 0 where not, nan where that isn't known yet."""
    with np.errstate(invalid="ignore"):
        left = snapshots.left <= days
    return np.where(snapshots.followed >= days, left.astype(np.float64), np.nan)


def treated_within(snapshots: Snapshots, days: int) -> Flags:
    """Whether a playbook was treating the row's customer at any time in the `days` after it; never a held-out one."""
    with np.errstate(invalid="ignore"):
        inside = (snapshots.treated_from < days) & ~(snapshots.treated_until <= 0)
    return inside & ~snapshots.held_out


def count_events(snapshots: Snapshots) -> int:
    """How many customers were seen to leave within 13 weeks of one of their rows, in a week that is over."""
    return len(np.unique(snapshots.customer[count_weeks(snapshots)[1]]))


@dataclass(frozen=True, slots=True, eq=False)
class TrialFold:
    """Rows to predict and to learn from, as places. `known_day`: what had happened by then may be learned from.

    `month` counts from 1; a month may come in several pieces, of other customers each.
    """

    month: int
    day: int
    known_day: float
    train: Integers
    test: Integers


@dataclass(frozen=True, slots=True)
class Folds:
    """How what was trained is tested; `forward` is False where the history is too short for it.

    `horizon_days` is the longest horizon that is over for the rows of every month.
    """

    pieces: tuple[TrialFold, ...]
    forward: bool
    horizon_days: int


def make_folds(snapshots: Snapshots, as_of_day: float) -> Folds | None:
    """The three newest days of the calendar that are mature, each predicted from what was known on that day.

    Nobody is both learned from and predicted in the same piece. Where the history before such a day is too short, or
    fewer than 10 left before or after it, days are taken whose 60 or 30 days are over; where that doesn't help either,
    customers are held back instead, whatever the day. None where even those can't be told apart: under 10 left.
    """
    for horizon in reversed(HORIZONS):
        folds = make_forward_folds(snapshots, as_of_day, horizon)
        if folds is not None and _count_judged(snapshots, folds) >= FEWEST_EVENTS:
            return folds
    # One month alone may be unlike all others: a horizon of which there are three is better than a longer one.
    for fewest_days in (NEWEST_MONTHS, 1):
        for horizon in reversed(HORIZONS):
            pieces = _by_customer(snapshots, horizon, as_of_day, fewest_days)
            if pieces:
                return Folds(tuple(pieces), False, horizon)
    return None


def make_forward_folds(
    snapshots: Snapshots, as_of_day: float, horizon_days: int, *, since_day: float | None = None
) -> Folds | None:
    """Days whose horizon is over, the three newest, none before `since_day`; None where there is none to learn for.

    Learning for a day takes rows of 13 weeks before it: weeks alone say little of months.
    """
    over_days = MATURE_DAYS if horizon_days == HORIZONS[-1] else horizon_days
    days = np.unique(snapshots.day)
    # Dealt without a look at who left: what happens after a day mustn't tell the folds of that day apart.
    parts = _shuffle(snapshots, 3)
    every_part = len(snapshots.day) <= SMALL_ROWS
    pieces: list[TrialFold] = []
    months = 0
    for day in days[::-1]:
        if (
            day + over_days > as_of_day
            or months == NEWEST_MONTHS
            or (since_day is not None and day < since_day)
        ):
            continue
        today, before = snapshots.day == day, snapshots.day < day
        found = []
        for part in range(3) if every_part else (months % 3,):
            train = np.flatnonzero(before & (parts != part))
            test = np.flatnonzero(today & (parts == part))
            mature = len(train) and snapshots.day[train].min() <= day - MATURE_DAYS
            if mature and len(test) and _learnable(rows_of(snapshots, train, known_day=float(day))):
                found.append((train, test))
        if len(found) < (3 if every_part else 1):
            continue
        months += 1
        pieces += [TrialFold(months, int(day), float(day), train, test) for train, test in found]
    # The newest comes first; months are told in order of time.
    told = tuple(replace(one, month=months + 1 - one.month) for one in reversed(pieces))
    return Folds(told, True, horizon_days) if told else None


def _count_judged(snapshots: Snapshots, folds: Folds) -> int:
    """How many rows of the folds were followed by leaving, treated ones left out."""
    rows = np.concatenate([piece.test for piece in folds.pieces])
    left = outcome_within(snapshots, folds.horizon_days)[rows]
    return int(np.nansum(left[~treated_within(snapshots, folds.horizon_days)[rows]]))


def _by_customer(snapshots: Snapshots, horizon: int, as_of_day: float, fewest_days: int) -> list[TrialFold]:
    known = ~np.isnan(outcome_within(snapshots, horizon))
    if len(np.unique(snapshots.day[known])) < fewest_days:
        return []
    if count_events(rows_of(snapshots, np.flatnonzero(known))) < FEWEST_EVENTS:
        return []
    parts = _deal(snapshots, 5)
    pieces = []
    for part in range(5):
        train = np.flatnonzero(parts != part)
        test = np.flatnonzero((parts == part) & known)
        if len(test) and _learnable(rows_of(snapshots, train), FEWEST_EVENTS // 2):
            day = int(snapshots.day[test].max())
            pieces.append(TrialFold(1, day, as_of_day, train, test))
    return pieces


def _learnable(snapshots: Snapshots, fewest: int = FEWEST_EVENTS) -> bool:
    return count_events(snapshots) >= fewest


def _shuffle(snapshots: Snapshots, parts: int) -> Integers:
    """Each row's part, a customer's rows all in one."""
    customers, places = np.unique(snapshots.customer, return_inverse=True)
    found: Integers = (np.random.default_rng(SEED).permutation(len(customers)) % parts)[places]
    return found


def _deal(snapshots: Snapshots, parts: int) -> Integers:
    """Each row's part, such that a customer's rows are in one and parts have about equally many who left."""
    with np.errstate(invalid="ignore"):
        gone = (snapshots.left <= MATURE_DAYS).astype(np.float64)
    places = np.unique(snapshots.customer, return_inverse=True)[1]
    if len(places) == 0:
        return np.zeros(0, dtype=np.int64)
    found: Integers = deal_groups(gone, places, parts)[places]
    return found
