"""How the system itself is, as it is told: by `/api/system-health` and on the page of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from rules.system_status import Status
from store.reading_rows import Row


class Part(Row):
    """One part and how it is; `why` in a sentence."""

    name: str
    status: Status
    why: str


class QueueState(Row):
    """One queue: how many wait (100000: at least so many), the oldest since when."""

    name: str
    waiting: int
    oldest_at: datetime | None
    age_seconds: float
    status: Status
    why: str


class WorkersState(Row):
    """How many ask a task queue of Temporal for work; null where it couldn't be asked. Temporal remembers one that is
    stopped for five minutes: `heardAt` is when the last of them asked.
    """

    queue: str
    pollers: int | None
    heard_at: datetime | None


class ProviderRow(Row):
    """One provider of one channel. `state`: ok, parked (it refuses us; `code` and `reason` are its words), resting (it
    failed too often in a row, or asked to be left alone). `until`: when it is tried again.
    """

    channel: str
    provider: str
    state: str
    code: str
    reason: str
    failures: int
    since: datetime
    until: datetime | None


class ParkedChannel(Row):
    """A channel of which so many complained that only what is critical leaves by it."""

    channel: str
    since: datetime


class PopulationState(Row):
    """The newest run over everybody; `progress` 0–1, null where there is none yet. `nextAt`: null where Temporal says
    none.
    """

    day: date | None
    started_at: datetime | None
    finished_at: datetime | None
    customers: int
    scored: int
    failed: int
    progress: float | None
    next_at: datetime | None


class Serving(Row):
    """What predicts churn now, of one kind: model, or health (the health score alone)."""

    kind: str
    version: str
    trained_at: datetime
    promoted_at: datetime | None


class ModelState(Row):
    """The newest report on the churn model: accuracy never without the majority rate and AUC beside it."""

    day: date | None
    at: datetime | None
    drift: str
    accuracy: float | None
    majority_rate: float | None
    auc: float | None
    judged: int | None
    why: Sequence[str]
    serving: Sequence[Serving]
    trained_at: datetime | None
    next_training_at: datetime | None


class SuccessState(Row):
    """Treated runs that ended within 24 hours, of which success was measured."""

    measured: int
    succeeded: int
    share: float | None


class LatencyState(Row):
    """From claiming a message to its provider's taking it, over the last hour."""

    messages: int
    p50_seconds: float | None
    p95_seconds: float | None


class RoutineState(Row):
    """What Temporal starts by itself."""

    name: str
    note: str
    paused: bool
    last_at: datetime | None
    next_at: datetime | None


class DeadLetterState(Row):
    """What couldn't be taken within 24 hours, for one reason."""

    code: str
    times: int
    last_at: datetime
    reason: str


class SystemHealth(Row):
    """How the system is as of `at`. `status` is the gravest of its parts, with `why`; those that can't be judged yet
    (unknown: too little has happened) don't count. starting: what comes after every start isn't done yet.
    """

    success: bool = True
    at: datetime
    status: Status
    why: str
    parts: Sequence[Part]
    queues: Sequence[QueueState]
    workers: Sequence[WorkersState]
    providers: Sequence[ProviderRow]
    parked_channels: Sequence[ParkedChannel]
    population: PopulationState
    model: ModelState
    intervention_success: SuccessState
    latency: LatencyState
    routines: Sequence[RoutineState]
    dead_letters: int
    dead_letter_codes: Sequence[DeadLetterState]
    open_alerts: Mapping[str, int]
