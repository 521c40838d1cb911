"""What keeps a run's workflow from going on, as Temporal has it: code that fails, steps that fail, nobody who works."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingWorkflowTaskInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from schemas.errors import HoldfastError
from schemas.run import RUN_QUEUE
from store.reading_rows import RunRow
from web.executions import Executions
from web.temporal_state import TemporalState

ANSWER_SECONDS = 1.0
# A worker that is there takes what waits within a second.
UNTAKEN_AFTER = timedelta(seconds=10)
LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True)
class Hindrance:
    """One of them: `what` in a sentence, `since` when or None, `next_at` when it is tried again or None."""

    what: str
    since: datetime | None = None
    next_at: datetime | None = None


async def find_hindrances(
    executions: Executions, state: TemporalState | None, run: RunRow, now: datetime
) -> Sequence[Hindrance]:
    """Of a run under way; needs no worker. Where Temporal doesn't answer, that is the only one.

    `state`: how Temporal was a moment ago; None where nobody asked.
    """
    if state is None or run.state != "running" or run.execution_id is None:
        return ()
    if not state.ok:
        told = f"{state.detail.rstrip('.')}. Nothing of the run is lost; it goes on once Temporal is back."
        return [Hindrance(told)]
    found = []
    if not state.pollers.get(RUN_QUEUE):
        found.append(Hindrance("No worker asks for the work of runs: nothing goes on until one is started."))
    elif state.silent_for(RUN_QUEUE, now):
        told = "No worker has asked for the work of runs for a while: none runs any more, or all are full."
        found.append(Hindrance(told, state.heard_at[RUN_QUEUE]))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found += await _look(await executions.connect(), run, now)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            found.append(
                Hindrance(
                    "Temporal has no workflow of it any more: the worker starts it again where it stood."
                )
            )
    except (HoldfastError, TimeoutError):
        found.append(Hindrance("Temporal didn't say in time how the run's workflow is. Load the page again."))
    return found


async def _look(client: Client, run: RunRow, now: datetime) -> list[Hindrance]:
    handle = client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.execution_id)
    described = await handle.describe()
    if described.status is not WorkflowExecutionStatus.RUNNING:
        return [
            Hindrance(
                "Its workflow is over, and hasn't closed its books here: the worker starts it again where it stood.",
                described.close_time,
            )
        ]
    raw = described.raw_description
    found = list(_tell_code(raw.pending_workflow_task, now)) if raw.HasField("pending_workflow_task") else []
    for pending in raw.pending_activities:
        words = await _read_failure(client, pending) if pending.HasField("last_failure") else None
        found += _tell_activity(pending, words, now)
    return found


def _tell_code(task: PendingWorkflowTaskInfo, now: datetime) -> Iterator[Hindrance]:
    since = _at(task.original_scheduled_time) or _at(task.scheduled_time)
    if task.attempt > 1:
        yield Hindrance(
            f"Its workflow's own code failed or took too long, {_times(task.attempt - 1)} so far. It is tried again by "
            "itself, and goes on where it stood once that is mended; a worker's log and the Temporal UI say more.",
            since,
        )  # fmt: skip
    elif since is not None and not task.HasField("started_time") and now - since > UNTAKEN_AFTER:
        yield Hindrance("No worker has taken up what it is to do next.", since)


def _tell_activity(pending: PendingActivityInfo, words: str | None, now: datetime) -> Iterator[Hindrance]:
    # Of one that is tried again, this is when the next try is due.
    name, since = pending.activity_type.name, _at(pending.scheduled_time)
    if words is not None:
        yield Hindrance(
            f"{name} failed {_times(max(1, pending.attempt - 1))} and is tried again by itself. Last: {words}",
            None, _at(pending.next_attempt_schedule_time),
        )  # fmt: skip
    elif (
        pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        and since is not None
        and now - since > UNTAKEN_AFTER
    ):
        yield Hindrance(f"No worker has taken up {name}.", since)


async def _read_failure(client: Client, pending: PendingActivityInfo) -> str:
    """What the last try failed with, opened with this process's key."""
    try:
        told = str(await client.data_converter.decode_failure(pending.last_failure))
    except HoldfastError:
        told = "sealed with a key that this process hasn't"
    return told if len(told) <= LONGEST_TOLD else f"{told[: LONGEST_TOLD - 1]}…"


def _times(count: int) -> str:
    return f"{count:,} time{'' if count == 1 else 's'}"


def _at(written: Timestamp) -> datetime | None:
    """None where nothing is written."""
    return written.ToDatetime(UTC) if written.seconds > 0 else None
