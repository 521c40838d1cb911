"""Plays playbooks for customers on a virtual clock: the production workflow, with its activities in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.versions import Version
from loops.simulation.clock import TICK, PlayedRunner, RunClock, Watching
from loops.simulation.customer import Customer
from loops.simulation.desk import Desk
from loops.simulation.happening import Happening
from loops.simulation.run import Line, Setting, SimulatedRun
from loops.simulation.server import run_test_server
from loops.simulation.subject import Subject
from rules.needs import run_needs
from schemas.catalogue import Catalogue, load_catalogue
from schemas.errors import UnavailableError
from schemas.facts import Facts
from schemas.plan import CompiledPlaybook
from schemas.policy import Policy
from schemas.run import RUN_QUEUE, SEND_QUEUE, WORKFLOW_NAME, Command
from schemas.sent import Sent
from schemas.step_type import StepTypes
from workflows.playbook_run import PlaybookRun

# So long nothing may stir while something is under way: then the server is gone.
_PATIENCE_SECONDS = 60.0
_AT_ONCE = 500
# Else the SDK reads every module of the process to work one out.
_BUILD = "simulation"


@dataclass(frozen=True)
class Case:
    """One customer to be played through one playbook.

    `start` left out is the facts' `now`. `sends` are messages before that count towards caps, `talks` calls before that
    count as contact with a person.
    `variants` names arms of experiments that aren't drawn; `policy` and `playbooks` are the simulator's where left out.
    `customer` is at `start` already and knows what is to happen; without it there are the facts and the happenings.
    """

    playbook: CompiledPlaybook
    facts: Facts
    happenings: Sequence[Happening] = ()
    start: datetime | None = None
    sends: Sequence[Sent | tuple[str, datetime]] = ()
    talks: Sequence[datetime] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    policy: Policy | None = None
    playbooks: Mapping[str, CompiledPlaybook] | None = None
    customer: Subject | None = None


class Simulator:
    """Plays cases, any number of them at the same time; use it as an async context.

    playbooks: those that a step `start` may ask for, by name. Runs of different cases know nothing of each other.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        step_types: StepTypes,
        playbooks: Mapping[str, CompiledPlaybook] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._setting = Setting(policy, playbooks or {}, step_types)
        self._catalogue = catalogue or load_catalogue()
        self._runs: dict[str, SimulatedRun] = {}
        self._clocks: dict[str, RunClock] = {}
        self._desk = Desk(self._runs)
        self._stack = contextlib.AsyncExitStack()
        self._server: WorkflowEnvironment | None = None
        self._versions: dict[int, tuple[Version, str]] = {}
        self._made = 0

    async def __aenter__(self) -> Self:
        self._server = await self._stack.enter_async_context(run_test_server())
        for worker in self._workers(self._server.client):
            await self._stack.enter_async_context(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def _temporal(self) -> WorkflowEnvironment:
        if self._server is None:
            raise RuntimeError(
                "a Simulator is used as an async context: `async with Simulator(…) as simulator`"
            )
        return self._server

    async def play(
        self,
        playbook: CompiledPlaybook,
        facts: Facts,
        happenings: Sequence[Happening] = (),
        start: datetime | None = None,
    ) -> list[Line]:
        """One customer's timeline: lines in order of time, the run's end last."""
        [lines] = await self.play_many([Case(playbook, facts, happenings, start)])
        return lines

    async def play_many(self, cases: Iterable[Case]) -> list[list[Line]]:
        """The timelines of many cases, in their order."""
        lines: list[list[Line]] = []
        waiting = list(cases)
        while waiting:
            batch, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            runs = [self._make_run(case) for case in batch]
            await self._play_out(runs)
            lines += [run.timeline() for run in runs]
            for run in runs:
                del self._runs[run.id], self._clocks[run.id]
        return lines

    def _make_run(self, case: Case) -> SimulatedRun:
        past_of = run_needs(case.playbook).history
        customer = case.customer or Customer(case.facts, case.happenings, self._catalogue, past_of)
        start = case.start or case.facts.now
        self._made += 1
        version, digest = self._version_of(case.playbook)
        own = self._setting
        setting = Setting(
            case.policy or own.policy,
            own.playbooks if case.playbooks is None else case.playbooks,
            own.step_types,
        )
        run = SimulatedRun(
            f"simulated-{self._made}", case.playbook, customer, setting, start, version, digest,
            list(case.sends), case.variants, talks=list(case.talks),
        )  # fmt: skip
        self._runs[run.id], self._clocks[run.id] = run, run.clock
        return run

    def _version_of(self, playbook: CompiledPlaybook) -> tuple[Version, str]:
        """The playbook with its conditions compiled, and its digest: worked out once."""
        known = self._versions.get(id(playbook))
        if known is None:
            # Kept with the playbook in it, so that no other takes its place in memory.
            known = self._versions[id(playbook)] = (Version(playbook), playbook.version)
        return known

    async def _play_out(self, runs: Sequence[SimulatedRun]) -> None:
        await asyncio.gather(*(self._begin(run) for run in runs))
        while True:
            await self._settle(runs)
            going = [run for run in runs if not run.over]
            told = await asyncio.gather(*(self._tell(run) for run in going))
            if any(told):
                continue
            ticking = [run for run in going if run.clock.await_tick()]
            if not ticking:
                break
            # Every run is at its next moment when its tick is over.
            await self._temporal.sleep(TICK + timedelta(seconds=1))
        for run in going:
            # It stands still for good.
            await self._temporal.client.get_workflow_handle(run.id).terminate()

    async def _begin(self, run: SimulatedRun) -> None:
        run.customer.advance_before(run.start)
        rung = run.evaluate(run.start)
        run.clock.rings_sent += rung
        await self._temporal.client.start_workflow(
            WORKFLOW_NAME, run.input, id=run.id, task_queue=RUN_QUEUE,
            start_signal="event_occurred" if rung else None,
        )  # fmt: skip

    async def _tell(self, run: SimulatedRun) -> bool:
        """Tell the run what reaches it before its next timer; whether there was anything."""
        found = run.look(run.clock.due)
        if found is False:
            return False
        handle = self._temporal.client.get_workflow_handle(run.id)
        if found is True:
            run.clock.rings_sent += 1
            await handle.signal("event_occurred")
            return True
        assert isinstance(found, Happening)
        assert found.do is not None
        command = Command(by="a person", reason=found.reason, outcome=found.outcome)
        # The workflow notes pauses itself, but not that it was stopped.
        line = (
            run.tell(found.at, ("run", 0), found.do, found.outcome or "stopped")
            if found.do == "stop"
            else None
        )
        try:
            await handle.execute_update(found.do, command)
        except WorkflowUpdateFailedError as error:
            line = line or run.tell(found.at, ("run", 0), found.do, "refused")
            line |= {"outcome": "refused", "detail": str(error.cause)}
        return True

    async def _settle(self, runs: Sequence[SimulatedRun]) -> None:
        """Wait until every run does nothing any more until something happens."""
        stirred, state = time.monotonic(), None
        while not all(run.clock.idle for run in runs):
            await asyncio.sleep(0.001)
            if self._desk.failures:
                raise self._desk.failures[0]
            now = sum(run.clock.activations for run in runs)
            if now != state:
                stirred, state = time.monotonic(), now
            elif time.monotonic() - stirred > _PATIENCE_SECONDS:
                raise UnavailableError(
                    "the Temporal test server doesn't answer any more.", remedy="Try again."
                )
        failure = next((run.clock.failure for run in runs if run.clock.failure), None)
        if failure or self._desk.failures:
            raise self._desk.failures[0] if self._desk.failures else RuntimeError(failure)

    def _workers(self, client: Client) -> list[Worker]:
        return [
            Worker(
                client,
                task_queue=RUN_QUEUE,
                workflows=[PlaybookRun],
                workflow_runner=PlayedRunner(self._clocks),
                interceptors=[Watching(self._clocks)],
                activities=self._desk.on_the_run_queue,
                # A run that is put away would be played again from its history, at other times.
                max_cached_workflows=4 * _AT_ONCE,
                max_concurrent_workflow_tasks=50,
                build_id=_BUILD,
            ),
            Worker(client, task_queue=SEND_QUEUE, activities=self._desk.on_the_send_queue, build_id=_BUILD),
        ]
