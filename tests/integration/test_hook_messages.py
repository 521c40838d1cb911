"""What customers write: replies, STOP before everything else, START that lifts nothing but a STOP."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bench.stop_race import race
from store.addresses import hash_address
from store.inbound_messages import last_inbound_at
from store.message_history import count_answers
from store.publishing import publish
from store.suppressions import suppress as suppress_hash
from tests.integration.hook_desk import PHONE, HookDesk, open_hook_desk
from tests.integration.message_desk import ADDRESSES, OPEN
from tests.integration.step_desk import act

EMAIL = ADDRESSES["email"]
CONSENTS = "SELECT channel, granted, source FROM consents ORDER BY channel"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[HookDesk]:
    async with open_hook_desk(database_url) as desk:
        yield desk


async def suppress(desk: HookDesk, channel: str, address: str, *reasons: Any) -> None:
    async with desk.messages.steps.database.transaction() as connection:
        for reason in reasons:
            hashed = hash_address(channel, address)
            await suppress_hash(connection, channel, hashed, reason, desk.now, source="test")


async def test_a_reply_is_kept_and_belongs_to_the_last_message_to_that_number(desk: HookDesk) -> None:
    await desk.send("sms", name="earlier")
    delivery = await desk.send("sms")
    for _ in range(2):
        await desk.text("Sounds good, call me at five")
    row = await desk.delivery(delivery)
    assert (row["status"], row["replied_at"] is not None) == ("replied", True)
    [message] = await desk.messages.rows("SELECT * FROM inbound_messages")
    assert (message["text"], message["keyword"], str(message["delivery_id"])) == (
        "Sounds good, call me at five", None, delivery,
    )  # fmt: skip
    [(name, properties)] = await desk.events()
    assert name == "message_replied"
    assert properties == {"channel": "sms", "playbook": "helping", "step": "first", "delivery": delivery}
    # What was said is kept there and nowhere else.
    for table in ("events", "delivery_reports", "dead_letters", "hook_requests", "run_steps"):
        rows = await desk.messages.rows(f"SELECT * FROM {table}")
        assert "Sounds good" not in str(rows), table
        assert b"Sounds" not in b"".join(
            bytes(row.get("body") or b"") for row in rows if table == "hook_requests"
        )


async def test_stop_suppresses_the_number_and_refuses_the_channel(desk: HookDesk) -> None:
    delivery = await desk.send("sms")
    await desk.text("Stop please!")
    assert await desk.suppressed("sms", PHONE) == ["stop"]
    [consent] = await desk.messages.rows(CONSENTS)
    assert (consent["channel"], consent["granted"]) == ("sms", False)
    assert consent["source"].startswith("STOP, twilio SM")
    assert await desk.events() == [(
        "unsubscribed",
        {"channel": "sms", "playbook": "helping", "step": "first", "delivery": delivery, "source": "stop"},
    )]  # fmt: skip
    # Another number, and WhatsApp on this one, are other agreements.
    assert await desk.suppressed("whatsapp", PHONE) == []


async def test_everybody_who_has_the_number_is_stopped(desk: HookDesk) -> None:
    await desk.send("sms")
    await desk.messages.steps.identify("bert", phone=f" {PHONE} ")
    await desk.messages.steps.identify("carl", phone="+15005550010")
    await desk.text("ARRÊT")
    rows = await desk.messages.rows(
        "SELECT c.external_id FROM consents JOIN customers c ON c.id = customer_id WHERE NOT granted ORDER BY 1"
    )
    assert [row["external_id"] for row in rows] == ["ada", "bert"]
    assert [name for name, _ in await desk.events("bert")] == ["unsubscribed"]
    assert await desk.events("carl") == []


async def test_a_stop_stands_though_nothing_else_can_be_done(
    desk: HookDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(desk.hooks._messages, "_record", fail)
    await desk.text("STOP")
    assert await desk.suppressed("sms", PHONE) == ["stop"]
    monkeypatch.undo()
    await desk.work(timedelta(seconds=10))
    assert [name for name, _ in await desk.events()] == ["unsubscribed"]


async def test_start_lifts_what_stop_did_and_nothing_else(desk: HookDesk) -> None:
    await suppress(desk, "sms", PHONE, "hard_bounce", "complaint", "opted_out", "erased")
    await desk.text("STOP")
    desk.messages.steps.clock.now += timedelta(minutes=1)
    await desk.text("START", number=2)
    assert await desk.suppressed("sms", PHONE) == ["complaint", "erased", "hard_bounce"]
    [consent] = await desk.messages.rows(CONSENTS)
    assert (consent["channel"], consent["granted"]) == ("sms", True)
    assert [(name, said.get("keyword")) for name, said in await desk.events()] == [
        ("unsubscribed", None), ("message_replied", "start"),
    ]  # fmt: skip


async def test_a_yes_that_follows_no_stop_is_an_answer_and_no_consent(desk: HookDesk) -> None:
    await desk.text("Yes")
    assert await desk.messages.rows(CONSENTS) == []
    assert [name for name, _ in await desk.events()] == ["message_replied"]


async def test_a_stop_that_is_worked_on_after_a_later_start_changes_nothing(desk: HookDesk) -> None:
    stopped_at = desk.now
    desk.messages.steps.clock.now += timedelta(minutes=5)
    await desk.text("START", number=2)
    desk.messages.steps.clock.now = stopped_at
    await desk.text("STOP")
    assert await desk.suppressed("sms", PHONE) == []


async def test_the_same_stop_again_after_a_start_changes_nothing(desk: HookDesk) -> None:
    await desk.text("STOP")
    desk.messages.steps.clock.now += timedelta(minutes=1)
    await desk.text("START", number=2)
    desk.messages.steps.clock.now += timedelta(minutes=1)
    await desk.text("STOP")
    assert await desk.suppressed("sms", PHONE) == []
    await desk.text("STOP", number=3)
    assert await desk.suppressed("sms", PHONE) == ["stop"]


async def test_help_stops_nobody(desk: HookDesk) -> None:
    await desk.text("Help")
    assert await desk.messages.rows("SELECT 1 FROM suppressions") == []
    assert [said.get("keyword") for _, said in await desk.events()] == ["help"]


async def test_what_twilio_took_for_a_stop_is_one(desk: HookDesk) -> None:
    await desk.text("AVBRYT", OptOutType="STOP")
    assert await desk.suppressed("sms", PHONE) == ["stop"]


async def test_whatsapp_is_a_channel_of_its_own_and_its_24_hours_are_known(desk: HookDesk) -> None:
    [row] = await desk.messages.rows("SELECT id::text AS id FROM customers")
    await desk.text("Hi there", sender=f"whatsapp:{PHONE}")
    async with desk.messages.steps.database.transaction() as connection:
        assert await last_inbound_at(connection, row["id"], "whatsapp") == desk.now
        assert await last_inbound_at(connection, row["id"], "sms") is None
        assert await last_inbound_at(connection, row["id"], "push") is None
    await desk.text("stop.", sender=f"whatsapp:{PHONE}", number=2)
    assert (await desk.suppressed("whatsapp", PHONE), await desk.suppressed("sms", PHONE)) == (["stop"], [])


async def test_a_stranger_is_stopped_too_and_nobody_is_told(desk: HookDesk) -> None:
    await desk.text("STOP", sender="+15005550099")
    assert await desk.suppressed("sms", "+15005550099") == ["stop"]
    [message] = await desk.messages.rows("SELECT customer_id FROM inbound_messages")
    assert message["customer_id"] is None


# Mail


def received(body: str, reference: str = "", sender: str = EMAIL, **headers: str) -> bytes:
    lines = [
        f"From: Ada <{sender}>",
        "To: care@example.com",
        "Subject: Re: Hi",
        *(f"{n}: {v}" for n, v in headers.items()),
    ]
    if reference:
        lines.append(f"In-Reply-To: <{reference}>")
    mail = "\r\n".join([*lines, "", body])
    event = {
        "notificationType": "Received", "mail": {"messageId": f"in-{abs(hash(mail))}"},
        "receipt": {"action": {"encoding": "BASE64"}}, "content": base64.b64encode(mail.encode()).decode(),
    }  # fmt: skip
    return json.dumps({"Type": "Notification", "MessageId": "x", "Message": json.dumps(event)}).encode()


async def test_a_mail_answers_the_message_that_it_names(desk: HookDesk) -> None:
    delivery = await desk.send("email", name="earlier")
    await desk.send("email")
    await desk.post("ses", received("Yes, tomorrow.\r\n> Do you want a call?", f"{delivery}@example.com"))
    assert (await desk.delivery(delivery))["status"] == "replied"
    [message] = await desk.messages.rows("SELECT text FROM inbound_messages")
    assert message["text"] == "Yes, tomorrow."


async def test_a_stop_from_another_address_means_the_one_that_was_written_to_as_well(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.post(
        "ses",
        received(
            "Unsubscribe me\r\n\r\nOn Monday, we wrote:\r\n> x", delivery + "@example.com", "ada@home.test"
        ),
    )
    assert await desk.suppressed("email", EMAIL) == ["stop"]
    assert await desk.suppressed("email", "ada@home.test") == ["stop"]
    assert [name for name, _ in await desk.events()] == ["unsubscribed"]


async def test_an_absence_note_is_nobodys_reply(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.post(
        "ses",
        received("Stop by when I am back", f"{delivery}@example.com", **{"Auto-Submitted": "auto-replied"}),
    )
    await desk.post("ses", received("STOP", f"{delivery}@example.com", Precedence="auto_reply"))
    assert (await desk.delivery(delivery))["status"] == ""
    assert (await desk.events(), await desk.messages.rows("SELECT 1 FROM suppressions")) == ([], [])


async def test_sendgrids_inbound_parse_is_read(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    parts = {
        "from": f"Ada <{EMAIL.upper()}>", "subject": "Re: Hi", "text": "Thanks!\n\n> quoted",
        "headers": f"Message-ID: <m1@mail.test>\nIn-Reply-To: <{delivery}@example.com>\n",
    }  # fmt: skip
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )
    await desk.post("sendgrid", f"{body}--b--\r\n".encode(), content_type="multipart/form-data; boundary=b")
    assert (await desk.delivery(delivery))["status"] == "replied"
    assert await desk.messages.rows("SELECT text FROM inbound_messages") == [{"text": "Thanks!"}]


# The race


async def test_nothing_is_claimed_after_a_stop_however_many_messages_race_it(database_url: str) -> None:
    done = await race(database_url, sends=200, customers=10, stop_after=40)
    assert done.late_claims == 0
    assert (done.sends, done.sent + done.suppressed) == (200, 200)
    assert done.sent >= 40
    assert done.suppressed > 0


async def test_what_was_planned_before_the_stop_isnt_sent_after_it(desk: HookDesk) -> None:
    run = await desk.messages.enter(
        act("sms", "first", text="Hi"), act("email", "other", subject="Hi", text="Hi")
    )
    await desk.text("STOP")
    assert (await desk.messages.carry_out(run, "first")).outcome in ("no_consent", "suppressed")
    assert desk.messages.providers.sent() == {}
    async with desk.messages.steps.database.transaction() as connection:
        found = await connection.execute(text("SELECT state FROM deliveries"))
        assert [row.state for row in found] == ["skipped"]


async def test_words_of_the_policy_stop_and_a_stop_speaks_for_no_channel(desk: HookDesk) -> None:
    first, second = await desk.send("sms"), await desk.send("sms", name="again")
    async with desk.messages.steps.database.transaction() as connection:
        words = OPEN.model_copy(update={"keywords": {"stop": ("lopeta",)}})
        await publish(connection, {}, {}, words, author="test", now=desk.now, gone=())
    await desk.text("Lopeta, kiitos", number=1)
    assert await desk.suppressed("sms", PHONE) == []
    assert (await desk.delivery(second))["status"] == "replied"
    await desk.text("Lopeta!", number=2)
    assert await desk.suppressed("sms", PHONE) == ["stop"]
    assert (await desk.delivery(first))["replied_at"] is None


@pytest.mark.parametrize(
    "known", ["+1 (500) 555-0009", "001 500 555 0009", "tel:+1-500-555-0009", "+1 (0)500 5550009"]
)
async def test_whose_number_it_is_does_not_hang_on_how_it_is_written(known: str, desk: HookDesk) -> None:
    await desk.messages.steps.identify(phone=known)
    await desk.messages.steps.identify("eve", phone="+15005550010")
    await desk.text("Hello?", sender=PHONE)
    [row] = await desk.messages.rows(
        "SELECT external_id FROM inbound_messages i JOIN customers c ON c.id = i.customer_id"
    )
    assert row["external_id"] == "ada"
    assert [name for name, _ in await desk.events()] == ["message_replied"]


async def test_a_reply_counts_as_an_answer_on_its_channel_and_a_stop_does_not(desk: HookDesk) -> None:
    for number, said in enumerate(("Great, thanks for asking", "Stop")):
        await desk.send("sms", name=f"asking-{number}")
        await desk.text(said, number=number)
        async with desk.messages.steps.database.transaction() as connection:
            counted = await count_answers(connection, desk.now - timedelta(days=1), desk.now)
        assert counted["sms"] == (number + 1, 1)
