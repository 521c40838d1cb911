"""A fitted hazard model: log-odds of leaving in each of the coming weeks."""

from __future__ import annotations

from typing import Literal

import msgspec

from scoring.churning.model import Effect, Pair, Rule, Terms

FORMAT = "holdfast-hazard/1"
# What a reason is called that the renewal is.
RENEWAL = "renewal_date"

Kind = Literal["model", "health"]


class Renewing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How customers of one billing period renew: what a renewal adds to its week, and how often it comes, in days."""

    billing: str
    weight: float
    every_days: float | None


class Renewals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a renewal adds to the log-odds of the week in which it falls: by billing period, else `weight`."""

    weight: float = 0.0
    by_billing: tuple[Renewing, ...] = ()


class HazardCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """log-odds = shift + slope · (what everything adds up to) + fade · (share of the 12 weeks gone) · (the terms)."""

    shift: float = 0.0
    slope: float = 1.0
    fade: float = 0.0


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a column's basis is turned for the covariance: (basis - means) times the rows of `turn`."""

    means: tuple[float, ...]
    turn: tuple[tuple[float, ...], ...]
    missing: float | None


class Uncertainty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Covariance of intercept, weeks, renewals, treatment and the columns alone.

    `deviations` are standard errors, `correlations` the lower triangle below the diagonal, row by row, in thousandths.
    `rest` is what pairs and rules add to the variance of the log-odds, on average. `centres` are the means of what
    comes before the columns.
    """

    deviations: tuple[float, ...]
    correlations: tuple[int, ...]
    centres: tuple[float, ...]
    spreads: tuple[Spread, ...]
    rest: float


class HazardTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it was learned from: rows, customers, how many of these left within 13 weeks, weeks in all and as fitted.

    `first_day` and `last_day` are ISO dates; `fingerprint` is a hash of the data that was used.
    """

    snapshots: int
    customers: int
    events: int
    weeks: int
    weeks_fitted: int
    first_day: str
    last_day: str
    fingerprint: str
    shape: str


class HazardModel(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """Log-odds of leaving in week 0, 1, … = intercept + weeks + renewal + all effects, pairs and rules, calibrated.

    Each effect, pair and rule is zero on average over the snapshots learned from. `treated` is what being treated
    adds: it is known so that it can be told apart, and nobody is scored with it. `period` are the weights of
    `weeks.period_basis`. Compared by identity, so that what is compiled from it can be kept.
    """

    format: str
    kind: Kind
    intercept: float
    period: tuple[float, ...]
    renewals: Renewals
    treated: float
    effects: tuple[Effect, ...]
    pairs: tuple[Pair, ...]
    rules: tuple[Rule, ...]
    calibration: HazardCalibration
    uncertainty: Uncertainty
    allow_list: str
    training: HazardTraining
    metrics: dict[str, float]
    versions: dict[str, str]

    @property
    def terms(self) -> Terms:
        """What is known of a customer."""
        return Terms(self.effects, self.pairs, self.rules)

    @property
    def columns(self) -> tuple[str, ...]:
        """The features that its terms read."""
        return self.terms.columns

    @property
    def base(self) -> float:
        """The score of somebody average in everything who doesn't renew in the coming week."""
        return self.calibration.shift + self.calibration.slope * self.intercept

    @property
    def sources(self) -> tuple[str, ...]:
        """What reasons are about: columns, then rules as text, then the renewal."""
        return (*self.terms.sources, RENEWAL)
