"""Scoring everybody: planned once, shard by shard on whatever worker is free, gone on with after whatever crash.

A shard that fails is tried again, and at last given up without stopping the others; the next day's run has it again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from schemas.population_run import (
        POPULATION_WORKFLOW,
        FinishCall,
        PlanCall,
        PopulationCall,
        PopulationPlan,
        PopulationProgress,
        ShardCall,
        ShardResult,
        population_id,
    )

# A worker that is gone is noticed after this.
HEARTBEAT = timedelta(seconds=30)
LONGEST_SHARD = timedelta(minutes=10)
# A database that is away for some minutes costs no shard.
PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=1),
    maximum_attempts=10,
)


@workflow.defn(name=POPULATION_WORKFLOW)
class PopulationScoring:
    """One day's run over the population."""

    @workflow.init
    def __init__(self, call: PopulationCall) -> None:
        self._progress = call.done or PopulationProgress(day=call.day or workflow.now().date())
        self._begun = workflow.now()

    @workflow.run
    async def run(self, call: PopulationCall) -> PopulationProgress:
        """Score everybody; returns what came of it."""
        if call.day is None:
            return await self._run_today(call)
        plan = call.plan or await self._plan(call)
        if call.plan is None:
            self._progress = self._progress.model_copy(
                update={"customers": plan.customers, "shards": plan.shards}
            )
        self._tell()
        until = min(plan.shards, call.next_shard + call.shards_per_execution)
        await self._score(call, plan, range(call.next_shard, until))
        if until < plan.shards:
            workflow.continue_as_new(
                call.model_copy(update={"plan": plan, "next_shard": until, "done": self._progress})
            )
        finishing = FinishCall(day=call.day, failed_shards=self._progress.failed_shards)
        await workflow.execute_activity(
            "Population.finish", finishing, start_to_close_timeout=LONGEST_SHARD, retry_policy=PATIENT,
            summary="finish",
        )  # fmt: skip
        return self._progress

    @workflow.query(description="How far the run is.")
    def progress(self) -> PopulationProgress:
        """Customers and shards done so far."""
        return self._progress

    async def _run_today(self, call: PopulationCall) -> PopulationProgress:
        """The day's own run, which this one waits for; if somebody started it by hand already, that one serves."""
        day = workflow.now().date()
        try:
            result: PopulationProgress = await workflow.execute_child_workflow(
                POPULATION_WORKFLOW,
                call.model_copy(update={"day": day}),
                id=population_id(day),
                result_type=PopulationProgress,
                # What was begun goes on, whatever becomes of the schedule's own.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return self._progress
        return result

    async def _plan(self, call: PopulationCall) -> PopulationPlan:
        assert call.day is not None
        plan: PopulationPlan = await workflow.execute_activity(
            "Population.plan", PlanCall(day=call.day), result_type=PopulationPlan,
            start_to_close_timeout=LONGEST_SHARD, retry_policy=PATIENT, summary="plan",
        )  # fmt: skip
        return plan

    async def _score(self, call: PopulationCall, plan: PopulationPlan, shards: range) -> None:
        waiting = iter(shards)

        async def lane() -> None:
            for shard in waiting:
                await self._score_shard(call, plan, shard)

        await asyncio.gather(*(lane() for _ in range(max(1, call.at_once))))

    async def _score_shard(self, call: PopulationCall, plan: PopulationPlan, shard: int) -> None:
        assert call.day is not None
        try:
            result: ShardResult = await workflow.execute_activity(
                "Population.score_shard",
                ShardCall(day=call.day, shard=shard, shards=plan.shards),
                result_type=ShardResult,
                start_to_close_timeout=LONGEST_SHARD,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=PATIENT,
                summary=f"shard {shard + 1} of {plan.shards}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("shard %d is given up: %s", shard, error.cause)
            self._progress = self._progress.without(shard)
        else:
            self._progress = self._progress.after(result)
        self._tell()

    def _tell(self) -> None:
        now = self._progress
        seconds = (workflow.now() - self._begun).total_seconds()
        lines = [
            f"- {now.shards_done} of {now.shards} shards",
            f"- {now.scored:,} of {now.customers:,} customers scored, {now.failed:,} passed over, "
            f"{now.requested:,} for the evaluator",
            f"- {seconds:.0f} s",
        ]
        if now.failed_shards:
            lines.append(f"- given up: {', '.join(str(shard) for shard in now.failed_shards)}")
        workflow.set_current_details("\n".join(lines))
