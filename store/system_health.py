"""How the system itself is: what waits in its queues and since when, whom it sends by, what it scored, what went wrong.

One reading, all of it as of one moment of the database's clock. Counts go no further than `MOST_COUNTED`: whether a queue
holds a hundred thousand or a million says the same, and counting a million takes long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.population import PopulationRow, list_runs
from store.providers import ProviderState, load_providers
from store.standing_alerts import load_parked_channels

MOST_COUNTED = 100_000
DAY = timedelta(hours=24)
# What delays are told of, and of at most so many messages.
LATENCY_WITHIN = timedelta(hours=1)
LATENCY_MESSAGES = 20_000

# Name -> what of it waits now, and since when each does. Every one has an index in that order.
_QUEUES: Mapping[str, tuple[str, str]] = {
    "evaluate": ("since", "evaluations"),
    "due": ("at", "due WHERE at <= :now"),
    "dispatch": ("next_start_at", "runs WHERE state = 'starting' AND next_start_at <= :now"),
    "inbox": ("next_at", "doorbells WHERE next_at <= :now"),
    "hooks": ("next_at", "hook_requests WHERE done_at IS NULL AND next_at <= :now"),
    "sends_claimed": ("claimed_at", "deliveries WHERE state = 'claimed'"),
    "sends_unknown": ("claimed_at", "deliveries WHERE state = 'unknown'"),
    "sends_retrying": ("created_at", "deliveries WHERE state = 'retrying'"),
    "notices": ("next_at", "notices WHERE state = 'waiting' AND next_at <= :now"),
    "repairs": ("requested_at", "repairs"),
    "erasures": ("requested_at", "erasures WHERE state <> 'done'"),
}
QUEUES: Sequence[str] = tuple(_QUEUES)

READ_QUEUES = text(
    " UNION ALL ".join(
        f"SELECT '{name}' AS name, (SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {MOST_COUNTED}) x) AS waiting, "
        f"(SELECT min({since}) FROM {source}) AS oldest"
        for name, (since, source) in _QUEUES.items()
    )
)

# How those who were treated and whose runs ended within a day fared; and the delays of what was sent.
READ_FIGURES = text(
    """
    SELECT
        (SELECT count(*) FILTER (WHERE x.success_achieved) FROM runs r
            JOIN intervention_executions x ON x.run_id = r.id
            WHERE r.ended_at > :day AND r.arm = 'treated' AND x.success_measured) AS succeeded,
        (SELECT count(*) FROM runs r JOIN intervention_executions x ON x.run_id = r.id
            WHERE r.ended_at > :day AND r.arm = 'treated' AND x.success_measured) AS measured,
        (SELECT max(trained_at) FROM churn_models) AS trained_at,
        (SELECT sum(times) FROM (SELECT times FROM dead_letters WHERE received_at > :day LIMIT :most) x) AS dead_letters,
        (SELECT count(*) FROM (SELECT 1 FROM hook_requests WHERE done_at > :day AND error IS NOT NULL LIMIT :most) x)
            AS hooks_given_up
    """
)
READ_LATENCY = text(
    """
    SELECT count(*) AS messages,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM settled_at - claimed_at)) AS seconds
    FROM (SELECT settled_at, claimed_at FROM deliveries WHERE settled_at > :since AND settled_at <= :now
        AND state = 'accepted' AND reconciled_at IS NULL AND claimed_at IS NOT NULL
        ORDER BY settled_at DESC LIMIT :most) d
    """
)
_DEAD = text(
    """
    SELECT code, sum(times) AS times, max(received_at) AS last_at,
        (array_agg(reason ORDER BY received_at DESC))[1] AS reason
    FROM (SELECT code, times, received_at, reason FROM dead_letters WHERE received_at > :day
        ORDER BY received_at DESC LIMIT :most) d
    GROUP BY code ORDER BY times DESC, code LIMIT 5
    """
)
_REPORT = text("SELECT day, at, report FROM model_reports ORDER BY day DESC LIMIT 1")
READ_CHAMPIONS = text(
    "SELECT kind, version, trained_at, promoted_at FROM churn_models WHERE state = 'champion' ORDER BY kind DESC"
)
READ_ALERTS = text("SELECT severity, count(*) AS n FROM alerts WHERE resolved_at IS NULL GROUP BY severity")


@dataclass(frozen=True, slots=True)
class QueueAge:
    """One queue: how many wait now (at most MOST_COUNTED are counted), the oldest since when, and for how long."""

    name: str
    waiting: int
    oldest_at: datetime | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """From the claim of a message to its provider's taking it, of those sent within the last hour; None of none."""

    messages: int
    p50_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """Of the treated runs that ended within 24 hours and whose success was measured, how many succeeded."""

    measured: int
    succeeded: int

    @property
    def share(self) -> float | None:
        """None where none was measured."""
        return self.succeeded / self.measured if self.measured else None


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The newest report on the churn model. `why` says how `status` comes about; accuracy is never told without
    `majority_rate`, what always saying the more frequent outcome gets right. None where too little is known.
    """

    day: date
    at: datetime
    status: str
    why: Sequence[str]
    drift: str
    accuracy: float | None
    majority_rate: float | None
    auc: float | None
    judged: int | None


@dataclass(frozen=True, slots=True)
class ServingModel:
    """What predicts now, of one kind: model, or health (the health score alone)."""

    kind: str
    version: str
    trained_at: datetime
    promoted_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """What couldn't be taken within 24 hours for one reason; `reason` is the latest one's."""

    code: str
    times: int
    last_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SystemReading:
    """All of it, as of `at`. `parked_channels`: those by which only what is critical leaves, and since when;
    `open_alerts` by severity; `dead_letters` and `hooks_given_up` within 24 hours.
    """

    at: datetime
    queues: Sequence[QueueAge]
    providers: Sequence[ProviderState]
    parked_channels: Mapping[str, datetime]
    population: PopulationRow | None
    population_customers: int
    trained_at: datetime | None
    serving: Sequence[ServingModel]
    model: ModelFigures | None
    success: SuccessRate
    latency: Latency
    open_alerts: Mapping[str, int]
    dead_letters: int
    dead_letter_codes: Sequence[DeadLetterCount]
    hooks_given_up: int


async def read_queues(connection: AsyncConnection, now: datetime) -> list[QueueAge]:
    """Every queue as it stands, in one statement; a moment yet to come is no age."""
    rows = await connection.execute(READ_QUEUES, {"now": now})
    return [
        QueueAge(row.name, row.waiting, row.oldest, max(0.0, (now - row.oldest).total_seconds()) if row.oldest else 0.0)
        for row in rows
    ]  # fmt: skip


async def read_latency(connection: AsyncConnection, now: datetime) -> Latency:
    """How long providers took, over the last hour."""
    given = {"now": now, "since": now - LATENCY_WITHIN, "most": LATENCY_MESSAGES}
    row = (await connection.execute(READ_LATENCY, given)).one()
    p50, p95 = row.seconds or (None, None)
    return Latency(row.messages, p50, p95)


async def read_model(connection: AsyncConnection) -> ModelFigures | None:
    """The newest report on the churn model; None before the first."""
    row = (await connection.execute(_REPORT)).first()
    if row is None:
        return None
    report: Mapping[str, Any] = row.report
    quality = (report.get("matured") or {}).get("untreated") or {}
    return ModelFigures(
        day=row.day,
        at=row.at,
        status=report.get("status", "unknown"),
        why=tuple(report.get("why", ())),
        drift=report.get("drift", "unknown"),
        accuracy=quality.get("accuracy"),
        majority_rate=quality.get("majority_rate"),
        auc=quality.get("auc"),
        judged=quality.get("rows"),
    )


async def read_system(connection: AsyncConnection, now: datetime) -> SystemReading:
    """Everything, read in one transaction; `now` is the database's clock."""
    given = {"day": now - DAY, "most": MOST_COUNTED}
    figures = (await connection.execute(READ_FIGURES, given)).one()
    population = await list_runs(connection, limit=1)
    customers = 0
    if population:
        found = await connection.execute(
            text("SELECT customers FROM population_runs WHERE day = :day"), {"day": population[0].day}
        )
        customers = int(found.scalar() or 0)
    return SystemReading(
        at=now,
        queues=await read_queues(connection, now),
        providers=await load_providers(connection),
        parked_channels=await load_parked_channels(connection),
        population=population[0] if population else None,
        population_customers=customers,
        trained_at=figures.trained_at,
        serving=[ServingModel(*row) for row in await connection.execute(READ_CHAMPIONS)],
        model=await read_model(connection),
        success=SuccessRate(figures.measured, figures.succeeded),
        latency=await read_latency(connection, now),
        open_alerts={row.severity: row.n for row in await connection.execute(READ_ALERTS)},
        dead_letters=int(figures.dead_letters or 0),
        dead_letter_codes=[
            DeadLetterCount(row.code, int(row.times), row.last_at, row.reason)
            for row in await connection.execute(_DEAD, given)
        ],
        hooks_given_up=figures.hooks_given_up,
    )
