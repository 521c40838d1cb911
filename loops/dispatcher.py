"""Bringing rows to Temporal: starts the runs that were decided, and rings those that something waits for.

Both are leases on rows, so a crash anywhere means that somebody does it again; doing it again is harmless.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Literal

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.versions import Version, Versions
from rules.resumption import waits_behind
from schemas import tracing
from schemas.errors import NotFoundError
from schemas.run import RUN_QUEUE, WORKFLOW_NAME, Resumption, RunInput, key_of
from store import inbox, run_steps, starts
from store.database import Connection, Database
from store.playbooks import is_paused
from store.runs import Run

log = logging.getLogger(__name__)

BATCH = 50
TRY_AGAIN = timedelta(seconds=2)
MEMO_RUN = "run"
_ATTRIBUTES = {
    name: SearchAttributeKey.for_keyword(name)
    for name in ("PlaybookName", "PlaybookVersion", "CustomerId", "Variant")
}


class Dispatcher:
    """Starts and rings over one client."""

    def __init__(
        self,
        database: Database,
        client: Client,
        versions: Versions,
        *,
        clock: Literal["live", "played"] = "live",
    ) -> None:
        self._database = database
        self._client = client
        self._versions = versions
        self._clock: Literal["live", "played"] = clock

    async def run_once(self) -> int:
        """Start and ring what is waiting; returns how many rows were seen to."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            starting = await starts.lease_starts(connection, now, BATCH)
            bells = await inbox.lease_doorbells(connection, now, BATCH)
            inputs = [(run, await self._input(connection, run)) for run in starting]
            traces = (
                await starts.load_traces(connection, [run.id for run in starting])
                if tracing.is_on() and starting
                else {}
            )
        started = await asyncio.gather(
            *(self._start_traced(run, start, now, traces.get(run.id)) for run, start in inputs)
        )
        rung = await asyncio.gather(*(self._ring(workflow_id) for _, _, workflow_id in bells))
        if started or rung:
            async with self._database.transaction() as connection:
                await starts.mark_started(
                    connection, [run.id for run, done in zip(starting, started, strict=True) if done]
                )
                for run, done in zip(starting, started, strict=True):
                    if not done:
                        await starts.start_later(
                            connection, run.id, now + TRY_AGAIN * min(run.start_attempts + 1, 30)
                        )
                await inbox.silence_doorbells(
                    connection,
                    [(run_id, rings) for (run_id, rings, _), done in zip(bells, rung, strict=True) if done],
                )
        return len(starting) + len(bells)

    async def _input(self, connection: Connection, run: Run) -> RunInput | None:
        try:
            version = await self._versions.load(connection, run.playbook, run.version)
        except NotFoundError as error:
            log.error("run %s can't be started: %s", run.id, error)  # noqa: TRY400 - the message says it all
            return None
        resume = await _resumption(connection, run, version)
        return RunInput(
            run_id=run.id,
            playbook=run.playbook,
            version=run.version,
            customer_id=run.customer_id,
            steps=version.playbook.steps,
            variants=dict(run.variants),
            entered_at=run.entered_at,
            goal_by=run.goal_by,
            max_overdue_seconds=version.playbook.max_overdue_seconds,
            clock=self._clock,
            resume=resume,
        )

    async def _start_traced(
        self, run: Run, start: RunInput | None, now: datetime, parent: str | None
    ) -> bool:
        if parent is None:
            return await self._start(run, start, now)
        about = {"holdfast__playbook": run.playbook, "holdfast__run_id": run.id}
        with tracing.span("dispatch", kind="producer", parent=parent, **about):
            return await self._start(run, start, now)

    async def _start(self, run: Run, start: RunInput | None, now: datetime) -> bool:
        """Start the run's workflow; True also if it has been started before."""
        if start is None:
            return False
        variant = ", ".join(f"{name}={arm}" for name, arm in sorted(run.variants.items())) or "none"
        try:
            await self._client.start_workflow(
                WORKFLOW_NAME,
                start,
                id=run.workflow_id,
                task_queue=RUN_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                memo={MEMO_RUN: run.id},
                static_summary=f"{run.playbook}: {run.trigger.get('reason', '')}"[:200],
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(_ATTRIBUTES["PlaybookName"], run.playbook),
                        SearchAttributePair(_ATTRIBUTES["PlaybookVersion"], run.version),
                        SearchAttributePair(_ATTRIBUTES["CustomerId"], run.customer_id),
                        SearchAttributePair(_ATTRIBUTES["Variant"], variant),
                    ]
                ),
                request_eager_start=self._clock == "live",
            )
        except WorkflowAlreadyStartedError:
            return await self._is_ours(run)
        except RPCError as error:
            log.warning("run %s could not be started yet: %s", run.id, error.message)
            return False
        return True

    async def _is_ours(self, run: Run) -> bool:
        """Whether the workflow that has this id is this run's, and not an earlier one's that is still closing."""
        try:
            described = await self._client.get_workflow_handle(run.workflow_id).describe()
            return bool((await described.memo()).get(MEMO_RUN) == run.id)
        except RPCError:
            return False

    async def _ring(self, workflow_id: str) -> bool:
        try:
            await self._client.get_workflow_handle(workflow_id).signal("event_occurred")
        except RPCError as error:
            # A workflow that is gone has read all that it will ever read; the repair below sees to its row.
            return error.status == RPCStatusCode.NOT_FOUND
        return True

    async def repair(self) -> int:
        """Start open runs anew whose execution is gone without having closed its books; returns how many."""
        repaired, after = 0, "00000000-0000-0000-0000-000000000000"
        while True:
            async with self._database.transaction() as connection:
                page = await starts.load_running(connection, after, 200)
            if not page:
                return repaired
            gone = await asyncio.gather(*(self._is_gone(run) for run in page))
            async with self._database.transaction() as connection:
                now = await self._database.clock.read(connection)
                for run, lost in zip(page, gone, strict=True):
                    if lost and await starts.restart(connection, run.id, run.execution_id, now):
                        log.warning("run %s had lost its execution and is started again", run.id)
                        repaired += 1
            after = page[-1].id

    async def _is_gone(self, run: Run) -> bool:
        handle = self._client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.execution_id)
        try:
            described = await handle.describe()
            ours = (await described.memo()).get(MEMO_RUN) == run.id
        except RPCError as error:
            return error.status == RPCStatusCode.NOT_FOUND
        return not ours or described.status not in (
            WorkflowExecutionStatus.RUNNING,
            WorkflowExecutionStatus.CONTINUED_AS_NEW,
        )


async def _resumption(connection: Connection, run: Run, version: Version) -> Resumption | None:
    """Where a run that was started before goes on: the steps whose outcome is on record aren't taken again."""
    steps = await run_steps.load_steps(connection, run.id)
    if not steps and run.start_attempts <= 1:
        return None
    recorded = {(row["step"], row["occurrence"]): row["at"] for row in steps}
    done = waits_behind(version.playbook.steps, recorded)
    for row in steps:
        if row["outcome"] not in run_steps.UNFINISHED:
            done[key_of(row["step"], row["occurrence"])] = row["outcome"]
    playbook_paused = run.paused and await is_paused(connection, run.playbook)
    return Resumption(
        done=done,
        since={key_of(step, occurrence): at for (step, occurrence), at in recorded.items()},
        paused=run.paused and not playbook_paused,
        playbook_paused=playbook_paused,
        moment=max(recorded.values(), default=run.entered_at),
    )
