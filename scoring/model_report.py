"""What monitoring has to tell of a day: how good predictions and health scores were, and whether the world moved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from schemas.frozen import Frozen
from scoring.observed_expected import Drift, Ratio

Status = Literal["unknown", "healthy", "warning", "critical"]


class Group(Frozen):
    """Rows of one kind and how many of them left; the 95 % interval counts each customer once.

    `said` is the mean probability, None where none was said.
    """

    name: str
    rows: int
    customers: int
    left: int
    said: float | None
    rate: float
    low: float
    high: float


class Quality(Frozen):
    """How good probabilities were, on rows whose horizon is over.

    accuracy: at .5, and beside it `majority_rate`, what always saying the more frequent outcome gets right. skill: the
    share of the log loss of always saying the base rate that the model takes away (1 is perfect, 0 no use, less than 0
    harmful). recall and lift: among the `capacity` of the rows with the highest probabilities. auc, skill, recall and
    lift are None where nobody left or everybody did. `monotone`: no level lost fewer than a lower one. `gains` are
    (share of the rows, share of those who left), highest probability first. `held_out` counts the rows of customers
    whom no playbook ever treats, `customers_left` customers where `left` counts rows.
    """

    rows: int
    customers: int
    left: int
    customers_left: int
    held_out: int
    base_rate: float
    majority_rate: float
    accuracy: float
    auc: float | None
    log_loss: float
    base_log_loss: float | None
    skill: float | None
    brier: float
    ece: float
    capacity: float
    recall: float | None
    lift: float | None
    ratio: Ratio
    monotone: bool
    levels: tuple[Group, ...]
    deciles: tuple[Group, ...]
    gains: tuple[tuple[float, float], ...]


class Matured(Frozen):
    """Predictions of `days` (midnights, UTC) whose horizon is over; `untreated` is what counts, `everybody` beside it.

    `versions` and `sources` count who predicted. `dated` are those who left and had been told a date with an interval,
    `inside` of them left inside it: 80 % should.
    """

    days: tuple[date, ...]
    untreated: Quality | None
    everybody: Quality | None
    sources: Mapping[str, int]
    versions: Mapping[str, int]
    dated: int = 0
    inside: int = 0


class Week(Frozen):
    """The predictions of one day of a week against who left in the 28 days after it."""

    day: date
    untreated: Ratio
    everybody: Ratio


class Early(Frozen):
    """Observed over expected on 28-day labels: by week, and by kind over the newest `days` (of untreated customers).

    Of kinds no z is told: their weeks are of the same customers.
    """

    weeks: tuple[Week, ...] = ()
    days: tuple[date, ...] = ()
    overall: Ratio | None = None
    levels: Mapping[str, Ratio] = {}
    segments: Mapping[str, Ratio] = {}
    sources: Mapping[str, Ratio] = {}


class HealthQuality(Frozen):
    """The health model on the same days: bands and scores against who left, as `scoring.separation` has it.

    `models` are the digests of those that said so on these days.
    """

    models: tuple[str, ...]
    untreated: Mapping[str, Any] | None
    everybody: Mapping[str, Any] | None


class Coverage(Frozen):
    """Customers who should have a prediction of today (not cancelled, here for a week), and who has one, by source."""

    active: int
    predicted: Mapping[str, int]

    @property
    def share(self) -> float | None:
        """Of all, those with one; None where there is nobody."""
        return min(1.0, sum(self.predicted.values()) / self.active) if self.active else None


class Champion(Frozen):
    """What serves, of one kind (model or health)."""

    kind: str
    version: str
    trained_at: datetime
    age_days: float


class Freshness(Frozen):
    """How old what is served is; None where there is none yet. `newest_label`: the newest day whose horizon is over and
    whose outcome is known. `watched_since`: the day of the first report.
    """

    champions: tuple[Champion, ...] = ()
    last_run: date | None = None
    last_run_age_hours: float | None = None
    newest_label: date | None = None
    newest_label_age_days: int | None = None
    watched_since: date | None = None


class Stability(Frozen):
    """The population stability index of scores between two days: a hint at the data's quality, never an alarm."""

    index: float
    before: date
    day: date


class Alarm(Frozen):
    """What somebody must look at."""

    kind: Literal["model_drift", "model_stale", "scoring_stale", "model_critical"]
    message: str


class ModelReport(Frozen):
    """Everything of a day, as it is stored and told. `why` says in words how `status` comes about.

    `customers` were looked at of the `customers_of` that there are.
    """

    day: date
    at: datetime
    horizon_days: int
    customers: int
    customers_of: int
    status: Status
    why: tuple[str, ...]
    drift: Drift
    early: Early
    matured: Matured | None
    health: HealthQuality | None
    coverage: Coverage
    freshness: Freshness
    stability: Stability | None
    alarms: tuple[Alarm, ...] = ()
