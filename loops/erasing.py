"""Carrying erasures on, from whatever was left of them: one process after the other may die over one.

Runs are closed, what is on its way is waited for, then the executions go and, once they are gone, what is stored. Our
random id of a customer and a hash of the caller's stay behind, so that whoever comes back with a backup goes again.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.claims import PROVIDER_SECONDS, SETTLE_SECONDS
from activities.running import close_run
from activities.steps import StepOpening
from schemas.access import Principal
from schemas.run import RunEnd
from store import erasing, erasing_tombstones, runs
from store.customers import lock_customers
from store.database import DATABASE_AWAY, Connection, Database
from store.erasing import RUN_REASON, Erasure
from store.erasing_tables import LONG, purge_names, purge_piece, purge_rest, sweep
from store.evaluations import mark_upkeep
from store.runs import Run

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
# How often a process asks whether somebody has looked again lately.
ASK_SECONDS = 60.0
# Most of the time is spent waiting for Temporal.
BATCH = 200
LANES = 4
# Whose sender hasn't been heard of for so long was lost: nothing is on its way any more.
CLAIM_EXPIRES = timedelta(seconds=PROVIDER_SECONDS + SETTLE_SECONDS)
# How often it is looked for whoever came back, and for what was written by somebody who had read it before.
LOOK_EVERY = timedelta(minutes=10)
# What was written late was written soon; a backup of single tables may bring back anything.
LATE = timedelta(days=1)
SWEPT_AT_ONCE = 500
AWAY = (*DATABASE_AWAY, OSError, RPCError)
# Who asks for it where somebody has asked before.
OURSELVES = Principal(kind="system", id="system:holdfast", name="holdfast", role="admin")


class Erasing:
    """One process's share of the erasures; any number may run."""

    def __init__(self, opening: StepOpening, client: Client) -> None:
        self._opening = opening
        self._database: Database = opening.database
        self._client = client

    async def run(self) -> None:
        """Carry on what there is, for ever."""
        next_look = asyncio.get_running_loop().time()
        while True:
            try:
                await self.run_once()
                if asyncio.get_running_loop().time() >= next_look:
                    await self.look_again()
                    next_look = asyncio.get_running_loop().time() + ASK_SECONDS
            except AWAY as error:
                log.warning("erasing: %s; trying again", type(error).__name__)
            except Exception:
                log.exception("erasing met something that it didn't expect; trying again")
            await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> int:
        """Take every erasure that isn't done as far as it goes now; how many are left."""
        async with self._database.transaction() as connection:
            unfinished = await erasing.load_unfinished(connection, BATCH)
        lanes = asyncio.Semaphore(LANES)

        async def carry(erasure_id: str) -> bool:
            async with lanes:
                try:
                    return (await self.carry_on(erasure_id)).state != "done"
                except AWAY as error:
                    log.warning("erasure %s: %s; trying again", erasure_id, type(error).__name__)
                    return True

        return sum(await asyncio.gather(*(carry(erasure.id) for erasure in unfinished)))

    async def carry_on(self, erasure_id: str) -> Erasure:
        """Take one erasure as far as it goes now; what has to be waited for is looked at again the next time."""
        erasure = await self._load(erasure_id)
        if erasure.state == "fenced":
            await self._close_runs(erasure)
            erasure = await self._load(erasure_id)
        if erasure.state == "cancelling" and await self._cancel(erasure):
            erasure = await self._load(erasure_id)
        if erasure.state == "erasing":
            await self._purge(erasure)
            erasure = await self._load(erasure_id)
        return erasure

    async def _load(self, erasure_id: str) -> Erasure:
        async with self._database.transaction() as connection:
            return await erasing.load_erasure(connection, erasure_id)

    async def _close_runs(self, erasure: Erasure) -> None:
        """Every open run ends now, its outcome recorded, whatever became of its workflow; held-out ones, too."""
        async with self._database.transaction() as connection:
            await lock_customers(connection, [erasure.customer_id])
            now = await self._database.clock.read(connection)
            for run in await runs.load_open_runs(connection, [erasure.customer_id]):
                await self._close_run(connection, run, now)
            # Their tasks were called off with the runs, which nobody needs to be told.
            await erasing.drop_notices(connection, erasure.customer_id)
            await erasing.move_on(connection, erasure.id, "fenced", "cancelling")

    async def _close_run(self, connection: Connection, run: Run, now: datetime) -> None:
        """With its outcome; where that can't be worked out, whatever the reason, without: nobody stays for a fault."""
        try:
            async with connection.begin_nested():
                end = RunEnd(outcome="stopped", reason=RUN_REASON, at=now)
                await close_run(connection, self._opening, run, end, now)
        except AWAY:
            raise
        except Exception:
            log.exception("run %s is closed without its outcome", run.id)
            await runs.end_run(connection, run.id, "stopped", RUN_REASON, now)

    async def _cancel(self, erasure: Erasure) -> bool:
        """Delete the executions of every run there ever was; whether all are gone."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            claims = await erasing.count_claims(connection, erasure.customer_id, now - CLAIM_EXPIRES)
            known = await erasing.load_executions(connection, erasure.customer_id)
        if claims:
            # Whoever sends them has the right to; their word is waited for, or that they are lost.
            return False
        found = await self._find(erasure.customer_id, known)
        for workflow_id, run_id in sorted(found):
            await self._delete(workflow_id, run_id)
        left = await self._find(erasure.customer_id, known) if found else found
        before = erasure.detail.get("not_before")
        too_early = before is not None and now < datetime.fromisoformat(before)
        async with self._database.transaction() as connection:
            seen = max(len(found), int(erasure.detail.get("executions", 0)))
            await erasing.note_progress(connection, erasure.id, {"executions": seen, "left": len(left)})
            if left or too_early:
                return False
            return await erasing.move_on(connection, erasure.id, "cancelling", "erasing")

    async def _find(self, customer_id: str, known: list[tuple[str, str | None]]) -> set[tuple[str, str]]:
        """(workflow id, execution) of all that Temporal still has of the customer.

        What our rows name is asked for one by one, as the list lags behind; the list knows earlier executions of a
        chain, and what no row names.
        """
        found: set[tuple[str, str]] = set()
        for workflow_id in dict.fromkeys(workflow_id for workflow_id, _ in known):
            found |= await self._describe(workflow_id, None)
        for workflow_id, execution in known:
            if execution is not None:
                found |= await self._describe(workflow_id, execution)
        async for one in self._client.list_workflows(f"CustomerId = '{customer_id}'"):
            found.add((one.id, one.run_id))
        return found

    async def _describe(self, workflow_id: str, execution: str | None) -> set[tuple[str, str]]:
        try:
            described = await self._client.get_workflow_handle(workflow_id, run_id=execution).describe()
        except RPCError as error:
            # What can't be an execution's id is none.
            if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                raise
            return set()
        return {(workflow_id, described.run_id)}

    async def _delete(self, workflow_id: str, run_id: str) -> None:
        """One that runs is ended with it. Nothing is encoded for it, so that no key is needed."""
        try:
            await self._client.workflow_service.delete_workflow_execution(
                DeleteWorkflowExecutionRequest(
                    namespace=self._client.namespace,
                    workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                )
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _purge(self, erasure: Erasure) -> None:
        """Take away what is stored: the long tables in pieces, each under 5 s, then all the rest at once."""
        async with self._database.transaction() as connection:
            await purge_names(connection, erasure.id)
        for table in LONG:
            more = True
            while more:
                async with self._database.transaction() as connection:
                    more = await purge_piece(connection, erasure.id, erasure.customer_id, table)
        async with self._database.transaction() as connection:
            done = await purge_rest(connection, erasure.id)
        if done:
            log.info("erasure %s is done", erasure.id)

    async def look_again(self) -> int:
        """Every ten minutes: whoever is there again, and what was written late, goes again; how many came back."""
        async with self._database.transaction() as connection:
            now = await self._database.clock.read(connection)
            if not await mark_upkeep(connection, "erasures", now, now - LOOK_EVERY):
                return 0
            daily = await mark_upkeep(connection, "erasures_daily", now, _midnight(now))
        return await self.find_returned(now, everything=daily)

    async def find_returned(self, now: datetime, *, everything: bool) -> int:
        """Fence whoever was erased and is there again, and sweep away what names somebody who is gone.

        everything: look at all erasures there ever were, and at all customers' hashes; else at those of the last day.
        """
        returned = await fence_returned(self._database, now, everything=everything)
        async with self._database.transaction() as connection:
            since = datetime.min.replace(tzinfo=UTC) if everything else now - LATE
            gone = await erasing_tombstones.load_gone(connection, since)
        for first in range(0, len(gone), SWEPT_AT_ONCE):
            async with self._database.transaction() as connection:
                await sweep(connection, gone[first : first + SWEPT_AT_ONCE])
        return returned


async def fence_returned(database: Database, now: datetime, *, everything: bool) -> int:
    """Begin anew with whoever was erased and is there again; how many.

    everything: also with those who came back under another id of ours, for which all customers are looked at.
    """
    async with database.transaction() as connection:
        returned = await erasing_tombstones.find_returned(connection)
        loaded = await erasing_tombstones.find_loaded_anew(connection) if everything else []
    for erasure_id in returned:
        async with database.transaction() as connection:
            await erasing.reopen(connection, erasure_id, now)
    for external_id in loaded:
        async with database.transaction() as connection:
            await erasing.request_erasure(connection, external_id, OURSELVES, reason="erased before", now=now)
    count = len(returned) + len(loaded)
    if count:
        log.warning("%d erased customer(s) were there again and are erased again", count)
    return count


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
