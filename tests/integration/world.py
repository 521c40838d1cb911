"""What happens outside an installation while its parts are killed, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.service import RPCError

from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from schemas.run import WORKFLOW_NAME
from scoring.moving import make_mover
from store.database import DATABASE_AWAY, Database
from store.intake import take_in
from store.publishing import publish
from store.tasks import complete_task
from tests.integration.crowd import PLAYBOOKS, Person
from tests.integration.killing import Installation
from tests.integration.running_engine import CONVERTER, OPEN, eventually

MOVE = make_mover(load_catalogue())
# Whose run it is.
OF_CUSTOMER = "runs r JOIN customers c ON c.id = r.customer_id"
Found = TypeVar("Found")


class World:
    """What happens outside: people do things, and try again when the database isn't there for them."""

    def __init__(
        self, installation: Installation, database: Database, people: list[Person], random: Random
    ) -> None:
        self.installation = installation
        self.database = database
        self.people = {person.name: person for person in people}
        self._random = random
        self._answered: set[str] = set()
        self._import_at: dict[str, float] = {}

    async def publish(self) -> None:
        """Make all playbooks live."""
        async with self.database.transaction() as connection:
            now = await self.database.clock.read(connection)
            await publish(connection, PLAYBOOKS, {}, OPEN, author="test", now=now)
        for name in PLAYBOOKS:
            self.installation.hold_published(name)

    async def patiently(self, work: Callable[[], Awaitable[Found]]) -> Found:
        """What `work` comes to once the database is there for it."""
        give_up_at = time.monotonic() + 120
        while True:
            try:
                return await work()
            except DATABASE_AWAY:
                assert time.monotonic() < give_up_at, "PostgreSQL stays away"
                await asyncio.sleep(0.1)

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """What a query gives, once it is answered."""

        async def ask() -> list[dict[str, Any]]:
            async with self.database.transaction() as connection:
                return [dict(row._mapping) for row in await connection.execute(text(sql), parameters)]

        return await self.patiently(ask)

    async def until(
        self, sql: str, holds: Callable[[list[dict[str, Any]]], bool] = bool
    ) -> list[dict[str, Any]]:
        """Wait until a query gives what is expected."""
        found: list[dict[str, Any]] = await eventually(lambda: self.rows(sql), holds, 60)
        return found

    async def tell(self, person: Person, *names: str, **traits: str) -> None:
        """Events of this person that happen now."""
        now = datetime.now(UTC)
        events = [
            IncomingEvent(
                "test", str(uuid.uuid4()), person.name, name, now, now, now.date(), {},
                traits if name == "identify" else {},
            )
            for name in names
        ]  # fmt: skip
        await self.patiently(lambda: take_in(self.database, events, move=MOVE))

    async def enter(self, person: Person) -> None:
        """The person becomes known, and does what makes them enter."""
        await self.tell(
            person, "identify", f"{person.playbook}_wanted", first_name=person.name, csm="grace",
            email=f"{person.name}@example.com", phone=person.phone, timezone="UTC", plan=person.plan,
        )  # fmt: skip

    async def enter_all(self, over_seconds: float) -> None:
        """Everybody, one after the other."""
        for person in self.people.values():
            await self.enter(person)
            await asyncio.sleep(over_seconds / len(self.people))

    async def live(self) -> None:
        """Answer, import and take calls, for ever."""
        while True:
            for row in await self.rows(
                "SELECT t.id, c.external_id AS name FROM tasks t JOIN customers c ON c.id = t.customer_id "
                "WHERE t.state = 'open'"
            ):
                task, ring = str(row["id"]), self.people[row["name"]].ring

                async def take_call(task: str = task, ring: str = ring) -> None:
                    await complete_task(self.database, task, ring, by="grace")

                await self.patiently(take_call)
            for row in await self.rows(
                f"SELECT c.external_id AS name, w.step FROM {OF_CUSTOMER} "
                "LEFT JOIN waits w ON w.run_id = r.id WHERE r.ended_at IS NULL"
            ):
                await self._act(self.people[row["name"]], waiting=row["step"] == "reply")
            await asyncio.sleep(0.3)

    async def _act(self, person: Person, *, waiting: bool) -> None:
        if person.name in self._answered:
            return
        if person.playbook == "answered" and waiting:
            self._answered.add(person.name)
            await self.tell(person, "replied")
        if person.playbook == "reached":
            at = self._import_at.setdefault(person.name, time.monotonic() + self._random.uniform(0, 8))
            if time.monotonic() >= at:
                self._answered.add(person.name)
                await self.tell(person, "client_imported")

    async def until_all_ended(self, within_seconds: float) -> None:
        """Wait until everybody has had their run; else say what the others stand at."""
        give_up_at = time.monotonic() + within_seconds
        while True:
            [row] = await self.rows("SELECT count(*) AS n FROM runs WHERE ended_at IS NOT NULL")
            if row["n"] >= len(self.people):
                return
            if time.monotonic() > give_up_at:
                pytest.fail(await self.describe_open())
            await asyncio.sleep(0.3)

    async def until_temporal_rests(self) -> None:
        """Wait until no run's workflow goes on any more; what the clock starts by itself may."""
        client = await Client.connect(self.installation.temporal_server.address)

        going_on = f"ExecutionStatus = 'Running' AND WorkflowType = '{WORKFLOW_NAME}'"

        async def count() -> int:
            return (await client.count_workflows(going_on)).count

        await eventually(count, lambda running: running == 0)

    async def until_asleep(self, person: Person) -> datetime:
        """When this person's run will wake, once it sleeps."""
        client = await Client.connect(self.installation.temporal_server.address)
        [run] = await self.rows(
            f"SELECT r.workflow_id FROM {OF_CUSTOMER} WHERE c.external_id = :name", name=person.name
        )

        async def look() -> list[datetime]:
            with contextlib.suppress(RPCError):
                return [
                    event.event_time.ToDatetime(UTC)
                    + event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
                    async for event in client.get_workflow_handle(run["workflow_id"]).fetch_history_events()
                    if event.HasField("timer_started_event_attributes")
                ]
            return []

        return (await eventually(look, bool, 60))[-1]

    async def describe_open(self) -> str:
        """What is known of the runs that haven't ended, and of people who never entered."""
        lines = []
        client = await Client.connect(self.installation.temporal_server.address)
        for run in await self.rows("SELECT * FROM runs WHERE ended_at IS NULL"):
            parts = [
                f"{name}={run[name]}"
                for name in (
                    "id",
                    "playbook",
                    "state",
                    "step",
                    "execution_id",
                    "next_start_at",
                    "interruption",
                )
            ]
            for table, columns in (
                ("deliveries", "step, state, attempt, claimed_at"), ("tasks", "step, state, outcome"),
                ("run_steps", "step, outcome"), ("run_inbox", "seq, kind, step, outcome"),
                ("waits", "step, until"), ("doorbells", "rings, next_at"),
            ):  # fmt: skip
                found = await self.rows(f"SELECT {columns} FROM {table} WHERE run_id = :run", run=run["id"])
                parts.append(f"{table}: {[tuple(map(str, row.values())) for row in found]}")
            with contextlib.suppress(Exception):
                described = await client.get_workflow_handle(run["workflow_id"]).describe()
                parts.append(f"Temporal: {described.status!r}, run {described.run_id}")
                for pending in described.raw_description.pending_activities:
                    failure = await CONVERTER.decode_failure(pending.last_failure)
                    parts.append(
                        f"pending {pending.activity_type.name}, attempt {pending.attempt}, {failure}"
                    )
            lines.append("\n  ".join(parts))
        entered = await self.rows(f"SELECT c.external_id AS name FROM {OF_CUSTOMER}")
        never = sorted(set(self.people) - {row["name"] for row in entered})
        waiting = await self.rows("SELECT count(*) AS n FROM evaluations")
        lines.insert(
            0, f"{len(lines)} runs are open; not entered: {never}; to be evaluated: {waiting[0]['n']}"
        )
        return "\n".join(lines[:15])

    async def check(self) -> Counter[str]:
        """Hold the books against what the providers took; what became of messages, by channel and state."""
        problems = []
        smtp, twilio = self.installation.smtp, self.installation.twilio
        taken = Counter([mail.delivery for mail in smtp.accepted] + [one.delivery for one in twilio.accepted])
        problems += [f"{delivery} was accepted {n} times" for delivery, n in taken.items() if n > 1]
        deliveries = await self.rows("SELECT * FROM deliveries")
        known = {str(row["id"]) for row in deliveries}
        problems += [
            f"{delivery} was accepted and isn't in the ledger" for delivery in taken if delivery not in known
        ]
        for row in deliveries:
            times, what = taken[str(row["id"])], f"{row['channel']} {row['step']} of run {row['run_id']}"
            match row["channel"], row["state"]:
                case (("email" | "sms"), "accepted"):
                    fine = times == 1
                case "in_app", "accepted":
                    fine = times == 0
                case _, "failed" | "skipped":
                    fine = times == 0
                case "email", "unknown":
                    fine = row["reconciled_at"] is not None
                case _:
                    fine = False
            if not fine:
                problems.append(f"{what}: {row['state']}, {times} times at the provider; {row['error']}")
        for row in await self.rows(
            "SELECT r.*, c.external_id AS name, "
            "(SELECT count(*) FROM intervention_executions e WHERE e.run_id = r.id) AS executions, "
            "(SELECT count(*) FROM tasks t WHERE t.run_id = r.id AND t.state = 'open') AS open_tasks, "
            f"(SELECT count(*) FROM waits w WHERE w.run_id = r.id) AS open_waits FROM {OF_CUSTOMER}"
        ):
            problems += await self._check_run(row)
        runs = Counter(
            row["name"] for row in await self.rows(f"SELECT c.external_id AS name FROM {OF_CUSTOMER}")
        )
        problems += [f"{name} had {runs[name]} runs" for name in self.people if runs[name] != 1]
        assert not problems, "\n".join(problems)
        return Counter(
            f"{row['channel']} {row['state']}"
            + (f" (taken {taken[str(row['id'])]})" if row["state"] == "unknown" else "")
            for row in deliveries
        )

    async def _check_run(self, run: Mapping[str, Any]) -> list[str]:
        person, problems = self.people[run["name"]], []
        who = f"{person} in run {run['id']}"
        if run["outcome"] != person.outcome:
            problems.append(f"{who} ended {run['outcome']}: {run['reason']}, not {person.outcome}")
        left = (run["executions"], run["open_tasks"], run["open_waits"])
        if left != (1, 0, 0):
            problems.append(f"{who}: (executions, open tasks, open waits) are {left}")
        rows = await self.rows(
            "SELECT step, word, outcome FROM run_steps WHERE run_id = :run ORDER BY at", run=run["id"]
        )
        # Of a mail whose answer was lost nobody can say more than that.
        steps = [
            (r["step"], "sent" if (r["word"], r["outcome"]) == ("email", "unknown") else r["outcome"])
            for r in rows
        ]
        expected = person.steps
        if person.playbook == "reached":
            # The goal may be reached before any of its steps, or while one is held until its provider is well again.
            expected = expected[: len(steps)]
            if steps and steps[-1][1] == "holding":
                expected = [*expected[:-1], (expected[-1][0], "holding")]
        if steps != expected:
            problems.append(f"{who} went {steps}, not {expected}")
        return problems
