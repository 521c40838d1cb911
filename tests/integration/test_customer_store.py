"""A customer's line of happenings is complete, in order, and goes on where the page before ended."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, insert

from schemas.signal_value import WrongType
from store import signals, tables
from store.database import Connection, Database
from store.reading_customer import KINDS, Kind, TimelineRow, list_timeline, load_signals
from store.signals import StoredSignals

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
LEVELS = ("critical", "at_risk", "healthy")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def add_customer(connection: Connection, name: str) -> str:
    row = await connection.execute(
        insert(tables.customers).values(external_id=name, created_at=NOW).returning(tables.customers.c.id)
    )
    return str(row.scalar_one())


class Course:
    """What is written of one customer, and what their line is to tell: (kind, name, state) by moment."""

    def __init__(self, draw: random.Random, customer: str) -> None:
        self.rows: list[tuple[Table, dict[str, Any]]] = []
        self.told: list[tuple[datetime, Kind, str, str]] = []
        self._draw, self._who = draw, {"customer_id": customer}
        for _ in range(draw.randrange(40)):
            self._event()
        for number in range(draw.randrange(4)):
            self._run(number)
        self._levels(tables.customer_health, "day", "health")
        self._levels(tables.churn_predictions, "prediction_date", "churn")
        for _ in range(draw.randrange(5)):
            granted, at = draw.random() < 0.5, self._moment()
            word = {
                "channel": "email",
                "topic": draw.choice(["", "tips"]),
                "granted": granted,
                "source": "form",
            }
            self.rows.append((tables.consent_events, self._who | word | {"at": at, "received_at": at}))
            name = f"email:{word['topic']}" if word["topic"] else "email"
            self.told.append((at, "consent", name, "granted" if granted else "refused"))

    def _moment(self) -> datetime:
        # Many on the same moment, so that its order has to be told by more than time; and years ago.
        days = self._draw.choice([0, 0, 1, 3, 61, 62, 63, 200, 700])
        return NOW - timedelta(days=days, hours=self._draw.randrange(3))

    def _event(self) -> None:
        at, name = self._moment(), self._draw.choice(["login", "feature_used"])
        self.rows.append((tables.events, self._who | {
            "day": at.date(), "source": "s", "message_id": str(uuid.uuid4()), "name": name, "at": at, "received_at": at,
        }))  # fmt: skip
        self.told.append((at, "event", name, ""))

    def _run(self, number: int) -> None:
        entered, draw = self._moment(), self._draw
        ended = entered + timedelta(minutes=5) if draw.random() < 0.5 else None
        run = str(uuid.uuid4())
        self.rows.append((tables.runs, self._who | {
            "id": run, "playbook": f"p{number}", "version": "v", "arm": "treated", "entered_at": entered,
            "workflow_id": "w", "state": "ended" if ended else "running", "ended_at": ended,
            "outcome": "success" if ended else None,
        }))  # fmt: skip
        self.told.append((entered, "run", f"p{number}", "entered"))
        if ended:
            self.told.append((ended, "run", f"p{number}", "success"))
        here = self._who | {"run_id": run, "step": "steps[0].email", "occurrence": 0}
        self.rows.append((tables.run_steps, {
            "run_id": run, "step": "steps[0].email", "occurrence": 0, "word": "email", "outcome": "sent", "at": entered,
        }))  # fmt: skip
        self.told.append((entered, "step", "steps[0].email", "sent"))
        self.rows.append((tables.deliveries, here | {
            "id": str(uuid.uuid4()), "channel": "email", "state": "accepted", "created_at": entered,
            "status": draw.choice(["", "opened"]),
        }))  # fmt: skip
        self.told.append((entered, "message", "email", self.rows[-1][1]["status"] or "accepted"))
        done = entered + timedelta(hours=1) if draw.random() < 0.5 else None
        self.rows.append((tables.tasks, here | {
            "id": str(uuid.uuid4()), "kind": "call", "title": "Call", "assignee": "anna", "outcomes": ["reached"],
            "state": "done" if done else "open", "outcome": "reached" if done else None, "created_at": entered,
            "closed_at": done, "due_at": entered, "give_up_at": entered,
        }))  # fmt: skip
        self.told.append((entered, "task", "Call", "open"))
        if done:
            self.told.append((done, "task", "Call", "reached"))

    def _levels(self, table: Table, day_name: str, name: str) -> None:
        before: str | None = None
        for back in (720, 90, 63, 62, 61, 60, 40, 3, 2, 1, 0):
            if self._draw.random() < 0.3:
                continue
            day, level = TODAY - timedelta(days=back), self._draw.choice(LEVELS)
            at = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
            said: dict[str, Any] = {day_name: day, "risk_level": level, "calculated_at": at}
            if name == "health":
                said |= {"health_score": 50, "model": "m"}
            else:
                said |= {"churn_probability": 0.5, "source": "model", "model_version": "v", "model_confidence": "high",
                         "intervention_recommended": False, "intervention_priority": 1}  # fmt: skip
            self.rows.append((table, self._who | said))
            if before is not None and before != level:
                self.told.append((at, "level", name, level))
            before = level


async def walk(
    connection: Connection, customer: str, kinds: tuple[Kind, ...], limit: int
) -> list[TimelineRow]:
    found: list[TimelineRow] = []
    while True:
        rows = await list_timeline(
            connection, customer, NOW, kinds=kinds, limit=limit, before=found[-1].place if found else None
        )
        found += rows
        if len(rows) < limit:
            return found


@pytest.mark.parametrize("seed", range(6))
async def test_every_happening_is_told_once_newest_first_whatever_the_pages(
    database: Database, seed: int
) -> None:
    draw = random.Random(seed)
    async with database.transaction() as connection:
        customer, other = await add_customer(connection, "a"), await add_customer(connection, "b")
        course = Course(draw, customer)
        for table, row in (*course.rows, *Course(draw, other).rows):
            await connection.execute(insert(table).values(row))
        for kinds in (KINDS, *((kind,) for kind in KINDS)):
            expected = sorted(one for one in course.told if one[1] in kinds)
            found = await walk(connection, customer, kinds, draw.choice([3, 7, 100]))
            told = [(row.at, row.kind, row.name, row.state) for row in found]
            assert sorted(told) == expected
            assert [row.at for row in found] == sorted((row.at for row in found), reverse=True)
            assert len({row.key for row in found}) == len(found)


async def test_a_signal_says_since_when_it_is_what_it_is(database: Database) -> None:
    async with database.transaction() as connection:
        customer = await add_customer(connection, "a")
        assert await load_signals(connection, customer, NOW) == ({}, None)
        stamp = NOW - timedelta(days=9)
        values: dict[str, Any] = {
            "plan": "pro", "team_size": 3, "open_tickets": 2, "tags": ("vip",), "shoe_size": 41,
            "monthly_price": WrongType("lots"),
        }  # fmt: skip
        await signals.save(connection, [StoredSignals(customer, values, {"plan": stamp})], NOW)
        days: dict[date, dict[str, Any]] = {
            TODAY: {"team_size": 3, "open_tickets": 1, "tags": ["vip"], "custom": {"shoe_size": 41}},
            TODAY - timedelta(days=1): {
                "team_size": 3,
                "open_tickets": 1,
                "tags": [],
                "custom": {"shoe_size": 41},
            },
            TODAY - timedelta(days=4): {
                "team_size": 2,
                "open_tickets": 1,
                "tags": [],
                "custom": {"shoe_size": 41},
            },
        }
        for day, known in days.items():
            await connection.execute(
                insert(tables.signal_history).values(customer_id=customer, day=day, known_at=NOW, **known)
            )
        # A repair said something else of yesterday, and that holds.
        again = days[TODAY - timedelta(days=1)] | {"team_size": 7}
        await connection.execute(
            insert(tables.signal_history).values(
                customer_id=customer, day=TODAY - timedelta(days=1), revision=1, known_at=NOW, **again
            )
        )
        found, changed_at = await load_signals(connection, customer, NOW)
    assert changed_at == NOW
    assert (found["plan"].value, found["plan"].set_at) == ("pro", stamp)
    assert found["team_size"].since == TODAY
    assert found["tags"].since == TODAY
    # No midnight has seen two tickets yet.
    assert found["open_tickets"].since == TODAY + timedelta(days=1)
    assert found["shoe_size"].since is None
    assert (found["monthly_price"].value, found["monthly_price"].wrong) == ("lots", True)
