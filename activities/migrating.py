"""Taking a run to another version of its playbook, where it has a place there."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities.steps import StepOpening
from activities.versions import Version
from rules.assignment import arms
from rules.migration import Unplaced, place
from rules.progress import PASSED
from schemas.plan import Act, BeforeDate, Split, Wait, WaitFor
from schemas.run import MigrateCall, Migration
from store import moves, runs
from store.customers import load_customers, lock_customers
from store.database import Connection
from store.runs import Run


class Migrating:
    """Moves one run at a time, each under its customer's lock."""

    def __init__(self, opening: StepOpening) -> None:
        self._opening = opening
        self._database = opening.database

    @activity.defn(name="Run.migrate")
    async def migrate(self, call: MigrateCall) -> Migration:
        """Place the run in the new version and let it go by that; asked again, it answers the same.

        Without a place for it, without the run's row, where the version is an earlier one, or the run goes by another
        by now, nothing changes and the answer has no steps.
        """
        async with self._database.transaction() as connection:
            run = await runs.load_run(connection, call.run_id)
            await lock_customers(connection, [run.customer_id])
            bound = await runs.bind(connection, call.run_id, call.execution_id, None)
            if bound is None:
                return Migration(reason="another execution carries this run on")
            if call.from_version == call.to_version:
                return Migration(reason="the run goes by this version")
            if bound.version not in (call.from_version, call.to_version):
                return Migration(reason=f"the run goes by version {bound.version}")
            if bound.version == call.from_version and await moves.is_superseded(
                connection, bound.playbook, call.to_version, bound.version
            ):
                # A run that is started anew reads its whole inbox again, words of versions long past among it.
                return Migration(reason=f"the run goes by version {bound.version}, which came later")
            old = await self._opening.versions.load(connection, bound.playbook, call.from_version)
            new = await self._opening.versions.load(connection, bound.playbook, call.to_version)
            found = place(old.playbook.steps, new.playbook.steps, call.done, call.since)
            if isinstance(found, Unplaced):
                return Migration(reason=found.reason)
            goal = new.playbook.goal
            migration = Migration(
                steps=new.playbook.steps,
                done=dict(found.done),
                since=dict(found.since),
                variants=await self._arms(connection, bound, new),
                goal_by=bound.entered_at + timedelta(seconds=goal.within_seconds) if goal else None,
                max_overdue_seconds=new.playbook.max_overdue_seconds,
            )
            if bound.version == call.from_version:
                await self._write(connection, bound, call.to_version, new, migration)
            return migration

    async def _arms(self, connection: Connection, run: Run, new: Version) -> dict[str, str]:
        """The arms that the run has, as far as they are there still, and those of experiments that are new to it."""
        experiments = {
            step.experiment: step.variants for step in new.steps.values() if isinstance(step, Split)
        }
        # An experiment that is gone may come back.
        kept = {
            name: arm
            for name, arm in run.variants.items()
            if name not in experiments or arm in experiments[name]
        }
        customer = (await load_customers(connection, [run.customer_id]))[run.customer_id]
        return arms(new.playbook.steps, customer.external_id, kept)

    async def _write(
        self, connection: Connection, run: Run, version: str, new: Version, migration: Migration
    ) -> None:
        now = await self._database.clock.read(connection)
        await moves.move_run(connection, run, version, migration.variants, migration.goal_by, now)
        open_steps = {_occurrence(key) for key in migration.since if key not in migration.done}
        listening: dict[tuple[str, int], int | None] = {}
        for step_id, occurrence in open_steps:
            step = new.steps.get(step_id)
            if isinstance(step, WaitFor):
                listening[step_id, occurrence] = step.for_seconds
            elif isinstance(step, Wait) and isinstance(step.spec, BeforeDate):
                listening[step_id, occurrence] = None
        await moves.keep_waits(connection, run.id, listening)
        await moves.keep_tasks(connection, run.id, open_steps, now)
        passed: dict[tuple[str, int], str] = {}
        for key, outcome in migration.done.items():
            step_id, occurrence = _occurrence(key)
            step = new.steps.get(step_id)
            if outcome == PASSED and step is not None:
                passed[step_id, occurrence] = step.word if isinstance(step, Act) else step.kind
        at = max(migration.since.values(), default=run.entered_at)
        await moves.record_passed(connection, run.id, passed, PASSED, at)


def _occurrence(key: str) -> tuple[str, int]:
    """The step and the occurrence that a key of the run's memory names."""
    step, _, number = key.partition("#")
    return step, int(number or 0)
