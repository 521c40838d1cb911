"""How the system itself is, put together for people and for programs: one reading of the database, one of Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from rules.system_status import (
    ORDER,
    Verdict,
    judge_integrations,
    judge_latency,
    judge_queue,
    judge_success,
    judge_whole,
)
from schemas.population_run import BATCH_QUEUE
from store.reading_health import newest_revision, read_revision
from store.system_health import SystemReading, read_system
from web.edge import Edge
from web.system_answers import (
    DeadLetterState,
    LatencyState,
    ModelState,
    ParkedChannel,
    Part,
    PopulationState,
    ProviderRow,
    QueueState,
    RoutineState,
    Serving,
    SuccessState,
    SystemHealth,
    WorkersState,
)
from web.temporal_state import QUEUES, TemporalState, TemporalWatch

POPULATION, TRAINING = "holdfast-population", "holdfast-training"
# Everybody is scored daily; so long after the last run's beginning there should have been another.
SCORING_LATE_HOURS = 36.0


async def read_system_health(edge: Edge, watch: TemporalWatch) -> SystemHealth:
    """Everything as of now; Temporal's part may be a few seconds old."""

    async def read() -> SystemReading:
        async with edge.database.transaction() as connection:
            return await read_system(connection, await edge.database.clock.read(connection))

    reading, temporal, revision = await asyncio.gather(read(), watch.look(), read_revision(edge.database))
    return describe_system(reading, temporal, revision or "nothing", newest_revision())


def describe_system(
    reading: SystemReading, temporal: TemporalState, revision: str, wanted: str
) -> SystemHealth:
    """What was read, judged; `revision` is that of the database's tables, `wanted` this version's."""
    next_at = {one.name: one.next_at for one in temporal.routines}
    queues = [_queue(one.name, one.waiting, one.oldest_at, one.age_seconds) for one in reading.queues]
    population = _population(reading, next_at.get(POPULATION))
    verdicts = _judge_parts(reading, temporal, queues, population, revision, wanted)
    whole = judge_whole(verdicts)
    model = reading.model
    return SystemHealth(
        at=reading.at,
        status=whole.status,
        why=whole.why,
        parts=[Part(name=name, status=one.status, why=one.why) for name, one in verdicts.items()],
        queues=queues,
        workers=[
            WorkersState(queue=name, pollers=temporal.pollers.get(name), heard_at=temporal.heard_at.get(name))
            for name in QUEUES
        ],
        providers=[
            ProviderRow.model_validate(
                {name: value for name, value in asdict(one).items() if name != "settings"}
            )
            for one in reading.providers
        ],
        parked_channels=[
            ParkedChannel(channel=name, since=since)
            for name, since in sorted(reading.parked_channels.items())
        ],
        population=population,
        model=ModelState(
            day=model.day if model else None,
            at=model.at if model else None,
            drift=model.drift if model else "unknown",
            accuracy=model.accuracy if model else None,
            majority_rate=model.majority_rate if model else None,
            auc=model.auc if model else None,
            judged=model.judged if model else None,
            why=model.why if model else (),
            serving=[Serving.model_validate(asdict(one)) for one in reading.serving],
            trained_at=reading.trained_at,
            next_training_at=next_at.get(TRAINING),
        ),
        intervention_success=SuccessState(**asdict(reading.success), share=reading.success.share),
        latency=LatencyState(**asdict(reading.latency)),
        routines=[RoutineState(**asdict(one)) for one in temporal.routines],
        dead_letters=reading.dead_letters,
        dead_letter_codes=[DeadLetterState(**asdict(one)) for one in reading.dead_letter_codes],
        open_alerts=reading.open_alerts,
    )


def _queue(name: str, waiting: int, oldest_at: datetime | None, age_seconds: float) -> QueueState:
    verdict = judge_queue(name, waiting, age_seconds)
    return QueueState(
        name=name, waiting=waiting, oldest_at=oldest_at, age_seconds=age_seconds, status=verdict.status,
        why=verdict.why,
    )  # fmt: skip


def _population(reading: SystemReading, next_at: datetime | None) -> PopulationState:
    run, customers = reading.population, reading.population_customers
    done = run.scored + run.failed if run else 0
    return PopulationState(
        day=run.day if run else None,
        started_at=run.started_at if run else None,
        finished_at=run.finished_at if run else None,
        customers=customers,
        scored=run.scored if run else 0,
        failed=run.failed if run else 0,
        progress=None if run is None else 1.0 if run.finished_at else min(1.0, done / customers) if customers else 0.0,
        next_at=next_at,
    )  # fmt: skip


def _judge_parts(
    reading: SystemReading,
    temporal: TemporalState,
    queues: Sequence[QueueState],
    population: PopulationState,
    revision: str,
    wanted: str,
) -> dict[str, Verdict]:
    return {
        "database": _database(revision, wanted),
        "temporal": Verdict("healthy" if temporal.ok else "critical", f"{temporal.detail.rstrip('.')}."),
        "workers": judge_workers(temporal, reading.at),
        "queues": _queues(queues),
        "model accuracy": _model(reading),
        "intervention success, 24 h": judge_success(reading.success.succeeded, reading.success.measured),
        "integrations": _integrations(reading),
        "latency": judge_latency(reading.latency.p95_seconds, reading.latency.messages),
        "scoring": _scoring(reading, population),
    }


def _database(revision: str, wanted: str) -> Verdict:
    if revision == wanted:
        return Verdict("healthy", f"Answers; its tables are at {revision}.")
    return Verdict(
        "critical", f"Its tables are at {revision}, this version wants {wanted}: run `holdfast migrate`."
    )


def judge_workers(temporal: TemporalState, now: datetime) -> Verdict:
    """Whether somebody asks for work on every queue."""
    if not temporal.ok:
        return Verdict("unknown", "Temporal would know.")
    idle = [name for name in QUEUES if not temporal.pollers.get(name)]
    # The batch worker does one thing at a time, for minutes, and asks for nothing meanwhile.
    silent = {name: gap for name in QUEUES if name != BATCH_QUEUE and (gap := temporal.silent_for(name, now))}
    if not idle and silent:
        minutes = max(silent.values()).total_seconds() / 60
        return Verdict(
            "warning",
            f"Nobody has asked for work on {', '.join(silent)} for {minutes:.0f} min: no worker runs, or all are full.",
        )
    if not idle:
        return Verdict("healthy", f"Somebody works on {', '.join(QUEUES)}.")
    told = f"Nobody works on {', '.join(idle)}"
    if idle == [BATCH_QUEUE]:
        return Verdict("warning", f"{told}: nobody is scored at night. Start `holdfast worker --batch`.")
    return Verdict("critical", f"{told}. Start `holdfast worker`.")


def _queues(queues: Sequence[QueueState]) -> Verdict:
    gravest = max(
        queues, key=lambda one: (["healthy", "warning", "critical"].index(one.status), one.age_seconds)
    )
    if gravest.status == "healthy":
        return Verdict("healthy", "Nothing waits longer than it should.")
    return Verdict(
        gravest.status, f"{gravest.name.replace('_', ' ')}: {gravest.waiting:,} wait. {gravest.why}"
    )


def _model(reading: SystemReading) -> Verdict:
    if reading.model is None:
        return Verdict("unknown", "The model wasn't judged yet.")
    status = reading.model.status
    return Verdict(
        status if status in ORDER else "unknown",
        " ".join(reading.model.why) or "Nothing was said of it.",
    )


def _integrations(reading: SystemReading) -> Verdict:
    states = [one.state for one in reading.providers]
    return judge_integrations(
        states.count("parked") + len(reading.parked_channels), states.count("resting"), len(states),
        reading.hooks_given_up,
    )  # fmt: skip


def _scoring(reading: SystemReading, population: PopulationState) -> Verdict:
    if population.started_at is None:
        if not population.customers:
            return Verdict("unknown", "There is nobody to be scored yet.")
        return Verdict(
            "starting", "Nobody was scored yet: the first run begins within minutes of the worker's start."
        )
    hours = (reading.at - population.started_at).total_seconds() / 3600
    told = f"The run of {population.day} scored {population.scored:,}"
    told += f", {population.failed:,} couldn't be." if population.failed else "."
    if hours > SCORING_LATE_HOURS:
        return Verdict("critical", f"{told} It began {hours:.0f} h ago; there should have been another.")
    return Verdict("warning" if population.failed else "healthy", told)
