"""The Temporal workers of one process, however its loops are run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.carrying import StepCarrying
from activities.claims import SETTLE_SECONDS
from activities.delivery import MessageDelivery
from activities.entries import EntryAsking
from activities.marks import Marks
from activities.migrating import Migrating
from activities.result_limit import ResultLimit
from activities.rewards import Rewards
from activities.running import RunBooks
from activities.steps import StepOpening
from activities.tasks import HumanTasks
from activities.waiting import Waiting
from channels.outcome import Channel
from loops.run_context import RunContext
from schemas.population_run import BATCH_QUEUE
from schemas.run import RUN_QUEUE, SEND_QUEUE
from workflows.playbook_run import PlaybookRun

# A send that has begun is let finish when the worker is told to stop.
GRACEFUL = timedelta(seconds=3)
# While one shard waits for the database, another is worked out.
BATCH_AT_ONCE = 2


def make_workers(
    client: Client,
    opening: StepOpening,
    channels: Mapping[str, Channel],
    *,
    settle_seconds: float = SETTLE_SECONDS,
    sandboxed: bool = True,
) -> list[Worker]:
    """The Temporal workers of one process: runs and their books on one queue, providers on another.

    The sandbox watches over the workflow's determinism and costs some 25 ms a run; a player does without it.
    """
    delivery = MessageDelivery(opening, channels, settle_seconds=settle_seconds)
    tasks, waiting, books = HumanTasks(opening), Waiting(opening), RunBooks(opening)
    runs = Worker(
        client,
        task_queue=RUN_QUEUE,
        workflows=[PlaybookRun],
        workflow_runner=SandboxedWorkflowRunner() if sandboxed else UnsandboxedWorkflowRunner(),
        activities=[
            delivery.show,
            tasks.assign,
            tasks.escalate,
            tasks.close,
            Rewards(opening).grant,
            Marks(opening).set,
            EntryAsking(opening).ask,
            waiting.check,
            waiting.skip,
            waiting.resolve,
            waiting.listen,
            waiting.close,
            books.read,
            books.finish,
            Migrating(opening).migrate,
        ],
        max_concurrent_activities=20,
        max_cached_workflows=2000,
        interceptors=[RunContext(), ResultLimit()],
        graceful_shutdown_timeout=GRACEFUL,
    )
    sends = Worker(
        client,
        task_queue=SEND_QUEUE,
        activities=[delivery.send, StepCarrying(opening, settle_seconds=settle_seconds).carry_out],
        max_concurrent_activities=20,
        interceptors=[RunContext(), ResultLimit()],
        graceful_shutdown_timeout=GRACEFUL,
    )
    return [runs, sends]


def make_batch_workers(client: Client, opening: StepOpening, *, at_once: int = BATCH_AT_ONCE) -> list[Worker]:
    """The Temporal workers that score the population and train models, `at_once` shards or steps at a time.

    They compute for seconds at a stretch, so they have a queue, and where they can a process, of their own.
    """
    # Only such a process needs these, and all that learning takes with them.
    from activities.population import Population
    from activities.training import ModelTrainingBooks
    from loops.candidates import Candidates
    from workflows.model_training import ModelTraining
    from workflows.population_scoring import PopulationScoring

    population = Population(opening, Candidates(opening))
    training = ModelTrainingBooks(opening.database, opening.catalogue)
    return [
        Worker(
            client,
            task_queue=BATCH_QUEUE,
            workflows=[PopulationScoring, ModelTraining],
            activities=[
                population.plan,
                population.score_shard,
                population.finish,
                training.read,
                training.fit,
                training.judge,
                training.decide,
            ],
            max_concurrent_activities=at_once,
            interceptors=[RunContext(), ResultLimit()],
            graceful_shutdown_timeout=GRACEFUL,
        )
    ]
