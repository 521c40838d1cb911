"""A STOP among thousands of sends to the same number: what was claimed after its commit, which must be nothing.

    python -m bench.stop_race --sends 10000

Real PostgreSQL, ledger and hook processing; the provider is this process and counts. What was claimed before the commit
may still be on its way then, and is counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.delivery import MessageDelivery
from activities.links import NO_LINKS
from activities.steps import StepOpening
from activities.versions import Versions
from channels.outcome import OutgoingMessage, Receipt, Unanswerable
from cli.leaving import leave
from loops.evaluator import Evaluator
from loops.hooks import HookProcessing
from schemas.catalogue import load_catalogue
from schemas.condition import AllOf, EventCount
from schemas.incoming import IncomingEvent
from schemas.plan import Act, CompiledPlaybook, Enter
from schemas.policy import Policy
from schemas.run import StepCall, StepResult
from store.database import DATABASE_AWAY, Database
from store.hooks import store_request
from store.intake import take_in
from store.publishing import publish

PHONE = "+15005550009"
PLAYBOOK = "stop-race"
# As many at a time as a worker carries out.
AT_ONCE = 20


@dataclass(frozen=True)
class Race:
    """What came of it. `late_claims` are rows of the ledger claimed after the STOP's commit: never any.

    `in_flight`: messages that were claimed before the commit and reached the provider after it; `stop_seconds` is how
    long the STOP took from its storage to its commit.
    """

    sends: int
    sent: int
    suppressed: int
    late_claims: int
    in_flight: int
    stop_seconds: float


class CountingChannel:
    """Takes every text message and notes when."""

    name, provider = "sms", "twilio"

    def __init__(self, reach: int) -> None:
        self.taken: list[float] = []
        self.reached = asyncio.Event()
        self._reach = reach

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Take it, as fast as a network might."""
        self.taken.append(time.monotonic())
        if len(self.taken) >= self._reach:
            self.reached.set()
        await asyncio.sleep(0.002)
        return Receipt("twilio", f"SM{uuid.uuid4().hex}")

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """It is never asked."""
        return None

    async def close(self) -> None:
        """Nothing is open."""


async def race(database_url: str, *, sends: int, customers: int, stop_after: int | None = None) -> Race:
    """Send `sends` messages to one number that `customers` share, a STOP coming in after `stop_after` (a third)."""
    per_customer = sends // customers
    database, elsewhere = (
        Database(database_url, connections=AT_ONCE + 2),
        Database(database_url, connections=6),
    )
    opening = StepOpening(database, load_catalogue(), Versions(), NO_LINKS)
    try:
        await _prepare(opening, customers, per_customer)
        channel = CountingChannel(sends // 3 if stop_after is None else stop_after)
        delivery = MessageDelivery(opening, {"sms": channel})
        calls = await _calls(database, per_customer)
        seen_at: list[float] = []
        stored_at = 0.0
        waiting = list(reversed(calls))
        # However slowly the STOP is carried out, a quarter is left to come after it.
        held_back, stopped = len(calls) // 4, asyncio.Event()
        outcomes: dict[str, int] = {}

        async def lane() -> None:
            while waiting:
                if len(waiting) <= held_back:
                    await stopped.wait()
                    if not waiting:
                        return
                said = (await _send(delivery, waiting.pop())).outcome
                outcomes[said] = outcomes.get(said, 0) + 1

        async def stop() -> None:
            nonlocal stored_at
            await channel.reached.wait()
            hooks = HookProcessing(StepOpening(elsewhere, opening.catalogue, Versions(), NO_LINKS))
            stored_at = time.monotonic()
            async with elsewhere.transaction() as connection:
                form = {
                    "MessageSid": f"SM{uuid.uuid4().hex}",
                    "SmsStatus": "received",
                    "From": PHONE,
                    "Body": "STOP",
                }
                await store_request(
                    connection, source="twilio", request_id="stop", body=urlencode(form).encode(), content_type="",
                    query="", now=await elsewhere.clock.read(connection),
                )  # fmt: skip
            watching = asyncio.create_task(_watch(elsewhere))
            while not watching.done():
                await hooks.run_once()
                await asyncio.wait([watching], timeout=0.1)
            seen_at.append(await watching)
            stopped.set()

        await asyncio.gather(stop(), *(lane() for _ in range(AT_ONCE)))
        async with database.transaction() as connection:
            # The word was noted when all who have the number were locked: who claims later does so after the commit.
            late = await connection.execute(
                text("SELECT count(*) FROM deliveries WHERE claimed_at > (SELECT min(at) FROM consents)")
            )
            return Race(
                sends=len(calls),
                sent=outcomes.get("sent", 0),
                suppressed=outcomes.get("suppressed", 0) + outcomes.get("no_consent", 0),
                late_claims=int(late.scalar_one()),
                in_flight=sum(at > seen_at[0] for at in channel.taken),
                stop_seconds=seen_at[0] - stored_at,
            )
    finally:
        await database.close()
        await elsewhere.close()


async def _prepare(opening: StepOpening, customers: int, steps: int) -> None:
    """Customers with one number, each in a run of so many text messages."""
    database, now = opening.database, datetime.now(UTC)
    playbook = CompiledPlaybook(
        name=PLAYBOOK, title="Race", owner="bench", status="live",
        enter=Enter(when=AllOf(items=(EventCount(name="race_wanted", path="enter.when.event.race_wanted"),))),
        steps=tuple(
            Act(id=f"s{number}", word="sms", activity="Delivery.send", sends=True, args={"text": f"Hello {number}"})
            for number in range(steps)
        ),
    )  # fmt: skip
    async with database.transaction() as connection:
        policy = Policy(consent={"sms": "assumed"})
        await publish(connection, {PLAYBOOK: playbook}, {}, policy, author="bench", now=now)
    people = [f"racer-{number}" for number in range(customers)]
    await take_in(database, [_event(one, "identify", now, phone=PHONE) for one in people], move=opening.move)
    await take_in(database, [_event(one, "race_wanted", now) for one in people], move=opening.move)
    evaluator = Evaluator(opening)
    while (await evaluator.run_once()).customers:
        pass


def _event(customer: str, name: str, now: datetime, **traits: str) -> IncomingEvent:
    return IncomingEvent("bench", str(uuid.uuid4()), customer, name, now, now, now.date(), {}, traits)


async def _calls(database: Database, steps: int) -> Sequence[StepCall]:
    """What the runs' workflows would ask for, one customer's after another's."""
    now = datetime.now(UTC)
    async with database.transaction() as connection:
        runs = [str(row.id) for row in await connection.execute(text("SELECT id FROM runs ORDER BY id"))]
    return [
        StepCall(run_id=run, execution_id="race", step=f"s{number}", occurrence=0, due_at=now, at=now)
        for number in range(steps)
        for run in runs
    ]


async def _send(delivery: MessageDelivery, call: StepCall) -> StepResult:
    """Send, and again for as long as Temporal would."""
    while True:
        try:
            return await delivery.send(call)
        except DATABASE_AWAY:
            await asyncio.sleep(0.1)
        except ApplicationError as error:
            await asyncio.sleep((error.next_retry_delay or timedelta(seconds=0.1)).total_seconds())


async def _watch(database: Database) -> float:
    """When somebody else first sees that the number is suppressed, on `time.monotonic`."""
    while True:
        async with database.transaction() as connection:
            found = await connection.execute(text("SELECT 1 FROM suppressions WHERE reason = 'stop' LIMIT 1"))
            if found.first() is not None:
                return time.monotonic()
        await asyncio.sleep(0.001)


async def _run(sends: int, customers: int) -> Race:
    from bench.system import run_system

    async with run_system(lambda line: print(line, flush=True), processes=False) as system:
        begun = time.monotonic()
        done = await race(system.database_url, sends=sends, customers=customers)
        print(f"{time.monotonic() - begun:.1f} s")
        return done


def main() -> int:
    """Race, print what came of it; 1 where anything was claimed after the STOP."""
    parser = argparse.ArgumentParser(prog="python -m bench.stop_race", description=__doc__)
    parser.add_argument("--sends", type=int, default=10_000)
    parser.add_argument("--customers", type=int, default=100, help="who share the number")
    arguments = parser.parse_args()
    done = asyncio.run(_run(arguments.sends, arguments.customers))
    print(done)
    return 1 if done.late_claims or done.sent + done.suppressed != done.sends else 0


if __name__ == "__main__":
    leave(main())
