"""Forecasts of held-back rows, and how good each of several forecasters is, beside one another on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from schemas.errors import InputError
from scoring.churn import level_of
from scoring.churning.columns import Flags, Floats, Integers
from scoring.churning.measures import Measures, majority, measure
from scoring.hazard.outlook import HORIZONS
from scoring.hazard.snapshots import Snapshots
from scoring.thumb import map_thumb, thumb_probability
from scoring.training import Folds, outcome_within, rows_of, treated_within

SEED = 20260101
DRAWS = 1000
# Intervals reach from the 5th to the 95th of a hundred draws.
EDGES = (5.0, 95.0)
LEVELS = ("low", "medium", "high", "critical")
BASE_RATE, THUMB, MAPPED_THUMB = "base_rate", "rule_of_thumb", "mapped_rule_of_thumb"

# Probabilities of leaving within 30, 60 and 90 days, shape (rows, 3).
Forecast = Callable[[Snapshots], Floats]
Learner = Callable[[Snapshots], Forecast]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What each forecaster said of rows that it hadn't learned from: `rows` are places, `said` has a row for each.

    `learned_rows` and `learned_customers_left` are by month.
    """

    folds: Folds
    rows: Integers
    month: Integers
    said: Mapping[str, Floats]
    learned_rows: tuple[int, ...]


def run_trial(
    snapshots: Snapshots, folds: Folds, learners: Mapping[str, Learner], say: Say = lambda line: None
) -> Trial:
    """Let every learner learn each piece's rows, as they were known then, and predict the others."""
    places: list[Integers] = []
    months: list[Integers] = []
    said: dict[str, list[Floats]] = {name: [] for name in learners}
    learned: dict[int, int] = {}
    for number, piece in enumerate(folds.pieces, start=1):
        train = rows_of(snapshots, piece.train, known_day=piece.known_day)
        test = rows_of(snapshots, piece.test)
        learned[piece.month] = learned.get(piece.month, 0) + len(piece.train)
        say(
            f"trial {number} of {len(folds.pieces)}: learning from {len(piece.train):,} rows, "
            f"predicting {len(piece.test):,}"
        )
        for name, learner in learners.items():
            said[name].append(_learn(name, learner, train, say)(test))
        places.append(piece.test)
        months.append(np.full(len(piece.test), piece.month, dtype=np.int64))
    rows = np.concatenate(places)
    order = np.argsort(rows, kind="stable")
    return Trial(
        folds,
        rows[order],
        np.concatenate(months)[order],
        {name: np.concatenate(parts)[order] for name, parts in said.items()},
        tuple(learned[month] for month in sorted(learned)),
    )


def _learn(name: str, learner: Learner, train: Snapshots, say: Say) -> Forecast:
    try:
        return learner(train)
    except InputError as error:
        # So few rows of the past may say nothing that all of them do.
        say(f"{name}: {error.message} Everybody is forecast alike")
        return learn_base_rate(train)


def learn_base_rate(train: Snapshots) -> Forecast:
    """The share that left, whoever it is."""
    shares = []
    for days in HORIZONS:
        known = outcome_within(train, days)
        known = known[~np.isnan(known)]
        shares.append(float((known.sum() + 0.5) / (len(known) + 1.0)))
    return lambda rows: np.tile(shares, (len(rows.day), 1))


def learn_thumb(train: Snapshots) -> Forecast:
    """The rule of thumb as it serves: one probability, whatever the horizon; nothing is learned."""
    return lambda rows: np.tile(thumb_probability(rows.table, len(rows.day))[:, None], (1, len(HORIZONS)))


def learn_mapped_thumb(train: Snapshots) -> Forecast:
    """The rule of thumb, mapped by a logistic line to what came of it."""
    said = thumb_probability(train.table, len(train.day))

    def forecast(rows: Snapshots) -> Floats:
        wanted = thumb_probability(rows.table, len(rows.day))
        columns = []
        for days in HORIZONS:
            outcome = outcome_within(train, days)
            known = ~np.isnan(outcome) & ~treated_within(train, days)
            columns.append(map_thumb(said[known], outcome[known], wanted))
        return np.column_stack(columns)

    return forecast


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The rows of a trial that can be judged at a horizon: `at` are their places in the trial's arrays.

    Those whom a playbook was treating within the horizon are left out (`treated_left_out`), those held out never are.
    """

    days: int
    at: Integers
    outcome: Floats
    customer: Integers
    held_out: Flags
    treated_left_out: int

    @property
    def events(self) -> int:
        """In how many rows the customer left."""
        return int(self.outcome.sum())


def judge_rows(snapshots: Snapshots, rows: Integers, days: int, *, since_day: int | None = None) -> Judged:
    """Which of these rows can be judged at `days`; with `since_day` only those of that day (an ordinal) or later."""
    outcome = outcome_within(snapshots, days)[rows]
    known = ~np.isnan(outcome)
    if since_day is not None:
        known &= snapshots.day[rows] >= since_day
    treated = treated_within(snapshots, days)[rows]
    at = np.flatnonzero(known & ~treated)
    return Judged(
        days,
        at,
        outcome[at],
        snapshots.customer[rows][at],
        snapshots.held_out[rows][at],
        int((known & treated).sum()),
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 90 % interval; customers are drawn anew, so rows of one customer count together."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Band:
    """Those of one level of risk: what was said of them on average, and the share that left."""

    level: str
    rows: int
    said: float | None
    left: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """One forecaster at one horizon. `observed_over_expected`: how many left for each that it expected to."""

    forecaster: str
    days: int
    rows: int
    customers: int
    events: int
    majority: float
    observed_over_expected: Interval
    measures: Measures
    bands: tuple[Band, ...]

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return {
            "forecaster": self.forecaster, "days": self.days, "rows": self.rows, "customers": self.customers,
            "events": self.events, "majority": self.majority,
            "observed_over_expected": asdict(self.observed_over_expected), **self.measures.to_json(),
            "bands": [asdict(band) for band in self.bands],
        }  # fmt: skip


def report(name: str, judged: Judged, said: Floats) -> Report | None:
    """How good a forecaster is on these rows; `said` has the trial's shape. None without rows."""
    if not len(judged.at):
        return None
    probability = said[judged.at, HORIZONS.index(judged.days)]
    return Report(
        name,
        judged.days,
        len(judged.at),
        len(np.unique(judged.customer)),
        judged.events,
        majority(judged.outcome),
        observed_over_expected(judged, probability),
        measure(judged.outcome, probability),
        tuple(bands_of(judged.outcome, probability)),
    )


def bands_of(outcome: Floats, probability: Floats) -> list[Band]:
    """Each level of risk, from low to critical."""
    levels = np.array([LEVELS.index(level_of(float(one))) for one in probability], dtype=np.int64)
    found = []
    for place, level in enumerate(LEVELS):
        mine = levels == place
        rows = int(mine.sum())
        said, left = (float(probability[mine].mean()), float(outcome[mine].mean())) if rows else (None, None)
        found.append(Band(level, rows, said, left))
    return found


def observed_over_expected(judged: Judged, probability: Floats) -> Interval:
    """How many left for each that was expected to leave."""
    return ratio_of(judged.outcome, np.maximum(probability, 1e-9), judged.customer)


def ratio_of(upper: Floats, lower: Floats, customers: Integers, *, seed: int = SEED) -> Interval:
    """Sum over sum, with a 90 % interval by drawing customers with replacement, 1,000 times."""
    places = np.unique(customers, return_inverse=True)[1]
    count = int(places.max()) + 1
    up = np.bincount(places, weights=upper, minlength=count)
    down = np.bincount(places, weights=lower, minlength=count)
    generator = np.random.default_rng(seed)
    drawn = np.empty(DRAWS)
    for draw in range(DRAWS):
        times = np.bincount(generator.integers(0, count, count), minlength=count)
        drawn[draw] = (times @ up) / (times @ down)
    low, high = np.percentile(drawn, EDGES)
    return Interval(float(up.sum() / down.sum()), float(low), float(high))


def reports(snapshots: Snapshots, trial: Trial, names: Sequence[str] | None = None) -> list[Report]:
    """Every forecaster at every horizon for which rows can be judged."""
    found = []
    for days in HORIZONS:
        judged = judge_rows(snapshots, trial.rows, days)
        for name in names or tuple(trial.said):
            one = report(name, judged, trial.said[name])
            if one is not None:
                found.append(one)
    return found
