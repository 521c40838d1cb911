"""Training the churn models: read, fit, judge, decide, each step once, and resumed at the last that was finished."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from schemas.training_run import (
        KIND_NAMES,
        MODEL_KINDS,
        TRAINING_WORKFLOW,
        DecideCall,
        Decision,
        FitCall,
        Fitted,
        JudgeCall,
        TrainingCall,
        TrainingRead,
        TrainingResult,
        TrainingStep,
    )

# Steps tell how far they are every few seconds; a worker that is gone is noticed after this.
HEARTBEAT = timedelta(seconds=60)
LONGEST = timedelta(hours=6)
# The database may be away for a while; what can't be learned is refused in words, not by failing.
PATIENT = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=2),
    maximum_attempts=30,
)

_Result = TypeVar("_Result")


@workflow.defn(name=TRAINING_WORKFLOW)
class ModelTraining:
    """Trains the models of both kinds on the history and promotes what proves better."""

    @workflow.init
    def __init__(self, call: TrainingCall) -> None:
        names = ["read", *(f"fit {kind}" for kind in MODEL_KINDS), "judge", "decide"]
        self._steps = {name: TrainingStep(name=name, state="waiting") for name in names}

    @workflow.run
    async def run(self, call: TrainingCall) -> TrainingResult:
        """Train; returns what was decided, and why."""
        read = await self._step("read", "Training.read", call, TrainingRead)
        self._done(
            "read",
            read.refused
            or f"{read.rows:,} rows of {read.customers:,} customers on {read.days} days, {read.events:,} left",
        )
        if read.refused is not None:
            return TrainingResult(read=read)
        fitted: list[Fitted] = []
        for kind in MODEL_KINDS:
            name = f"fit {kind}"
            ask = FitCall(kind=kind, as_of=read.as_of, dry_run=call.dry_run)
            one = await self._step(name, "Training.fit", ask, Fitted)
            self._done(name, one.refused or f"version {one.version}")
            fitted.append(one)
        judging = JudgeCall(as_of=read.as_of, fitted=tuple(fitted), dry_run=call.dry_run)
        decisions = await self._step("judge", "Training.judge", judging, tuple[Decision, ...])
        self._done("judge", "; ".join(f"{KIND_NAMES[one.kind]} {one.outcome}" for one in decisions))
        if not call.dry_run:
            for decision in decisions:
                deciding = DecideCall(decision=decision, as_of=read.as_of, by=call.by)
                await self._step("decide", "Training.decide", deciding, bool)
        self._done("decide", "nothing is changed by a dry run" if call.dry_run else "decided")
        return TrainingResult(read=read, decisions=decisions)

    @workflow.query(description="How far the training is.")
    def progress(self) -> tuple[TrainingStep, ...]:
        """The steps in their order, with what each came to."""
        return tuple(self._steps.values())

    async def _step(self, name: str, activity: str, call: object, result_type: type[_Result]) -> _Result:
        self._steps[name] = TrainingStep(name=name, state="running")
        self._tell()
        result: _Result = await workflow.execute_activity(
            activity,
            call,
            result_type=result_type,
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=PATIENT,
            summary=name,
        )
        return result

    def _done(self, name: str, told: str) -> None:
        self._steps[name] = TrainingStep(name=name, state="done", told=told)
        self._tell()

    def _tell(self) -> None:
        workflow.set_current_details(
            "\n".join(
                f"- {one.name}: {one.state}{' – ' + one.told if one.told else ''}"
                for one in self._steps.values()
            )
        )
