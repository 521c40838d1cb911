"""Steps of one run carried out by hand, on a real database whose clock the test moves."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from activities.registry import find_step_types
from activities.steps import StepOpening
from activities.versions import Versions
from loops.evaluator import Evaluator
from loops.upkeep import Upkeep
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from schemas.plan import Act, CompiledPlaybook, Step
from schemas.policy import Policy
from schemas.run import StepCall
from schemas.step_type import StepType
from store.database import Database, PlayedClock
from store.intake import take_in
from store.publishing import publish
from tests.integration.plans import trigger
from tests.integration.running_engine import LINKS

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def act(word: str | StepType, step: str = "", **args: Any) -> Act:
    """A step of a registered type (or of this one), as the compiler makes it of these arguments."""
    step_type = find_step_types()[word] if isinstance(word, str) else word
    word = step_type.word
    return Act(
        id=step or word,
        word=word,
        activity=step_type.activity,
        sends=step_type.sends or step_type.carry_out is not None,
        human=step_type.human,
        args=step_type.arguments.model_validate(args).model_dump(mode="json", exclude_none=True),
    )


@dataclass
class StepDesk:
    """A database with one customer, `ada`, and a clock that is ours."""

    database: Database
    clock: PlayedClock
    opening: StepOpening
    evaluator: Evaluator
    upkeep: Upkeep
    runs: dict[str, str] = field(default_factory=dict)

    async def identify(self, customer: str = "ada", **traits: Any) -> None:
        """What is said of a customer now."""
        await self._take(customer, "identify", {}, traits)

    async def send(self, customer: str, name: str, **properties: Any) -> None:
        """An event that happens now."""
        await self._take(customer, name, properties, {})

    async def publish(self, name: str, *steps: Step, policy: Policy | None = None, **more: Any) -> None:
        """Make a playbook of these steps live."""
        more.setdefault("status", "live")
        playbook = CompiledPlaybook(name=name, title="Helping", owner="cs", steps=steps, **more)
        async with self.database.transaction() as connection:
            await publish(
                connection, {name: playbook}, {}, policy or Policy(), author="test", now=self.clock.now
            )

    async def enter(self, *steps: Step, name: str = "helping", **more: Any) -> str:
        """Publish a playbook of these steps and let Ada into it; the run's id."""
        await self.publish(name, *steps, enter=trigger(f"{name}_wanted"), **more)
        await self.send("ada", f"{name}_wanted")
        await self.evaluate()
        [run] = await self.rows("SELECT id FROM runs WHERE playbook = :name", name=name)
        return str(run["id"])

    async def shadow(self, run: str) -> None:
        """Make the run one that only records what it would do."""
        async with self.database.transaction() as connection:
            await connection.execute(text("UPDATE runs SET arm = 'shadow' WHERE id = :run"), {"run": run})

    def call(self, run: str, step: str, occurrence: int = 0, **more: Any) -> StepCall:
        """What the run's workflow would ask for now."""
        return StepCall(
            run_id=run, execution_id="test", step=step, occurrence=occurrence, due_at=self.clock.now,
            at=self.clock.now, played=True, **more,
        )  # fmt: skip

    async def pass_time(self, passed: timedelta) -> None:
        """Move the clock and see to what is due then."""
        self.clock.now += passed
        await self.upkeep.run_once()
        await self.evaluate()

    async def evaluate(self) -> None:
        """Decide on whoever waits to be looked at."""
        while (await self.evaluator.run_once()).customers:
            pass

    async def rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """What a query gives."""
        async with self.database.transaction() as connection:
            return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

    async def events(self, *names: str) -> list[tuple[str, datetime, Mapping[str, Any]]]:
        """Ada's events of these names, in order of time."""
        rows = await self.rows(
            "SELECT name, at, properties FROM events WHERE name = ANY(:names) ORDER BY at, name",
            names=list(names),
        )
        return [(row["name"], row["at"].astimezone(UTC), row["properties"]) for row in rows]

    async def record(self, run: str) -> list[tuple[str, str, str]]:
        """(step, outcome, detail) of what the run's steps came to."""
        rows = await self.rows(
            "SELECT step, outcome, detail FROM run_steps WHERE run_id = :run ORDER BY at, step, occurrence",
            run=run,
        )
        return [(row["step"], row["outcome"], row["detail"]) for row in rows]

    async def _take(
        self, customer: str, name: str, properties: Mapping[str, Any], traits: Mapping[str, Any]
    ) -> None:
        now = self.clock.now
        event = IncomingEvent(
            "test", str(uuid.uuid4()), customer, name, now, now, now.date(), properties, traits
        )
        await take_in(self.database, [event], move=self.opening.move)


@contextlib.asynccontextmanager
async def open_desk(database_url: str) -> AsyncIterator[StepDesk]:
    """The desk; its database is closed at the end."""
    clock = PlayedClock(START)
    database = Database(database_url, connections=5, clock=clock)
    opening = StepOpening(database, load_catalogue(), Versions(), LINKS)
    desk = StepDesk(database, clock, opening, Evaluator(opening), Upkeep(opening))
    await desk.identify(first_name="Ada", email="ada@example.com", timezone="UTC", csm="grace")
    yield desk
    await database.close()
