"""What every step's activity begins with: customer locked, moment read, the run's row bound, facts assembled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from activities.facts import Known, load_known
from activities.interruptions import find_interruption
from activities.versions import Version, Versions
from schemas.catalogue import Catalogue
from schemas.policy import Policy
from schemas.run import Interruption, StepCall, StepResult
from store import runs
from store.customers import lock_customers
from store.database import Connection, Database
from store.playbooks import load_policy
from store.runs import Run


@dataclass(frozen=True)
class Opened:
    """A step that may go on: everything in it was read under the customer's lock."""

    run: Run
    version: Version
    known: Known
    policy: Policy
    now: datetime


class StepOpening:
    """The common beginning of all steps, over one process's database and versions."""

    def __init__(self, database: Database, catalogue: Catalogue, versions: Versions) -> None:
        self.database = database
        self.catalogue = catalogue
        self.versions = versions

    async def open(self, connection: Connection, call: StepCall) -> Opened | StepResult:
        """Lock, bind and read; a StepResult with an interruption when the run is to end instead."""
        run = await runs.load_run(connection, call.run_id)
        await lock_customers(connection, [run.customer_id])
        now = await self.read_now(connection, call)
        bound = await runs.bind(connection, call.run_id, call.execution_id, call.step)
        if bound is None:
            return interrupted(now, superseded(now))
        run = bound
        if run.interruption:
            return interrupted(now, run.interruption)
        version = await self.versions.load(connection, run.playbook, run.version)
        known = (await load_known(connection, [run.customer_id], now, version.needs, self.catalogue))[
            run.customer_id
        ]
        found = find_interruption(version, run, known.facts)
        if found:
            await runs.interrupt(connection, run.id, found)
            return interrupted(now, found)
        return Opened(run, version, known, await load_policy(connection), now)

    async def read_now(self, connection: Connection, call: StepCall) -> datetime:
        """A played run's moment is the workflow's; a live one's the later of what was due and the database's clock."""
        if call.played:
            return call.at
        return max(call.at, await self.database.clock.read(connection))


def superseded(now: datetime) -> Interruption:
    """The row belongs to another execution, or has ended: this one has nothing left to do."""
    return Interruption(
        kind="superseded", outcome="stopped", reason="another execution carries this run on", at=now
    )


def interrupted(now: datetime, interruption: Interruption) -> StepResult:
    """The step was not carried out because the run is to end."""
    return StepResult(outcome="interrupted", at=now, interruption=interruption)
