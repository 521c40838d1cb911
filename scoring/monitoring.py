"""Predictions and health scores of the past against what became of the customers, and what that makes of the model.

Who was treated by a playbook may have stayed for it: everything is told of the untreated (held out or not) and, beside
it, of everybody. Treated is who was inside 84 days after entering a playbook when the prediction was made, or entered
one before they left and before the time that is judged was over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np

from scoring.churning import measures
from scoring.churning.columns import Flags, Floats, Integers
from scoring.detection import share_of
from scoring.leaving import Stay
from scoring.model_report import Early, Group, Matured, Quality, Week
from scoring.observed_expected import EARLY_DAYS, Ratio, Sums, compare, within
from scoring.training import left_after, treated_stretch

LEVELS = ("low", "medium", "high", "critical")
# What a probability of 30 days is told for.
CURVE_DAYS = 30.0
# The newest weeks taken together where one alone is too few to split.
NEWEST_WEEKS = 4
DECILES = 10
GAIN_POINTS = 20
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Told:
    """A prediction as it was made at `at`; `within_30d` is None from the rule of thumb, which isn't a probability.

    `left` is whether the customer left within the horizon: None where it isn't over, or they had left before.
    """

    day: date
    at: datetime
    probability: float
    within_30d: float | None
    level: str
    source: str
    version: str
    segment: str
    held_out: bool
    sent: bool
    left: bool | None
    earliest: date | None = None
    latest: date | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What came after a moment, in days: when they left (inf: not seen), and when a playbook began to treat them (0 or
    less: it was at it; inf: none did).
    """

    left: float
    treated: float

    def is_untreated(self, days: float) -> bool:
        """Whether nobody treated them until they left, or until `days` were over."""
        return self.treated > 0 and (self.treated >= days or self.left <= self.treated)


def find_fate(
    stay: Stay, entries: Sequence[datetime], at: datetime, known_until: datetime, *, held_out: bool = False
) -> Fate | None:
    """What came after `at`; None where they had left by then. `entries`: when playbooks began to treat them."""
    if stay.is_gone(at):
        return None
    left = left_after(stay, at)
    stretch = None if held_out else treated_stretch(entries, at)
    return Fate(
        math.inf if left is None or left > known_until else (left - at) / _DAY,
        math.inf if stretch is None else stretch[0],
    )


@dataclass
class Watch:
    """Gathers customers one by one, in bounded memory: sums per day and kind, and the rows of the matured days alone.

    `early_days` are the days whose 28 days are over, `matured_days` those whose horizon is.
    """

    horizon_days: int
    early_days: Sequence[date]
    matured_days: Sequence[date]
    weeks: dict[tuple[date, bool], Sums] = field(default_factory=dict)
    kinds: dict[tuple[str, str], Sums] = field(default_factory=dict)
    rows: list[tuple[int, float, bool, bool, bool, str]] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    dated: int = 0
    inside: int = 0

    def add(self, customer: int, told: Told, fate: Fate) -> None:
        """One prediction of one customer (a number of your own) who was still there."""
        if told.sent:
            fate = Fate(fate.left, min(fate.treated, 0.0))
        if told.within_30d is not None and told.day in self._early:
            self._add_early(told, fate, within(told.within_30d, CURVE_DAYS, EARLY_DAYS))
        if told.left is not None and told.day in self._matured:
            untreated = fate.is_untreated(self.horizon_days)
            self.rows.append((customer, told.probability, told.left, untreated, told.held_out, told.level))
            if untreated:
                self.sources[told.source] += 1
                self.versions[told.version] += 1
                if told.left and told.earliest and told.latest and fate.left < math.inf:
                    self.dated += 1
                    self.inside += told.earliest <= (told.at + fate.left * _DAY).date() <= told.latest

    def _add_early(self, told: Told, fate: Fate, expected: float) -> None:
        left = fate.left <= EARLY_DAYS
        self.weeks.setdefault((told.day, False), Sums()).add(left, expected)
        if fate.treated <= 0:
            return
        if fate.treated < min(EARLY_DAYS, fate.left):
            # Followed until the treatment began: so far they stayed, and so far they may be counted.
            left, expected = False, within(expected, EARLY_DAYS, fate.treated)
        self.weeks.setdefault((told.day, True), Sums()).add(left, expected)
        if told.day in self._newest:
            for kind in (
                ("overall", ""),
                ("level", told.level),
                ("segment", told.segment),
                ("source", told.source),
            ):
                self.kinds.setdefault(kind, Sums()).add(left, expected)

    def __post_init__(self) -> None:
        self._early, self._matured = frozenset(self.early_days), frozenset(self.matured_days)
        self._newest = frozenset(self.early_days[-NEWEST_WEEKS:])

    def tell_early(self) -> Early:
        """Observed over expected of the 28 days after, by week and kind."""
        days = [day for day in self.early_days if (day, False) in self.weeks]
        weeks = tuple(
            Week(
                day=day,
                untreated=self.weeks.get((day, True), Sums()).ratio(),
                everybody=self.weeks[day, False].ratio(),
            )
            for day in days
        )

        def of(kind: str) -> dict[str, Ratio]:
            # Four weeks of the same customers, whose 28 days overlap: no z can be told of them together.
            found = sorted((name, sums) for (one, name), sums in self.kinds.items() if one == kind)
            return {name: replace(sums.ratio(), spread=None, z=None) for name, sums in found}

        levels = of("level")
        return Early(
            weeks=weeks,
            days=tuple(day for day in days if day in self._newest),
            overall=of("overall").get(""),
            levels={name: levels[name] for name in LEVELS if name in levels},
            segments=of("segment"),
            sources=of("source"),
        )

    def tell_matured(self, capacity: float) -> Matured | None:
        """How good the probabilities of the horizon were; None where none is matured."""
        if not self.rows:
            return None
        customer, probability, left, untreated, held_out, level = zip(*self.rows, strict=True)
        everything = Judgeable(
            np.array(customer), np.array(probability), np.array(left, dtype=np.float64),
            np.array(held_out, dtype=bool), np.array([LEVELS.index(one) for one in level]),
        )  # fmt: skip
        return Matured(
            days=tuple(self.matured_days),
            untreated=judge_quality(everything.pick(np.array(untreated, dtype=bool)), capacity),
            everybody=judge_quality(everything, capacity),
            sources=dict(sorted(self.sources.items())),
            versions=dict(sorted(self.versions.items())),
            dated=self.dated,
            inside=self.inside,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Judgeable:
    """Rows with their outcomes (1 left), all of shape (rows,); `level` is the place in `LEVELS`."""

    customer: Integers
    probability: Floats
    left: Floats
    held_out: Flags
    level: Integers

    def pick(self, rows: Flags) -> Judgeable:
        """Some of them."""
        return Judgeable(
            self.customer[rows],
            self.probability[rows],
            self.left[rows],
            self.held_out[rows],
            self.level[rows],
        )


def judge_quality(rows: Judgeable, capacity: float = measures.CAPACITY) -> Quality | None:
    """How good these probabilities were; None without rows. `capacity`: the share of customers who can be called."""
    if not len(rows.left):
        return None
    left, probability = rows.left, rows.probability
    found = measures.measure(left, probability)
    base = float(left.mean())
    base_loss = None if base in (0.0, 1.0) else -(base * math.log(base) + (1 - base) * math.log(1 - base))
    recall = measures.recall_at(left, probability, capacity)
    levels = tuple(
        _group(name, rows.customer[mine], left[mine], probability[mine])
        for place, name in enumerate(LEVELS)
        if (mine := rows.level == place).any()
    )
    order = np.argsort(probability, kind="stable")
    deciles = tuple(
        _group(str(number), rows.customer[part], left[part], probability[part])
        for number, part in enumerate(np.array_split(order, min(DECILES, len(order))), start=1)
    )
    return Quality(
        rows=len(left),
        customers=len(np.unique(rows.customer)),
        left=round(float(left.sum())),
        customers_left=len(np.unique(rows.customer[left > 0.5])),
        held_out=int(rows.held_out.sum()),
        base_rate=base,
        majority_rate=measures.majority(left),
        accuracy=found.accuracy,
        auc=found.auc,
        log_loss=found.log_loss,
        base_log_loss=base_loss,
        skill=None if base_loss is None else 1 - found.log_loss / base_loss,
        brier=found.brier,
        ece=found.ece,
        capacity=capacity,
        recall=recall,
        lift=None if recall is None else recall * len(left) / measures.rows_at(len(left), capacity),
        ratio=compare(left, probability),
        monotone=all(lower.rate <= higher.rate for lower, higher in pairwise(levels)),
        levels=levels,
        deciles=deciles,
        gains=tuple(_gains(left, probability)),
    )


def _group(name: str, customer: Integers, left: Floats, probability: Floats) -> Group:
    customers, rate = len(np.unique(customer)), float(left.mean())
    # Days of one customer say nearly the same.
    share = share_of(round(rate * customers), customers)
    assert share.low is not None
    assert share.high is not None
    return Group(
        name=name, rows=len(left), customers=customers, left=round(float(left.sum())),
        said=float(probability.mean()), rate=rate, low=share.low, high=share.high,
    )  # fmt: skip


def _gains(left: Floats, probability: Floats) -> Iterable[tuple[float, float]]:
    events = float(left.sum())
    if not events:
        return
    caught = np.concatenate([[0.0], np.cumsum(left[np.argsort(-probability, kind="stable")])]) / events
    for point in range(GAIN_POINTS + 1):
        share = point / GAIN_POINTS
        yield share, float(caught[round(share * len(left))])


def choose_days(counts: Mapping[date, int]) -> list[date]:
    """One day of each week (Monday to Sunday): that of which there is most, of equals the first; in order of time."""
    best: dict[date, date] = {}
    for day in sorted(counts):
        week = day - timedelta(days=day.weekday())
        if week not in best or counts[day] > counts[best[week]]:
            best[week] = day
    return list(best.values())
