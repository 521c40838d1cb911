"""One run of all kinds of steps, whose activities are carried out by hand, and everybody they talk to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.carrying import StepCarrying
from activities.delivery import MessageDelivery
from activities.entries import EntryAsking
from activities.marks import Marks
from activities.rewards import Rewards
from activities.tasks import HumanTasks
from activities.waiting import Waiting
from schemas.condition import AllOf, Compare
from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.plan import BeforeDate, Branch, CalendarDays, EventMatch, Step, Wait, WaitFor
from schemas.run import StepCall, StepResult
from schemas.step_type import Done, StepType, Work
from store.database import DATABASE_AWAY
from store.tables import metadata
from tests.integration.message_desk import OPEN, TEMPLATES, MessageDesk, open_message_desk
from tests.integration.step_desk import START, act

Carry = Callable[[StepCall], Awaitable[StepResult]]
PRO = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="if.plan"),))


class Shop:
    """Another system that a step of a registered type talks to; it counts what it did for whom."""

    def __init__(self) -> None:
        self.script: list[BaseException] = []
        self.asked: list[str] = []

    async def __call__(self, work: Work) -> Done:
        self.asked.append(work.key)
        if self.script:
            raise self.script.pop(0)
        return Done("done", {"number": 7})


class OrderArguments(Frozen):
    """What is ordered."""

    note: Part


@dataclass
class Bench:
    """One run of all steps, whose activities are carried out by hand, and everybody they talk to."""

    desk: MessageDesk
    run: str
    shop: Shop
    carry: dict[str, Carry]
    occurrence: int = -1
    due_at: datetime = START

    def begin(self) -> None:
        """Another round of the steps falls due."""
        self.occurrence += 1
        self.due_at = self.desk.now

    async def insist(self, activity: str, step: str, **more: Any) -> StepResult:
        """Ask until there is an answer, as Temporal does."""
        for _ in range(12):
            call = self.desk.steps.call(self.run, step, self.occurrence, **more)
            call = call.model_copy(update={"due_at": self.due_at})
            try:
                return await self.carry[activity](call)
            except DATABASE_AWAY:
                continue
            except ApplicationError as error:
                self.desk.steps.clock.now += (error.next_retry_delay or timedelta()) + timedelta(seconds=1)
        raise AssertionError(f"{activity} of {step} never ends")

    async def counts(self) -> dict[str, int]:
        """How many rows each table has, and how often everybody outside took something."""
        tables = [table.name for table in metadata.sorted_tables]
        counted = ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in tables)
        [row] = await self.desk.rows(f"SELECT {counted}")
        outside = {f"sent by {channel}": n for channel, n in self.desk.providers.sent().items()}
        return {**row, **outside, "asked of the shop": len(set(self.shop.asked))}

    async def states(self) -> dict[str, list[tuple[Any, ...]]]:
        """What this occurrence came to, wherever that is written."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for table, columns in {
            "deliveries": "step, channel, state, provider, error_code",
            "run_steps": "step, word, outcome, output::text",
            "tasks": "step, state, outcome, assignee, escalated_to",
            "rewards": "step, feature",
            "waits": "step",
        }.items():
            rows = await self.desk.rows(
                f"SELECT {columns} FROM {table} WHERE run_id = :run AND occurrence = :occurrence ORDER BY 1",
                run=self.run, occurrence=self.occurrence,
            )  # fmt: skip
            found[table] = [tuple(row.values()) for row in rows]
        return found

    async def everything(self) -> dict[str, list[str]]:
        """Every row of every table."""
        found: dict[str, list[str]] = {table.name: [] for table in metadata.sorted_tables}
        told = " UNION ALL ".join(f"SELECT '{name}' AS name, t::text AS row FROM {name} t" for name in found)
        for row in await self.desk.rows(told):
            found[row["name"]].append(row["row"])
        return {name: sorted(rows) for name, rows in found.items()}


def all_steps(order: StepType, again: StepType) -> tuple[Step, ...]:
    """One of each kind, and messages by providers that can and can't be asked."""
    return (
        act("email", template="nudge"), act("sms", template="nudge"), act("push", template="nudge"),
        act("message", template="nudge", channels=["sms", "email"]), act("in_app", template="nudge"),
        act("task", title="Help {{ customer.first_name }}", escalate={"after": "24h", "to": "lead"}),
        act("reward", feature="premium", **{"for": "7d"}), act("set", tag="vip"), act("start", playbook="other"),
        act(order, note="x"), act(again, note="x"),
        Branch(id="which", when=PRO, then=(), otherwise=()),
        Wait(id="workday", spec=CalendarDays(days=1)),
        Wait(id="renewal", spec=BeforeDate(signal="renewal_date", seconds=86400)),
        WaitFor(id="reply", event=EventMatch(name="replied"), for_seconds=3600),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def open_bench(database_url: str, directory: Path) -> AsyncIterator[Bench]:
    """A bench whose run stands at its first step."""
    shop = Shop()
    order = StepType(word="order", about="Orders.", arguments=OrderArguments, carry_out=shop)
    again = StepType(
        word="reorder", about="Orders.", arguments=OrderArguments, carry_out=shop, repeatable=True
    )
    async with open_message_desk(database_url, directory) as desk:
        await desk.steps.identify(plan="pro", renewal_date="2027-05-01")
        await desk.steps.publish("other", Wait(id="stand", spec=CalendarDays(days=1)))
        run = await desk.steps.enter(*all_steps(order, again), templates=TEMPLATES, policy=OPEN)
        opening = desk.steps.opening
        delivery = MessageDelivery(opening, desk.channels)
        tasks, waiting = HumanTasks(opening), Waiting(opening)
        carrying = StepCarrying(opening, {"order": order, "reorder": again})
        carry: dict[str, Carry] = {
            "Delivery.send": delivery.send, "Delivery.show": delivery.show, "Tasks.assign": tasks.assign,
            "Tasks.escalate": tasks.escalate, "Tasks.close": tasks.close, "Reward.grant": Rewards(opening).grant,
            "Mark.set": Marks(opening).set, "Entry.ask": EntryAsking(opening).ask, "Condition.check": waiting.check,
            "Step.skip": waiting.skip, "Wait.resolve": waiting.resolve, "Wait.listen": waiting.listen,
            "Wait.close": waiting.close, "Step.carry_out": carrying.carry_out,
        }  # fmt: skip
        yield Bench(desk, run, shop, carry)
