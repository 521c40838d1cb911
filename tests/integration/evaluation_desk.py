"""An evaluator on a real database whose clock is moved by hand, with all that feeds it: intake, publishing, upkeep."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from activities.registry import find_step_types
from activities.steps import StepOpening
from activities.versions import Versions
from loops.evaluator import Evaluator
from loops.explaining import explain_customer
from schemas.catalogue import load_catalogue
from schemas.compiler import compile_playbook
from schemas.incoming import IncomingEvent
from schemas.language import Language
from schemas.plan import CompiledPlaybook, Elapsed, Enter, Wait
from schemas.policy import Policy
from schemas.yaml_source import load_yaml
from scoring.moving import make_mover
from store import evaluations
from store.database import Database, PlayedClock
from store.intake import take_in
from store.publishing import publish

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = 86400
LANGUAGE = Language(load_catalogue(), find_step_types())
STANDING = Wait(id="stand", spec=Elapsed(seconds=90 * DAY))


def playbook(name: str = "helping", enter: Enter | None = None, **more: Any) -> CompiledPlaybook:
    """One whose runs only stand and wait, if nothing else is said."""
    return CompiledPlaybook(
        **{"name": name, "title": name, "owner": "cs", "status": "live", "steps": (STANDING,), "enter": enter, **more}
    )  # fmt: skip


def read(text: str, *, status: str = "live") -> CompiledPlaybook:
    """A playbook as CS ops write it, whose name is that of its first line; without steps its runs only wait."""
    if "\nsteps:" not in text:
        text += "\nsteps: [{wait: 90d}]\n"
    source = load_yaml(f"title: T\nowner: cs-ops\nstatus: {status}\n{text}", "p.yaml")
    name = str(source.data["playbook"])
    compiled = compile_playbook(source, LANGUAGE, {}, name=name)
    assert compiled.playbook is not None, [str(problem) for problem in compiled.problems]
    return compiled.playbook


def when(lines: str, name: str = "helping", **more: str) -> CompiledPlaybook:
    """A playbook that is entered when these lines hold."""
    indented = "\n".join(f"    {line}" for line in lines.strip("\n").split("\n"))
    rules = "".join(f"  {word}: {value}\n" for word, value in more.items())
    return read(f"playbook: {name}\nenter:\n{rules}  when:\n{indented}\n")


@dataclass
class Desk:
    """An evaluator whose clock is ours."""

    database: Database
    clock: PlayedClock
    evaluator: Evaluator

    async def publish(self, *playbooks: CompiledPlaybook, policy: Policy | None = None) -> None:
        """Make these playbooks live, and no others."""
        async with self.database.transaction() as connection:
            await publish(
                connection, {one.name: one for one in playbooks}, {}, policy or Policy(), author="test",
                now=self.clock.now,
            )  # fmt: skip

    async def send(
        self,
        customer: str,
        name: str,
        properties: dict[str, Any] | None = None,
        *,
        at: datetime | None = None,
        **traits: Any,
    ) -> None:
        """One event, or what is said of a customer, taken in now and decided."""
        now, at = self.clock.now, at or self.clock.now
        event = IncomingEvent(
            "test", str(uuid.uuid4()), customer, name, at, now, at.date(), properties or {}, traits
        )
        await take_in(self.database, [event], move=make_mover(load_catalogue()))
        await self.evaluate()

    async def evaluate(self, *, everybody: bool = False) -> None:
        """Decide on whoever waits."""
        if everybody:
            async with self.database.transaction() as connection:
                await evaluations.request_everything(connection, self.clock.now)
        while (await self.evaluator.run_once()).customers:
            pass

    async def go_to(self, moment: datetime, *, daily: bool = True) -> None:
        """Let time pass: whoever becomes due is looked at, and everybody at each midnight on the way."""
        while True:
            async with self.database.transaction() as connection:
                due = await evaluations.next_due(connection)
            midnight = (self.clock.now + timedelta(days=1)).replace(hour=0, minute=0)
            stops = [moment, *([midnight] if daily else []), *([due] if due else [])]
            self.clock.now = max(self.clock.now, min(stops))
            async with self.database.transaction() as connection:
                await evaluations.queue_due(connection, self.clock.now, 1000)
            await self.evaluate(everybody=daily and self.clock.now == midnight)
            if self.clock.now >= moment:
                return

    async def explain(self, playbook: str, customer: str) -> dict[str, Any]:
        """What `explain --customer` says now."""
        return await explain_customer(self.database, playbook, customer)

    async def why(self, playbook: str, customer: str) -> tuple[str, str]:
        """Reason and detail of what would be decided now."""
        entry = (await self.explain(playbook, customer))["entry"]
        return entry["reason"], entry["detail"]

    async def decided(self) -> list[tuple[Any, ...]]:
        """(customer, playbook, reason) of every decision on record, in order."""
        return await self.rows(
            "SELECT c.external_id, d.playbook, d.reason FROM decisions d "
            "JOIN customers c ON c.id = d.customer_id ORDER BY d.id"
        )

    async def entries(self) -> list[tuple[Any, ...]]:
        """(customer, playbook, when) of every entry, in order."""
        return await self.rows(
            "SELECT c.external_id, r.playbook, r.entered_at FROM runs r "
            "JOIN customers c ON c.id = r.customer_id ORDER BY r.entered_at, 1, 2"
        )

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        async with self.database.transaction() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]


@contextlib.asynccontextmanager
async def open_desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk at which it is the second of March, nine o'clock."""
    clock = PlayedClock(START)
    database = Database(database_url, connections=4, clock=clock)
    yield Desk(database, clock, Evaluator(StepOpening(database, load_catalogue(), Versions())))
    await database.close()
