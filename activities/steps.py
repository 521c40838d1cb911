"""What every step's activity begins with: customer locked, moment read, the run's row bound, facts assembled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from activities.facts import Known, assemble_reading
from activities.interruptions import find_interruption
from activities.links import NO_LINKS, LinkMaker
from activities.past_scores import DAYS as SCORE_DAYS
from activities.versions import Version, Versions
from schemas.catalogue import Catalogue
from schemas.health_model import DEFAULT_MODEL
from schemas.plan import Act
from schemas.policy import Policy
from schemas.run import Interruption, StepCall, StepResult
from scoring.moving import make_mover
from store import inbox, run_steps
from store.database import DATABASE_AWAY, Connection, Database, Waker
from store.deliveries import delivery_id, is_under_way
from store.live_policy import find_policy
from store.runs import Run
from store.step_reading import Reading, bind_and_read, lock_run

EVALUATE = "holdfast_evaluate"
_Written = TypeVar("_Written")


@dataclass(frozen=True)
class Opened:
    """A step that may go on: everything in it was read under the customer's lock."""

    run: Run
    version: Version
    known: Known
    policy: Policy
    now: datetime
    links: LinkMaker
    reading: Reading | None = None


class StepOpening:
    """The common beginning of all steps, over one process's database and versions; `links` makes those of texts."""

    def __init__(
        self, database: Database, catalogue: Catalogue, versions: Versions, links: LinkMaker = NO_LINKS
    ) -> None:
        self.database = database
        self.catalogue = catalogue
        self.versions = versions
        self.links = links
        # What a step brings about is an event like any other, and somebody is to look at it at once.
        self.move = make_mover(catalogue)
        self.evaluation = Waker(database, EVALUATE)

    async def open(
        self, connection: Connection, call: StepCall, *, message: bool = False
    ) -> Opened | StepResult:
        """Lock, bind and read; a StepResult with an interruption when the run is to end instead.

        message: the step sends one; its row of the ledger is locked and read, and what the run's steps came to.
        """
        locked = await lock_run(connection, call.run_id)
        reading = await bind_and_read(
            connection, locked, call.execution_id, call.step,
            delivery=delivery_id(call.run_id, call.step, call.occurrence) if message else None,
            default_model=DEFAULT_MODEL,
            # The moment isn't known yet, but it isn't before this one; what is read too much does no harm.
            tallies_since=(call.at - timedelta(days=self.catalogue.tally_days)).astimezone(UTC).date(),
            scores_since=(call.at - timedelta(days=SCORE_DAYS)).astimezone(UTC).date(),
        )  # fmt: skip
        if reading is None:
            now = await self.read_now(connection, call)
            return interrupted(now, superseded(now))
        run, now = reading.run, call.at
        if not call.played:
            now = max(call.at, self.database.clock.fixed() or reading.told_at)
        if run.interruption:
            return interrupted(now, run.interruption)
        version = await self.versions.load(connection, run.playbook, run.version)
        known = await assemble_reading(
            connection, locked.customer, reading, now, version.needs, self.catalogue
        )
        found = find_interruption(version, run, known.facts)
        if found:
            await inbox.interrupt(connection, run.id, found)
            return interrupted(now, found)
        policy = await find_policy(connection, reading.policy)
        return Opened(run, version, known, policy, now, self.links, reading)

    async def open_act(self, connection: Connection, call: StepCall) -> tuple[Opened, Act] | StepResult:
        """As `open`, for a step of a registered type: a StepResult, too, where its outcome is on record already (an
        earlier attempt's, whose answer was lost) or its `if` doesn't hold.
        """
        opened = await self.open(connection, call)
        if isinstance(opened, StepResult):
            return opened
        step = opened.version.steps[call.step]
        assert isinstance(step, Act)
        said = await run_steps.load_word(connection, call.run_id, call.step, call.occurrence)
        if said and said not in run_steps.UNFINISHED:
            return StepResult(outcome=said, at=opened.now)
        # What is under way was let in by its `if`, then.
        if (
            said is None
            and step.guard
            and not opened.version.holds(step.guard, opened.known.facts)
            and not await is_under_way(connection, delivery_id(call.run_id, call.step, call.occurrence))
        ):
            return await note(connection, call, step.word, "skipped", opened.now, "its `if` doesn't hold")
        return opened, step

    async def write_surely(
        self, write: Callable[[Connection], Awaitable[_Written]], *, single: bool = False
    ) -> _Written:
        """What `write` gives in a transaction of its own, tried for some 10 s while the database is away: what was done
        outside and isn't on record would be unknown. `single`: it is one statement, which needs no more around it.
        """
        for attempt in range(40):
            try:
                async with self.database.single() if single else self.database.transaction() as connection:
                    return await write(connection)
            except DATABASE_AWAY:
                if attempt == 39:
                    raise
                await asyncio.sleep(0.25)
        raise AssertionError("unreachable")

    async def read_now(self, connection: Connection, call: StepCall) -> datetime:
        """A played run's moment is the workflow's; a live one's the later of what was due and the database's clock."""
        if call.played:
            return call.at
        return max(call.at, await self.database.clock.read(connection))


async def note(
    connection: Connection,
    call: StepCall,
    word: str,
    outcome: str,
    now: datetime,
    detail: str = "",
    output: Mapping[str, Any] | None = None,
    *,
    private: bool = False,
) -> StepResult:
    """Put on record what the step came to, and say so. `private`: the detail stays in the record, as a run's history
    holds no personal data.
    """
    await run_steps.record_step(
        connection, call.run_id, call.step, call.occurrence, word, outcome, now, detail, output
    )
    return StepResult(outcome=outcome, at=now, detail="" if private else detail)


def superseded(now: datetime) -> Interruption:
    """The row belongs to another execution, or has ended: this one has nothing left to do."""
    return Interruption(
        kind="superseded", outcome="stopped", reason="another execution carries this run on", at=now
    )


def interrupted(now: datetime, interruption: Interruption) -> StepResult:
    """The step was not carried out because the run is to end."""
    return StepResult(outcome="interrupted", at=now, interruption=interruption)
