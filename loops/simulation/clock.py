"""The exact clock of a simulated run, and the runner that lets the production workflow go by it.

The test server's clock runs on while anything is at work, so that what it tells is some milliseconds late, and more
the busier it is. Here every run has a clock of its own: it stands still while the run works and moves from one moment
at which something is due to the next. The workflow's timers are kept here; of the server it only ever asks for one
timer, the tick, and whatever is due next is due when that fires. So the runs of many customers, each in its own time,
go forward together: one tick for all, and each is at its next moment.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)

TICK = timedelta(hours=1)
# The workflow numbers its own timers from 1.
_FIRST_TICK = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENDINGS = ("complete_workflow_execution", "cancel_workflow_execution")


class RunClock:
    """One run's time, its timers, and what it is busy with.

    `now` is set by the runner, and by whoever tells the run of something, while it is idle.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.ended = False
        self.failure: str | None = None
        self._instance: Any = None
        self._heard = 0
        self.rings_sent = self.rings_heard = 0
        self.ticks_awaited = self.ticks_fired = 0
        self._tick: int | None = None
        self._ticks = 0
        self._continuing = False
        self._timers: dict[int, datetime] = {}
        self._activities: set[tuple[str, int]] = set()
        self.activations = 0
        self._activating = threading.Lock()

    @property
    def due(self) -> datetime | None:
        """When the run's next timer is due; None: it has none."""
        return min(self._timers.values(), default=None)

    @property
    def idle(self) -> bool:
        """Whether the run does nothing until time passes or something reaches it."""
        if self.ended or self.failure:
            return True
        return (
            self.activations > 0
            and not self._activating.locked()
            and not self._activities
            and not self._continuing
            and self.rings_heard >= self.rings_sent
            and self.ticks_fired >= self.ticks_awaited
        )

    def watch(self, instance: Any) -> None:
        """`instance` is the run's workflow from now on; what it brought along from a former one isn't told again."""
        former, untold = self._instance, 0
        if former is not None:
            untold = len(former.trace()["lines"]) - self._heard
        self._instance = instance
        self._heard = max(0, len(instance.trace()["lines"]) - untold)

    def hear(self) -> list[dict[str, Any]]:
        """What the workflow noted of itself since it was asked last."""
        if self._instance is None:
            return []
        lines: list[dict[str, Any]] = self._instance.trace()["lines"]
        fresh, self._heard = lines[self._heard :], len(lines)
        return fresh

    def await_tick(self) -> bool:
        """Expect the tick that is under way; False if there is none."""
        if self._tick is None or self.ended:
            return False
        self.ticks_awaited = self.ticks_fired + 1
        return True

    def activate(self, inner: WorkflowInstance, activation: Any) -> Any:
        """Let the workflow go on at this run's time, and keep its timers."""
        with self._activating:
            jobs = [job for job in activation.jobs if self._admit(job)]
            del activation.jobs[:]
            activation.jobs.extend(jobs)
            activation.timestamp.FromNanoseconds((self.now - _EPOCH) // _MICROSECOND * 1000)
            completion = inner.activate(activation)
            if completion.HasField("failed"):
                self.failure = completion.failed.failure.message or "the workflow can't go on"
            else:
                self._take_over(completion.successful.commands)
            self.activations += 1
            return completion

    def _admit(self, job: Any) -> bool:
        """Note what the job tells; False if the workflow has no use for it."""
        match job.WhichOneof("variant"):
            case "initialize_workflow":
                self._timers.clear()
                self._activities.clear()
                self._tick, self._continuing = None, False
            case "signal_workflow":
                self.rings_heard += 1
            case "resolve_activity":
                self._activities.discard(("activity", job.resolve_activity.seq))
            case "fire_timer":
                self._tick, self.ticks_fired = None, self.ticks_fired + 1
                if not self._timers:
                    return False
                first = min(self._timers, key=lambda seq: (self._timers[seq], seq))
                self.now = max(self.now, self._timers.pop(first))
                job.fire_timer.seq = first
        return True

    def _take_over(self, commands: Any) -> None:
        """Keep the timers that the workflow sets and cancels; the server is asked for a tick instead."""
        kept = []
        for command in commands:
            match command.WhichOneof("variant"):
                case "start_timer":
                    nanoseconds = command.start_timer.start_to_fire_timeout.ToNanoseconds()
                    length = timedelta(microseconds=max(1, -(-nanoseconds // 1000)))
                    self._timers[command.start_timer.seq] = self.now + length
                    continue
                case "cancel_timer":
                    self._timers.pop(command.cancel_timer.seq, None)
                    continue
                case "schedule_activity":
                    self._activities.add(("activity", command.schedule_activity.seq))
                case "schedule_local_activity":
                    self._activities.add(("activity", command.schedule_local_activity.seq))
                case "continue_as_new_workflow_execution":
                    self._continuing = True
                case "fail_workflow_execution":
                    self.failure = command.fail_workflow_execution.failure.message or "the workflow failed"
                case ending if ending in _ENDINGS:
                    self.ended = True
            kept.append(command)
        del commands[:]
        commands.extend(kept)
        if self._timers and self._tick is None and not (self.ended or self._continuing):
            self._ticks += 1
            self._tick = _FIRST_TICK + self._ticks
            tick = commands.add()
            tick.start_timer.seq = self._tick
            tick.start_timer.start_to_fire_timeout.FromTimedelta(TICK)


class PlayedRunner(WorkflowRunner):
    """Runs workflows as they are, each by the clock that `clocks` has for its id."""

    def __init__(self, clocks: Mapping[str, RunClock]) -> None:
        self._clocks = clocks
        self._runner = UnsandboxedWorkflowRunner()

    def prepare_workflow(self, defn: Any) -> None:
        """Nothing is prepared: the workflow runs in this process's own modules."""
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance that goes by its run's clock."""
        return _PlayedInstance(self._runner.create_instance(det), self._clocks[det.info.workflow_id])


class _PlayedInstance(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance, clock: RunClock) -> None:
        self._inner = inner
        self._clock = clock

    def activate(self, act: Any) -> Any:
        return self._clock.activate(self._inner, act)

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> workflow.Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


class Watching(Interceptor):
    """Lets a clock know its workflow, so that what the workflow notes of itself can be read at any moment."""

    def __init__(self, clocks: Mapping[str, RunClock]) -> None:
        self._clocks = clocks

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        """An interceptor that hands the workflow over as it begins."""
        clocks = self._clocks

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
                clocks[workflow.info().workflow_id].watch(workflow.instance())
                return await super().execute_workflow(input)

        return Inbound
