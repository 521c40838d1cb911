"""What governs a message, in the transaction that claims it: consent, budget, silence, best channel, next channel."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from activities.delivery import MessageDelivery
from channels.outcome import OutgoingMessage, Receipt
from rules.budget import TURN
from schemas.plan import SendWindow
from schemas.policy import Cap, Silence
from store import claiming
from store.addresses import hash_address
from store.contact import declare_consents
from store.database import Database
from store.deliveries import Delivery, LedgerEntry
from store.suppressions import suppress
from tests.integration.message_desk import OPEN, MessageDesk, open_message_desk
from tests.integration.plans import DAY
from tests.integration.step_desk import act
from tests.integration.test_message_step import HOLD, nudge, own
from tests.integration.web_edge import run_web

HOUR = timedelta(hours=1)


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def evidence(desk: MessageDesk) -> dict[str, Any]:
    [row] = await desk.rows("SELECT evidence FROM deliveries")
    return dict(row["evidence"])


async def ada(desk: MessageDesk) -> str:
    [row] = await desk.rows("SELECT id::text AS id FROM customers WHERE external_id = 'ada'")
    return str(row["id"])


async def carry_until_settled(desk: MessageDesk, run: str, step: str) -> Any:
    """As Temporal would repeat it, by a clock that hardly moves."""
    for _ in range(10):
        try:
            return await desk.carry_out(run, step)
        except ApplicationError as error:
            desk.steps.clock.now += error.next_retry_delay or timedelta()
    raise AssertionError("it never ends")


# The evidence


async def test_a_message_keeps_the_consent_that_it_went_out_on(desk: MessageDesk) -> None:
    run = await desk.enter(own("email"))
    customer = await ada(desk)
    async with desk.steps.database.transaction() as connection:
        await declare_consents(connection, customer, {("email", ""): True}, source="checkout", now=desk.now)
    said_at = desk.now
    desk.steps.clock.now += HOUR
    assert (await desk.carry_out(run, "email")).outcome == "sent"
    await desk.consent("email", granted=False)
    told = await evidence(desk)
    assert told["consent"] == {
        "basis": "said",
        "word": "email",
        "source": "checkout",
        "at": said_at.isoformat(),
    }
    assert told["time"] == {"due_at": desk.now.isoformat()}
    assert told["channel"] == {"chosen": "email"}


async def test_what_goes_out_without_a_word_says_so(desk: MessageDesk) -> None:
    run = await desk.enter(own("email"), own("in_app"))
    for step in ("email", "in_app"):
        assert (await desk.carry_out(run, step)).outcome == "sent"
    rows = await desk.rows(
        "SELECT channel, evidence -> 'consent' AS consent FROM deliveries ORDER BY channel"
    )
    assert [(row["channel"], row["consent"]["basis"]) for row in rows] == [
        ("email", "assumed"), ("in_app", "not needed"),
    ]  # fmt: skip


async def test_a_critical_message_is_marked_so(desk: MessageDesk) -> None:
    run = await desk.enter(act("email", template="nudge", critical=True), own("in_app"))
    for step in ("email", "in_app"):
        await desk.carry_out(run, step)
    assert await desk.ledger("channel, critical") == [("email", True), ("in_app", False)]


# The budget


async def capped_at(desk: MessageDesk, run: str, due_at: datetime) -> datetime:
    held = await desk.carry_out(run, "email", due_at=due_at)
    assert held.outcome == "capped"
    assert held.until is not None
    return held.until


async def test_of_two_that_wait_for_one_budget_the_playbook_with_the_higher_priority_goes_first(
    desk: MessageDesk,
) -> None:
    policy = OPEN.model_copy(update={"caps": {"email": Cap(times=1, seconds=DAY)}})
    first = await desk.enter(own("email"), name="first", policy=policy)
    assert (await desk.carry_out(first, "email")).outcome == "sent"
    used_at = desk.now
    low = await desk.enter(own("email"), name="low", policy=policy, priority=20)
    due = desk.steps.clock.now = used_at + HOUR
    assert await capped_at(desk, low, due) == used_at + timedelta(days=1)
    high = await desk.enter(own("email"), name="high", policy=policy, priority=80)
    assert await capped_at(desk, high, due) == used_at + timedelta(days=1)
    # Both wake at that moment, and the one of lower priority asks first.
    desk.steps.clock.now = used_at + timedelta(days=1)
    again = await desk.carry_out(low, "email", due_at=due)
    assert (again.outcome, again.until) == ("capped", desk.now + TURN)
    assert again.detail == "email: 1 within 1d are kept for high, priority 80, which waits for it, too"
    assert (await desk.carry_out(high, "email", due_at=due)).outcome == "sent"
    desk.steps.clock.now += TURN
    assert (await desk.carry_out(low, "email", due_at=due)).detail.startswith(
        "email: 1 within 1d are used up by high"
    )


@pytest.mark.parametrize(
    "gone",
    ["paused = true", "ended_at = entered_at, state = 'ended', outcome = 'stopped', reason = 'test'"],
    ids=["paused", "ended"],
)
async def test_a_run_that_is_over_or_stands_still_keeps_nothing_from_others(
    desk: MessageDesk, gone: str
) -> None:
    policy = OPEN.model_copy(update={"caps": {"email": Cap(times=1, seconds=DAY)}})
    runs = [
        await desk.enter(own("email"), name=name, policy=policy, priority=priority)
        for name, priority in (("first", 50), ("high", 80), ("low", 20))
    ]
    due = desk.now
    assert (await desk.carry_out(runs[0], "email")).outcome == "sent"
    await capped_at(desk, runs[1], due)
    desk.steps.clock.now = due + timedelta(days=1)
    async with desk.steps.database.transaction() as connection:
        await connection.execute(text(f"UPDATE runs SET {gone} WHERE playbook = 'high'"))
    assert (await desk.carry_out(runs[2], "email", due_at=due + timedelta(days=1))).outcome == "sent"


async def test_a_topics_cap_counts_it_on_every_channel_and_says_who_used_it_up(desk: MessageDesk) -> None:
    policy = OPEN.model_copy(update={"caps": {"topic:tips": Cap(times=1, seconds=DAY)}})
    tips = {"template": "nudge", "topic": "tips"}
    run = await desk.enter(
        act("email", **tips).model_copy(update={"outcomes": HOLD}),
        act("sms", **tips).model_copy(update={"outcomes": HOLD}), own("push"), policy=policy,
    )  # fmt: skip
    assert (await desk.carry_out(run, "email")).outcome == "sent"
    held = await desk.carry_out(run, "sms")
    assert (held.outcome, held.detail) == ("capped", "topic tips: 1 within 1d are used up by helping")
    assert (await desk.carry_out(run, "push")).outcome == "sent"


# Silence


async def test_messages_hold_while_somebody_is_in_contact(desk: MessageDesk) -> None:
    silence = Silence(
        after_reply_seconds=DAY, after_call_seconds=DAY // 2, open_ticket=True, critical_passes=True
    )
    policy = OPEN.model_copy(update={"silence": silence})
    urgent = act("sms", "urgent", template="nudge", critical=True)
    run = await desk.enter(own("email"), urgent, policy=policy)
    await desk.steps.send("ada", "message_replied", channel="sms")
    replied_at = desk.now
    desk.steps.clock.now += HOUR
    held = await desk.carry_out(run, "email")
    assert (held.outcome, held.until) == ("held_quiet_hours", replied_at + timedelta(days=1))
    assert held.detail.startswith("silence: the customer wrote to us on 2026-03-02 09:00 UTC")
    assert (await desk.carry_out(run, "urgent")).outcome == "sent"
    desk.steps.clock.now = replied_at + timedelta(days=1)
    await desk.steps.send("ada", "ticket_opened", ticket="7")
    assert (await desk.carry_out(run, "email")).detail == "silence: a support ticket is open"
    await desk.steps.send("ada", "ticket_closed", ticket="7")
    assert (await desk.carry_out(run, "email")).outcome == "sent"


@pytest.mark.parametrize(("outcome", "holds"), [("reached", True), ("no_answer", False)])
async def test_a_call_that_was_answered_is_contact(desk: MessageDesk, outcome: str, holds: bool) -> None:
    policy = OPEN.model_copy(update={"silence": Silence(after_call_seconds=DAY)})
    run = await desk.enter(own("email"), policy=policy)
    async with desk.steps.database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO tasks (id, run_id, customer_id, step, occurrence, kind, title, assignee, outcomes, state, "
                "outcome, created_at, due_at, give_up_at, closed_at) SELECT :id, id, customer_id, 'call', 0, 'call', "
                "'C', 'grace', '{reached,no_answer}', 'done', :outcome, :at, :at, :at, :at FROM runs"
            ),
            {"id": str(uuid.uuid4()), "outcome": outcome, "at": desk.now},
        )
    desk.steps.clock.now += HOUR
    assert (await desk.carry_out(run, "email")).outcome == ("held_quiet_hours" if holds else "sent")


# The best channel


async def answer(
    desk: MessageDesk, channel: str, *, sent: int, answered: int, customer: str | None = None
) -> None:
    """Messages of an earlier playbook, the last of which were answered by a click."""
    whose = customer or await ada(desk)
    async with desk.steps.database.transaction() as connection:
        for n in range(sent):
            await connection.execute(
                text(
                    "INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, created_at, "
                    "claimed_at, settled_at, clicked_at) SELECT gen_random_uuid(), id, CAST(:customer AS uuid), :step, "
                    ":n, :channel, 'accepted', :at, :at, :at, :clicked FROM runs LIMIT 1"
                ),
                {
                    "customer": whose, "step": f"past {channel} {whose}", "n": n, "channel": channel,
                    "at": desk.now - timedelta(days=3 + n % 20),
                    "clicked": desk.now - timedelta(days=3 + n % 20) + HOUR if n < answered else None,
                },
            )  # fmt: skip


async def test_a_message_takes_the_channel_that_the_customer_answers_on(desk: MessageDesk) -> None:
    run = await desk.enter(nudge())
    await answer(desk, "in_app", sent=20, answered=0)
    await answer(desk, "email", sent=20, answered=15)
    result = await desk.carry_out(run, "nudge")
    assert result.detail.startswith("by email")
    assert "email (15 of 20 answered)" in result.detail
    [row] = await desk.rows("SELECT evidence -> 'channel' AS told FROM deliveries WHERE step = 'nudge'")
    assert (row["told"]["chosen"], row["told"]["by"]) == ("email", "answers")
    assert row["told"]["rates"]["in_app"]["sent"] == 20
    assert row["told"]["shares"]["email"] == 1.0


async def test_the_api_shows_what_a_messages_channel_and_time_went_by(
    desk: MessageDesk, database_url: str
) -> None:
    run = await desk.enter(nudge())
    await answer(desk, "in_app", sent=20, answered=0)
    await answer(desk, "email", sent=20, answered=15)
    await desk.carry_out(run, "nudge")
    async with run_web(database_url) as web:
        told = (await web.client.get(f"/api/runs/{run}")).json()
    [shown] = [one for one in told["deliveries"] if one["step"] == "nudge"]
    assert shown["evidence"]["channel"]["chosen"] == shown["channel"] == "email"
    assert shown["evidence"]["channel"]["rates"]["email"]["answered"] == 15
    assert shown["evidence"]["time"]["due_at"] == desk.now.isoformat()
    assert shown["evidence"]["consent"] == {"basis": "assumed"}


async def test_who_never_answered_anything_is_written_to_as_everybody_answers(desk: MessageDesk) -> None:
    run = await desk.enter(nudge())
    await desk.steps.identify("bob", email="bob@example.com")
    [bob] = await desk.rows("SELECT id::text AS id FROM customers WHERE external_id = 'bob'")
    await answer(desk, "sms", sent=60, answered=55, customer=bob["id"])
    await answer(desk, "in_app", sent=60, answered=1, customer=bob["id"])
    assert (await desk.carry_out(run, "nudge")).detail.startswith("by sms")
    [row] = await desk.rows(
        "SELECT evidence -> 'channel' -> 'rates' -> 'sms' AS told FROM deliveries WHERE step = 'nudge'"
    )
    assert (row["told"]["sent"], row["told"]["everybody"]) == (0, {"sent": 60, "answered": 55})


async def test_answers_to_messages_count_as_visits_for_the_best_time(desk: MessageDesk) -> None:
    best = SendWindow(best_time=True, at_most_late_seconds=DAY)
    run = await desk.enter(own("email", send=best))
    now = desk.now
    for days in range(1, 8):
        desk.steps.clock.now = now - timedelta(days=days) + 5 * HOUR
        await desk.steps.send("ada", "message_clicked", channel="email")
    desk.steps.clock.now = now
    held = await desk.carry_out(run, "email")
    assert (held.outcome, held.until) == ("held_quiet_hours", now + 5 * HOUR)
    desk.steps.clock.now = now + 5 * HOUR
    assert (await desk.carry_out(run, "email", due_at=now)).outcome == "sent"
    assert (await evidence(desk))["time"] == {
        "due_at": now.isoformat(), "best_hour": 14, "visits_around": 7, "visits": 7,
    }  # fmt: skip


# The next channel


async def test_a_message_whose_address_is_gone_takes_the_next_channel(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("400/21211")
    run = await desk.enter(nudge("sms", "email", "in_app"))
    with pytest.raises(ApplicationError, match="another channel may") as raised:
        await desk.carry_out(run, "nudge")
    assert raised.value.type == "NextChannel"
    assert await desk.ledger("channel, state, error_code") == [("sms", "retrying", "21211")]
    result = await desk.carry_out(run, "nudge")
    assert result.outcome == "sent"
    assert result.detail == "by email; not sms: it failed there (21211)"
    assert desk.providers.sent() == {"email": 1}
    assert await desk.ledger("channel, state, provider, attempt") == [("email", "accepted", "smtp", 2)]
    [failed] = (await evidence(desk))["failed"]
    assert (failed["channel"], failed["code"], failed["outcome"]) == ("sms", "21211", "failed")
    assert await desk.rows("SELECT channel, reason FROM suppressions") == [
        {"channel": "sms", "reason": "invalid_address"}
    ]


async def test_who_said_stop_to_the_carrier_gets_it_by_mail(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("400/21610")
    run = await desk.enter(nudge("sms", "email"))
    assert (await carry_until_settled(desk, run, "nudge")).outcome == "sent"
    assert desk.providers.sent() == {"email": 1}


async def test_where_there_is_no_other_way_it_ends_as_on_the_last_one(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("400/21610")
    run = await desk.enter(nudge("sms", "email"))
    await desk.consent("email", granted=False)
    assert (await carry_until_settled(desk, run, "nudge")).outcome == "suppressed"
    assert await desk.ledger() == [("sms", "failed", "21610")]
    assert (await desk.carry_out(run, "nudge")).outcome == "suppressed"
    assert desk.providers.sent() == {}


async def test_what_may_have_left_takes_no_other_channel(desk: MessageDesk) -> None:
    desk.providers.fcm.programme.script.append("cut_after")
    run = await desk.enter(nudge("push", "email"))
    assert (await desk.carry_through(run, "nudge")).outcome == "unknown"
    assert desk.providers.sent() == {"push": 1}


async def test_while_the_provider_refuses_us_the_message_takes_another_channel(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script += ["401"] * 5
    run = await desk.enter(nudge("sms", "email"), own("sms"))
    assert (await carry_until_settled(desk, run, "nudge")).outcome == "sent"
    assert desk.providers.sent() == {"email": 1}
    # A step that names its channel waits for it, as it did before.
    with pytest.raises(ApplicationError, match="no provider of sms can be used"):
        await desk.carry_out(run, "sms")


# Against claims at the same time


async def test_nothing_is_claimed_after_a_no_was_committed(
    desk: MessageDesk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty customers with three messages each are written to while consent goes, whoever comes first."""
    runs, customers = await crowd(desk, 40)
    channel = CountingChannel()
    channels = {"email": channel}
    withdrawn: dict[str, int] = {}
    dice = random.Random(7)
    claim = claiming.claim

    checked = {customer: asyncio.Event() for customer in customers}

    async def claim_slowly(connection: Any, entry: LedgerEntry, **more: Any) -> Delivery:
        checked[entry.customer_id].set()
        await asyncio.sleep(0.02)  # much may happen between the check and the claim
        return await claim(connection, entry, **more)

    monkeypatch.setattr(claiming, "claim", claim_slowly)

    async def send(run: str, step: str) -> None:
        delivery = MessageDelivery(desk.steps.opening, channels)
        with contextlib.suppress(ApplicationError):
            await delivery.send(desk.steps.call(run, step))

    # Somebody else's connections: what is asked after the commit is asked at once.
    other = Database(database_url, connections=3)

    async def withdraw(customer: str, *, early: bool) -> None:
        if not early:
            await checked[customer].wait()
        async with other.transaction() as connection:
            if dice.random() < 0.5:
                words = {("email", ""): False}
                await declare_consents(connection, customer, words, source="test", now=desk.now)
            else:
                [row] = await connection.execute(
                    text("SELECT email FROM customers WHERE id = :id"), {"id": customer}
                )
                hashed = hash_address("email", row.email)
                await suppress(connection, "email", hashed, "manual", desk.now, customers=[customer])
        async with other.transaction() as connection:
            claimed = await connection.execute(
                text("SELECT count(*) FROM deliveries WHERE customer_id = :id AND claimed_at IS NOT NULL"),
                {"id": customer},
            )
            withdrawn[customer] = int(claimed.scalar_one())

    acts = [send(run, step) for run in runs for step in ("a", "b", "c")]
    acts += [withdraw(customer, early=n % 3 == 0) for n, customer in enumerate(customers)]
    await asyncio.gather(*acts)
    await other.close()
    rows = await desk.rows(
        "SELECT customer_id::text AS id, count(*) FILTER (WHERE claimed_at IS NOT NULL) AS claimed "
        "FROM deliveries GROUP BY 1"
    )
    assert {row["id"]: row["claimed"] for row in rows} == withdrawn
    assert sum(withdrawn.values()) == channel.sent
    # The race was one: some left before, some were kept.
    assert 0 < channel.sent < 120


class CountingChannel:
    """Takes every mail at once."""

    name = provider = "email"

    sent = 0

    async def send(self, message: OutgoingMessage) -> Receipt:
        self.sent += 1
        return Receipt("email", message.delivery_id)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> None:
        return None

    async def close(self) -> None:
        return None


async def crowd(desk: MessageDesk, size: int) -> tuple[list[str], list[str]]:
    """Many customers in one playbook of three mails; the runs and their customers, in the same order."""
    await desk.enter(*(act("email", step, template="nudge") for step in ("a", "b", "c")))
    for n in range(size - 1):
        await desk.steps.identify(f"c{n}", first_name="Ada", email=f"c{n}@example.com", timezone="UTC")
        await desk.steps.send(f"c{n}", "helping_wanted")
    await desk.steps.evaluate()
    rows = await desk.rows("SELECT id::text AS run, customer_id::text AS customer FROM runs ORDER BY id")
    assert len(rows) == size
    return [row["run"] for row in rows], [row["customer"] for row in rows]
