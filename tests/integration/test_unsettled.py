"""Messages under way when something else happens: each is seen to its end, and none is sent twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from temporalio.testing import ActivityEnvironment

from activities.claims import Unsettled
from activities.delivery import MessageDelivery
from activities.steps import StepOpening
from activities.transmission import Transmission
from activities.versions import Versions
from channels.outcome import Channel
from schemas.catalogue import load_catalogue
from schemas.plan import EventMatch, Goal
from schemas.run import StepCall
from store import inbox
from store.claiming import settle
from store.customers import lock_customers
from store.deliveries import lock_delivery
from store.tasks import complete_task
from tests.integration.plans import DAY, ada, call, email, playbook, sms
from tests.integration.running_engine import House

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"
IMPORTED = Goal(name="imported", event=EventMatch(name="client_imported"), within_seconds=7 * DAY)


async def test_what_may_have_been_sent_is_looked_up_though_the_goal_is_reached_meanwhile(
    house: House,
) -> None:
    house.twilio.programme.script.extend(["cut_after"])
    await house.engine.publish(playbook(sms("nudge"), email("more"), goal=IMPORTED))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'unknown'")
    await house.engine.send("ada", "client_imported")
    [run] = await house.engine.until(ENDED)
    [delivery] = await house.engine.rows("SELECT state, reconciled_at FROM deliveries")
    assert (run["outcome"], delivery["state"], delivery["reconciled_at"] is not None) == (
        "success",
        "accepted",
        True,
    )
    assert len(house.twilio.accepted) == 1


async def test_what_surely_was_not_sent_is_dropped_when_the_goal_is_reached(house: House) -> None:
    house.smtp.programme.script.extend(["451_at_rcpt"])
    await house.engine.publish(playbook(email("greet"), email("more"), goal=IMPORTED))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'retrying'")
    await house.engine.send("ada", "client_imported")
    await house.engine.until(ENDED)
    [delivery] = await house.engine.rows("SELECT state, error_code FROM deliveries")
    assert delivery == {"state": "skipped", "error_code": "run_ended"}
    assert not house.smtp.accepted


async def test_another_message_with_the_same_words_is_not_taken_for_a_lost_one(house: House) -> None:
    house.twilio.programme.script.extend(["ok", "cut_before"])
    await house.engine.publish(playbook(sms("first"), sms("second")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(ENDED)
    deliveries = await house.engine.rows("SELECT state FROM deliveries ORDER BY created_at")
    assert [row["state"] for row in deliveries] == ["accepted", "unknown"]
    assert len(house.twilio.accepted) == 1


async def test_an_outcome_stays_what_it_was_when_temporal_asks_again(house: House) -> None:
    """The worker was killed after the ledger knew and before Temporal did."""
    house.twilio.programme.script.extend(["21610"])
    await house.engine.publish(playbook(sms("nudge"), call("ring")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM tasks")
    [run] = await house.engine.rows("SELECT id, execution_id FROM runs")
    now = datetime.now(UTC)
    again = StepCall(
        run_id=str(run["id"]), execution_id=run["execution_id"], step="nudge", due_at=now, at=now
    )
    channels: dict[str, Channel] = {}
    opening = StepOpening(house.engine.database, load_catalogue(), Versions())
    result = await ActivityEnvironment().run(MessageDelivery(opening, channels).send, again)
    assert result.outcome == "suppressed"


async def test_a_look_up_that_ends_after_the_providers_report_does_not_overrule_it(house: House) -> None:
    house.twilio.programme.script.extend(["cut_after"])
    await house.engine.publish(playbook(sms("greet")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [found] = await house.engine.until("SELECT id FROM deliveries WHERE state = 'unknown'")
    async with house.engine.database.transaction() as connection:
        delivery = await lock_delivery(connection, str(found["id"]))
        assert delivery is not None
        # The report; nobody who holds the row from before knows of it.
        await settle(connection, delivery.id, delivery.attempt, "accepted", datetime.now(UTC))
    now = datetime.now(UTC)
    [run] = await house.engine.rows("SELECT id, execution_id FROM runs")
    asked = StepCall(
        run_id=str(run["id"]), execution_id=run["execution_id"], step="greet", due_at=now, at=now
    )
    opening = StepOpening(house.engine.database, load_catalogue(), Versions())
    transmission = Transmission(opening, {}, settle_seconds=0.5)
    result = await ActivityEnvironment().run(transmission.reconcile, asked, Unsettled(delivery, None, 0.0))
    assert result.outcome == "sent"
    [row] = await house.engine.rows("SELECT state FROM deliveries")
    assert row["state"] == "accepted"


async def test_what_a_person_says_reaches_the_inbox_in_its_turn(house: House) -> None:
    """Entries are numbered when written: none may become visible before another with a lower number."""
    engine = house.engine
    await engine.publish(playbook(call("ring")))
    await ada(house)
    await engine.send("ada", "help_wanted")
    [task] = await engine.until("SELECT id, run_id, customer_id FROM tasks WHERE state = 'open'")
    drawn = "SELECT last_value FROM pg_sequences WHERE sequencename LIKE 'run_inbox%'"
    blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with engine.database.transaction() as connection:
        # As the evaluator does it.
        await lock_customers(connection, [str(task["customer_id"])])
        await inbox.post(
            connection, str(task["run_id"]), "event", datetime.now(UTC), step="x", outcome="then"
        )
        before = await engine.rows(drawn)
        saying = complete_task(engine.database, str(task["id"]), "reached", by="grace")
        completing = asyncio.create_task(saying)
        await engine.until(blocked)
        assert await engine.rows(drawn) == before
    await completing
    entries = await engine.rows("SELECT kind FROM run_inbox ORDER BY seq")
    assert [row["kind"] for row in entries] == ["event", "task"]
