"""The Temporal workers of one process, however its loops are run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.carrying import StepCarrying
from activities.delivery import SETTLE_SECONDS, MessageDelivery
from activities.entries import EntryAsking
from activities.marks import Marks
from activities.migrating import Migrating
from activities.rewards import Rewards
from activities.running import RunBooks
from activities.steps import StepOpening
from activities.tasks import HumanTasks
from activities.waiting import Waiting
from channels.outcome import Channel
from schemas.run import RUN_QUEUE, SEND_QUEUE
from workflows.playbook_run import PlaybookRun

# A send that has begun is let finish when the worker is told to stop.
GRACEFUL = timedelta(seconds=3)


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
        graceful_shutdown_timeout=GRACEFUL,
    )
    sends = Worker(
        client,
        task_queue=SEND_QUEUE,
        activities=[delivery.send, StepCarrying(opening, settle_seconds=settle_seconds).carry_out],
        max_concurrent_activities=20,
        graceful_shutdown_timeout=GRACEFUL,
    )
    return [runs, sends]
