"""Bad messages, bad customers and a database that fails: nothing wrong leaves, and nothing leaves twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.delivery import MessageDelivery
from schemas.plan import Elapsed, Wait
from store.contact import declare_consents
from store.customers import lock_customers
from store.database import DATABASE_AWAY
from tests.integration.message_desk import MessageDesk, open_message_desk
from tests.integration.plans import ada, email, playbook, sms
from tests.integration.running_engine import House, eventually
from tests.integration.step_desk import act

# Passes every check of its size, and would multiply a text for ever.
BOMB = "{% set a = customer.first_name %}" + "{% set a = a + a %}" * 40 + "{{ a }}"


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as opened:
        yield opened


async def test_a_template_bomb_fails_its_step_and_the_worker_goes_on_with_other_runs(house: House) -> None:
    await house.engine.publish(
        playbook(email("bomb", BOMB), email("after"), name="bombing"), playbook(sms("nudge"))
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(
        "SELECT 1 FROM runs WHERE ended_at IS NOT NULL", holds=lambda rows: len(rows) == 2
    )
    states = await house.engine.rows("SELECT step, state, error_code FROM deliveries ORDER BY step")
    assert [tuple(row.values()) for row in states] == [
        ("after", "accepted", None), ("bomb", "failed", "template"), ("nudge", "accepted", None),
    ]  # fmt: skip
    assert (len(house.smtp.accepted), len(house.twilio.accepted)) == (1, 1)


@pytest.mark.parametrize("smuggled", ["x\r\nBcc: eve@example.com", "=?utf-8?q?a=0ABcc:_eve@example.com?="])
async def test_what_a_customer_is_called_makes_no_header_and_no_second_recipient(
    smuggled: str, desk: MessageDesk
) -> None:
    await desk.steps.identify(first_name=smuggled)
    run = await desk.enter(act("email", "hello", subject="For {{ customer.first_name }}", text="Hi"))
    result = await desk.carry_through(run, "hello")
    assert result.outcome in ("sent", "failed")
    for mail in desk.providers.smtp.accepted:
        assert mail.recipients == ("ada@example.com",)
        assert mail.message.get_all("Bcc") is None
        assert len(mail.message.get_all("Subject") or ()) == len(mail.message.get_all("To") or ()) == 1


@pytest.mark.parametrize(
    "address",
    ["ada@example.com, eve@example.com", "ada@example.com\r\nRCPT TO:<eve@example.com>", "Ada <a@b.example>"],
)
async def test_an_address_that_is_two_is_refused_and_nobody_gets_the_mail(
    address: str, desk: MessageDesk
) -> None:
    await desk.steps.identify(email=address)
    run = await desk.enter(act("email", "hello", subject="Hi", text="Hi"))
    assert (await desk.carry_through(run, "hello")).outcome == "failed"
    assert desk.providers.smtp.accepted == []
    assert [state for (state,) in await desk.ledger("state")] == ["failed"]


async def test_a_provider_that_asks_for_seven_seconds_gets_them_and_other_channels_go_on(
    desk: MessageDesk,
) -> None:
    desk.providers.twilio.programme.script.append("429")
    run = await desk.enter(act("sms", "text", text="Hi"), act("email", "mail", subject="Hi", text="Hi"))
    with pytest.raises(ApplicationError) as refused:
        await desk.carry_out(run, "text")
    assert refused.value.next_retry_delay == timedelta(seconds=7)
    desk.steps.clock.now += timedelta(seconds=6.9)
    with pytest.raises(ApplicationError):
        await desk.carry_out(run, "text")
    assert desk.providers.twilio.requests == ["POST"]
    assert (await desk.carry_out(run, "mail")).outcome == "sent"
    desk.steps.clock.now += timedelta(seconds=0.2)
    assert (await desk.carry_out(run, "text")).outcome == "sent"
    assert desk.providers.sent() == {"email": 1, "sms": 1}


async def test_a_connection_that_dies_in_the_claims_transaction_leaves_no_claim_and_the_retry_sends_once(
    desk: MessageDesk,
) -> None:
    run = await desk.enter(act("email", "mail", subject="Hi", text="Hi"))
    [customer] = await desk.rows("SELECT id::text FROM customers")
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with desk.steps.database.transaction() as other:
        await lock_customers(other, [customer["id"]])
        sending = asyncio.create_task(desk.carry_out(run, "mail"))
        [blocked] = await eventually(lambda: desk.rows(waiting))
        await desk.rows("SELECT pg_terminate_backend(:pid)", pid=blocked["pid"])
        with pytest.raises(DATABASE_AWAY):
            await sending
    assert await desk.ledger("state") == []
    assert (await desk.carry_out(run, "mail")).outcome == "sent"
    assert await desk.ledger("state, attempt") == [("accepted", 1)]
    assert len(desk.providers.smtp.accepted) == 1


async def test_while_the_database_takes_no_writes_nothing_is_claimed_or_sent_and_then_it_goes_on(
    house: House,
) -> None:
    engine = house.engine
    # On a machine so busy that the pause is over before writes are refused, it has to be longer.
    for number, pause_seconds in enumerate((2, 10, 40), 1):
        pause = Wait(id="pause", spec=Elapsed(seconds=pause_seconds))
        await engine.publish(playbook(email("first"), pause, sms("second")))
        who = f"ada-{number}"
        await engine.identify(who, first_name="Ada", email="ada@example.com", phone="+15005550009")
        await engine.send(who, "help_wanted")
        await engine.until(
            "SELECT 1 FROM run_steps WHERE step = 'first' AND outcome = 'sent'",
            holds=lambda rows, number=number: len(rows) == number,  # type: ignore[misc]
        )
        set_read_only(engine.database.url, on=True)
        try:
            found = await eventually(
                lambda: engine.rows("SELECT count(*) AS n FROM deliveries WHERE channel = 'sms'")
            )
            too_late = found[0]["n"] == number
            if not too_late:
                # The pause ends in the midst of this.
                await asyncio.sleep(pause_seconds + 1.5)
                assert len(house.twilio.requests) == number - 1
                with pytest.raises(DATABASE_AWAY):
                    await engine.send(who, "anything")
        finally:
            set_read_only(engine.database.url, on=False)
        await engine.until(
            "SELECT 1 FROM runs WHERE outcome = 'completed'",
            holds=lambda rows, number=number: len(rows) == number,  # type: ignore[misc]
        )
        assert (len(house.smtp.accepted), len(house.twilio.accepted)) == (number, number)
        if not too_late:
            return
    pytest.fail("the pause was always over before writes were refused")


@pytest.mark.parametrize(
    "messages", [150, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
async def test_of_messages_that_race_a_stop_exactly_those_leave_that_were_claimed_before_its_commit(
    messages: int, desk: MessageDesk
) -> None:
    run = await desk.enter(act("sms", "text", text="Hi"))
    delivery = MessageDelivery(desk.steps.opening, desk.channels)
    crowd, stopped = asyncio.Semaphore(20), asyncio.Event()

    async def send(occurrence: int) -> str:
        if occurrence >= messages * 3 // 4:
            # However slowly the STOP is carried out, these come after it.
            await stopped.wait()
        async with crowd:
            return (await delivery.send(desk.steps.call(run, "text", occurrence))).outcome

    sending = [asyncio.create_task(send(n)) for n in range(messages)]

    async def count_taken() -> int:
        return len(desk.providers.twilio.accepted)

    await eventually(count_taken, lambda taken: taken >= messages // 5, 120)
    [customer] = await desk.rows("SELECT id::text FROM customers")
    async with desk.steps.database.transaction() as connection:
        await declare_consents(connection, customer["id"], {("sms", ""): False}, source="reply", now=desk.now)
        # Whoever claims holds the customer's lock, which is ours until the commit: this number is exact.
        rows = await connection.execute(
            text("SELECT count(*) FROM deliveries WHERE state IN ('claimed', 'accepted')")
        )
        claimed = rows.scalar_one()
    stopped.set()
    outcomes = Counter(await asyncio.gather(*sending))
    assert 0 < claimed < messages
    assert outcomes == {"sent": claimed, "no_consent": messages - claimed}
    assert len(desk.providers.twilio.accepted) == claimed


def set_read_only(url: str, *, on: bool) -> None:
    """As after a fail-over to a standby, or with a disk that is full: reading works, writing doesn't."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = connection.info.dbname
        said = f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if on else 'off'}"
        connection.execute(said.encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
