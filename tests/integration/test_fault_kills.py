"""kill -9 at chosen moments: what was under way is seen to its end, once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from tests.integration.crowd import Person
from tests.integration.running_engine import eventually
from tests.integration.test_kills import one_world
from tests.integration.world import OF_CUSTOMER, World

# One for each moment at which the worker is killed.
BEFORE, AFTER, RECORDED = (
    Person(name, "missed", "pro", f"+155555501{n:02d}", "reached")
    for n, name in enumerate(("before-request", "after-request", "recorded"))
)
# They are in the middle of a pause when Temporal is killed.
PAUSING = [Person(f"pausing-{n}", "missed", "pro", f"+155555502{n:02d}", "reached") for n in range(6)]
# They do what makes them enter while it is down.
MEANWHILE = [Person(f"meanwhile-{n}", "missed", "pro", f"+155555503{n:02d}", "reached") for n in range(4)]


@pytest.mark.timeout(480)
async def test_each_message_leaves_once_and_each_timer_fires_once_whenever_worker_and_temporal_die() -> None:
    """The worker dies before its request, after it, and after the record of it; then Temporal, with timers due."""
    async with one_world(BEFORE, AFTER, RECORDED, *PAUSING, *MEANWHILE) as world:
        await kill_the_worker_at_three_points(world)
        # While Temporal waits for what the dead worker had begun:
        await kill_temporal_with_timers_due(world)
        await world.until_all_ended(240)
        await world.until_temporal_rests()
        # Every mail and text was taken once, the ledger says so, every run went its whole way, none began twice.
        came_to = await world.check()
        assert came_to == {"email accepted": 13, "sms accepted": 13}
        [first], [second], [third] = [await texts(world, one) for one in (BEFORE, AFTER, RECORDED)]
        assert (first["attempt"], first["reconciled_at"]) == (2, None)
        assert (second["attempt"], second["reconciled_at"] is not None) == (1, True)
        assert (third["attempt"], third["reconciled_at"]) == (1, None)


async def kill_the_worker_at_three_points(world: World) -> None:
    """One kill -9: the provider hasn't got the first message, has got the second, and the ledger knows the third."""
    twilio, temporal = world.installation.twilio, world.installation.temporal
    asked = len(twilio.requests)
    for one, fault in ((BEFORE, "hang_before"), (AFTER, "hang_after"), (RECORDED, "held_before")):
        twilio.faults_of[one.phone] = fault
        await world.enter(one)
    await until_longer(twilio.requests, asked + 2)
    # From here on the worker can note what it did, and can't tell Temporal.
    assert temporal.process is not None
    os.kill(temporal.process.pid, signal.SIGSTOP)
    try:
        twilio.go_on.set()
        await eventually(lambda: texts(world, RECORDED), lambda rows: rows[0]["state"] == "accepted")
        states = {(await texts(world, one))[0]["state"] for one in (BEFORE, AFTER)}
        # A worker that was kept waiting for longer than a provider is given has noted that it doesn't know.
        assert states <= {"claimed", "unknown"}
        assert [twilio.count_body(f"Hi {one.name}") for one in (BEFORE, AFTER, RECORDED)] == [0, 1, 1]
        world.installation.workers[0].kill()
    finally:
        os.kill(temporal.process.pid, signal.SIGCONT)


async def kill_temporal_with_timers_due(world: World) -> None:
    """Pauses of a second end, and people enter, while there is no Temporal."""
    for one in PAUSING:
        await world.enter(one)
    await world.until(
        "SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'accepted'",
        lambda rows: len(rows) == 3 + len(PAUSING),
    )
    await world.installation.temporal.end(signal.SIGKILL)
    for one in MEANWHILE:
        await world.enter(one)
    await asyncio.sleep(1.5)
    await world.installation.temporal.start()


async def texts(world: World, one: Person) -> list[dict[str, object]]:
    """The ledger's rows of this person's texts."""
    return await world.rows(
        f"SELECT d.state, d.attempt, d.reconciled_at FROM {OF_CUSTOMER} JOIN deliveries d ON d.run_id = r.id "
        "WHERE c.external_id = :name AND d.channel = 'sms'",
        name=one.name,
    )


async def until_longer(seen: Sequence[object], than: int) -> None:
    async def look() -> int:
        return len(seen)

    await eventually(look, lambda length: length > than)
