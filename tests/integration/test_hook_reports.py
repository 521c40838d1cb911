"""What providers report: into the ledger, to suppressions and alerts, and to events; each once, in any order."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from channels.sns import SnsClient
from rules.delivery_status import weigh
from schemas.errors import UnavailableError
from store.delivery_reports import load_reports
from store.standing_alerts import load_parked_channels
from tests.integration.hook_desk import PHONE, SID, HookDesk, open_hook_desk
from tests.integration.message_desk import ADDRESSES
from tests.integration.step_desk import act

EMAIL = ADDRESSES["email"]
ADA = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[HookDesk]:
    async with open_hook_desk(database_url) as desk:
        yield desk


async def alerts(desk: HookDesk) -> list[str]:
    rows = await desk.messages.rows("SELECT kind FROM alerts WHERE resolved_at IS NULL ORDER BY id")
    return [row["kind"] for row in rows]


# The ledger


async def test_out_of_order_and_repeated_a_delivery_is_delivered_once(desk: HookDesk) -> None:
    for number, order in enumerate(itertools.permutations(("queued", "sent", "delivered"))):
        delivery = await desk.send("sms", name=f"helping-{number}")
        for _ in range(3 if number == 0 else 1):
            for status in order:
                await desk.status(status, delivery, f"SM{number:032x}")
                desk.messages.steps.clock.now += timedelta(seconds=1)
        row = await desk.delivery(delivery)
        assert (row["state"], row["status"]) == ("accepted", "delivered")
        assert row["delivered_at"] == row["status_at"]
        name, properties = (await desk.events())[number]
        assert (name, properties) == ("message_delivered", {
            "channel": "sms", "playbook": f"helping-{number}", "step": "first", "delivery": delivery,
            "provider": "twilio",
        })  # fmt: skip
    assert len(await desk.events()) == 6
    assert len(await desk.messages.rows("SELECT 1 FROM delivery_reports")) == 18


async def test_whatever_the_order_the_ledger_holds_what_the_reports_come_to(desk: HookDesk) -> None:
    deliveries = [await desk.send("email", name=f"helping-{number}") for number in range(3)]
    said = [
        ("processed", "p"),
        ("delivered", "d"),
        ("open", "o"),
        ("click", "c"),
        ("bounce", "b"),
        ("spamreport", "s"),
    ]
    orders = (said, said[::-1], said[3:] + said[:3] + said)
    for delivery, order in zip(deliveries, orders, strict=True):
        for name, id_ in order:
            at = int(desk.now.timestamp()) + 60 * said.index((name, id_))
            event = {
                "event": name,
                "sg_event_id": f"{delivery}{id_}",
                "delivery_id": delivery,
                "useragent": ADA,
            }
            await desk.post(
                "sendgrid",
                json.dumps([event | {"timestamp": at - 3600}]).encode(),
                content_type="application/json",
            )
    found = []
    async with desk.messages.steps.database.transaction() as connection:
        for delivery in deliveries:
            row = await desk.delivery(delivery)
            standing = weigh(await load_reports(connection, delivery), sent_at=row["settled_at"])
            assert (row["status"], row["opened_at"], row["clicked_at"]) == (
                standing.status, standing.opened_at, standing.clicked_at,
            )  # fmt: skip
            found.append(row["status"])
    assert found == ["complained"] * 3


async def test_a_report_waits_while_its_message_is_being_sent_and_then_settles_it(desk: HookDesk) -> None:
    run = await desk.messages.enter(act("sms", "first", text="Hello"))
    desk.messages.providers.twilio.programme.script.append("cut_after")
    with pytest.raises(Exception, match="isn't known"):
        await desk.messages.carry_out(run, "first")
    [sent] = desk.messages.providers.twilio.accepted
    [(delivery,)] = await desk.messages.ledger("id::text")
    async with desk.messages.steps.database.transaction() as connection:
        # As the ledger stands while a sender waits for the provider's answer.
        await connection.execute(text("UPDATE deliveries SET state = 'claimed', settled_at = NULL"))
    await desk.status("sent", delivery, sent.sid)
    assert await desk.messages.ledger("state, status") == [("claimed", "")]
    await desk.work(timedelta(seconds=12))
    [row] = await desk.messages.ledger("state, status, provider, provider_id, reconciled_at IS NOT NULL")
    assert row == ("accepted", "sent", "twilio", sent.sid, True)
    # The run hears that it was sent, and nothing is sent again.
    assert (await desk.messages.carry_out(run, "first")).outcome == "sent"
    assert [(step, said) for step, said, _ in await desk.messages.steps.record(run)] == [("first", "sent")]
    assert len(desk.messages.providers.twilio.accepted) == 1


async def test_what_is_unknown_is_settled_by_the_callback_before_anybody_looks_it_up(desk: HookDesk) -> None:
    run = await desk.messages.enter(act("email", "first", subject="Hi", text="Hello"))
    desk.messages.providers.smtp.programme.script.append("cut_after_dot")
    with pytest.raises(Exception, match="isn't known"):
        await desk.messages.carry_out(run, "first")
    [(delivery, state)] = await desk.messages.ledger("id::text, state")
    assert state == "unknown"
    await desk.event("delivered", delivery, "e1", sg_message_id="m1.filter0001")
    assert await desk.messages.ledger("state, status, provider_id") == [("accepted", "delivered", "m1")]
    assert (await desk.messages.carry_out(run, "first")).outcome == "sent"
    assert len(desk.messages.providers.smtp.accepted) == 1


async def test_a_report_that_beats_the_ledgers_own_record_is_kept_and_joined(desk: HookDesk) -> None:
    await desk.sendgrid(
        {"event": "delivered", "sg_event_id": "early", "sg_message_id": "m9.x", "timestamp": 1_772_442_000}
    )
    assert await desk.messages.rows("SELECT delivery_id FROM delivery_reports") == [{"delivery_id": None}]
    delivery = await desk.send("email")
    async with desk.messages.steps.database.transaction() as connection:
        await connection.execute(text("UPDATE deliveries SET provider = 'sendgrid', provider_id = 'm9'"))
    desk.hooks._joined_at = float("-inf")
    await desk.work()
    assert (await desk.delivery(delivery))["status"] == "delivered"
    assert [name for name, _ in await desk.events()] == ["message_delivered"]
    desk.hooks._joined_at = float("-inf")
    await desk.work()
    assert len(await desk.events()) == 1


async def test_a_report_of_nobodys_message_is_kept_and_harms_nothing(desk: HookDesk) -> None:
    await desk.status("delivered", "5a7c1f9e-1111-4222-8333-444455556666")
    await desk.status("sent", None)
    assert len(await desk.messages.rows("SELECT 1 FROM delivery_reports WHERE delivery_id IS NULL")) == 2
    assert await desk.letters() == []


# What follows


async def test_a_hard_bounce_suppresses_the_address(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.event("bounce", delivery, "b1", type="bounce", status="5.1.1", reason="550 5.1.1 no such user")
    assert await desk.suppressed("email", EMAIL) == ["hard_bounce"]
    [(name, properties)] = await desk.events()
    assert (name, properties["bounce"]) == ("message_bounced", "hard")
    assert (await desk.messages.carry_out(desk.run, "next")).outcome == "suppressed"


async def test_the_third_soft_bounce_within_14_days_suppresses(desk: HookDesk) -> None:
    for number in range(3):
        delivery = await desk.send("email", name=f"helping-{number}")
        await desk.event(
            "bounce", delivery, f"b{number}", type="blocked", status="4.2.2", reason="mailbox full"
        )
        # Once more for the same message counts once.
        await desk.event(
            "bounce", delivery, f"c{number}", type="blocked", status="4.2.2", reason="mailbox full"
        )
        assert await desk.suppressed("email", EMAIL) == (["soft_bounces"] if number == 2 else [])
        desk.messages.steps.clock.now += timedelta(days=5)


async def test_soft_bounces_far_apart_are_forgiven(desk: HookDesk) -> None:
    for number in range(3):
        delivery = await desk.send("email", name=f"helping-{number}")
        await desk.event("bounce", delivery, f"b{number}", type="blocked", status="4.2.2")
        desk.messages.steps.clock.now += timedelta(days=8)
    assert await desk.suppressed("email", EMAIL) == []


async def test_a_refusal_of_the_sender_is_an_alert_and_not_the_recipients_fault(desk: HookDesk) -> None:
    for number in range(2):
        delivery = await desk.send("email", name=f"helping-{number}")
        await desk.event("bounce", delivery, f"b{number}", type="blocked", status="5.7.26", reason="DMARC")
    assert await desk.suppressed("email", EMAIL) == []
    assert await alerts(desk) == ["sender_blocked:email"]


async def test_a_complaint_after_the_delivery_suppresses_at_once(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.event("delivered", delivery, "d1")
    await desk.event("spamreport", delivery, "s1")
    row = await desk.delivery(delivery)
    assert (row["status"], row["delivered_at"] is not None) == ("complained", True)
    assert await desk.suppressed("email", EMAIL) == ["complaint"]
    assert {name for name, _ in await desk.events()} == {"message_delivered", "message_complained"}


async def test_too_many_complaints_park_marketing(desk: HookDesk) -> None:
    for number in range(3):
        delivery = await desk.send("email", name=f"helping-{number}")
        await desk.event("spamreport", delivery, f"s{number}")
        async with desk.messages.steps.database.transaction() as connection:
            parked = await load_parked_channels(connection)
            assert ("email" in parked) is (number == 2)
            # Or the next message wouldn't leave.
            await connection.execute(text("DELETE FROM suppressions"))
    assert await alerts(desk) == ["complaints:email", "marketing_parked:email"]


async def test_a_mail_that_sendgrid_never_tried_is_undelivered_and_why_counts(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.event("dropped", delivery, "x1", reason="Bounced Address")
    assert (await desk.delivery(delivery))["status"] == "undelivered"
    assert await desk.suppressed("email", EMAIL) == ["hard_bounce"]


async def test_unsubscribing_at_the_provider_is_a_refusal_here(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.event("group_unsubscribe", delivery, "u1")
    assert await desk.suppressed("email", EMAIL) == ["opted_out"]
    assert await desk.messages.rows("SELECT channel, granted FROM consents") == [
        {"channel": "email", "granted": False}
    ]
    assert [name for name, _ in await desk.events()] == ["unsubscribed"]


async def test_what_programs_open_counts_for_nobody(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    await desk.event("delivered", delivery, "d1")
    await desk.event("open", delivery, "o1", useragent=ADA)
    desk.messages.steps.clock.now += timedelta(hours=1)
    await desk.event("open", delivery, "o2", useragent="Mozilla/5.0")
    await desk.event("open", delivery, "o3", useragent=ADA, sg_machine_open=True)
    assert ((await desk.delivery(delivery))["status"], len(await desk.events())) == ("delivered", 1)
    await desk.event("open", delivery, "o4", useragent=ADA)
    await desk.event("click", delivery, "c1", useragent=ADA, url="https://example.com/?token=secret")
    row = await desk.delivery(delivery)
    assert (row["status"], row["opened_at"] is not None, row["clicked_at"] is not None) == (
        "clicked",
        True,
        True,
    )
    assert sorted(name for name, _ in await desk.events()) == [
        "message_clicked",
        "message_delivered",
        "message_opened",
    ]
    assert "secret" not in str(await desk.messages.rows("SELECT * FROM delivery_reports"))


async def test_twilios_codes_say_whose_fault_it_is(desk: HookDesk) -> None:
    codes: dict[str, list[str]] = {
        "30003": [], "": [], "99999": [], "30007": [], "21610": ["opted_out"], "30005": ["hard_bounce"],
    }  # fmt: skip
    for number, (code, reasons) in enumerate(codes.items()):
        delivery = await desk.send("sms", name=f"helping-{number}")
        await desk.status("undelivered", delivery, f"SM{number:032x}", ErrorCode=code)
        assert (await desk.delivery(delivery))["status"] == "undelivered"
        assert await desk.suppressed("sms", PHONE) == reasons
        async with desk.messages.steps.database.transaction() as connection:
            await connection.execute(text("DELETE FROM suppressions"))
    assert await alerts(desk) == ["sender_blocked:sms"]


# Other providers


async def test_resends_events_reach_the_ledger(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    tags = [{"delivery_id": delivery}, [{"name": "delivery_id", "value": delivery}]]
    for number, (kind, more) in enumerate(
        [("email.delivered", {}), ("email.bounced", {"bounce": {"type": "Permanent", "subType": "General"}})]
    ):
        data = {"email_id": "56761188", "to": [EMAIL], "tags": tags[number], **more}
        await desk.post(
            "resend", json.dumps({"type": kind, "created_at": desk.now.isoformat(), "data": data}).encode()
        )
    await desk.post("resend", b'{"type": "contact.created", "data": {}}')
    assert (await desk.delivery(delivery))["status"] == "bounced"
    assert await desk.suppressed("email", EMAIL) == ["hard_bounce"]
    assert await desk.letters() == []


def sns(event: dict[str, Any], number: int = 1) -> bytes:
    return json.dumps(
        {"Type": "Notification", "MessageId": f"sns-{number}", "Message": json.dumps(event)}
    ).encode()


async def test_ses_events_reach_the_ledger(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    mail = {"messageId": "0102-ses", "tags": {"delivery_id": [delivery]}, "destination": [EMAIL]}
    at = desk.now.isoformat()
    await desk.post("ses", sns({"eventType": "Delivery", "mail": mail, "delivery": {"timestamp": at}}))
    complaint = {
        "complainedRecipients": [{"emailAddress": EMAIL}],
        "timestamp": at,
        "complaintFeedbackType": "abuse",
    }
    await desk.post("ses", sns({"notificationType": "Complaint", "mail": mail, "complaint": complaint}, 2))
    assert (await desk.delivery(delivery))["status"] == "complained"
    assert await desk.suppressed("email", EMAIL) == ["complaint"]


async def test_a_bounce_of_ses_is_judged_by_its_diagnosis(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    mail = {"messageId": "0102-ses", "headers": [{"name": "X-Holdfast-Delivery", "value": delivery}]}
    bounced = [{"emailAddress": EMAIL, "status": "5.7.1", "diagnosticCode": "smtp; 554 5.7.1 spam"}]
    bounce = {"bounceType": "Permanent", "bouncedRecipients": bounced}
    await desk.post("ses", sns({"notificationType": "Bounce", "mail": mail, "bounce": bounce}))
    assert (await desk.delivery(delivery))["status"] == "bounced"
    assert (await desk.suppressed("email", EMAIL), await alerts(desk)) == ([], ["sender_blocked:email"])


async def test_a_topic_is_confirmed_as_soon_as_amazon_can_be_reached(database_url: str) -> None:
    asked: list[str] = []

    class Amazon(SnsClient):
        async def _get(self, url: str) -> str:
            asked.append(url)
            if len(asked) == 1:
                raise UnavailableError
            return "ok"

    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    async with open_hook_desk(database_url, Amazon()) as desk:
        body = json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url}).encode()
        await desk.post("ses", body)
        await desk.work(timedelta(seconds=3))
        await desk.work(timedelta(seconds=60))
        assert asked == [url, url]
        evil = {"Type": "SubscriptionConfirmation", "SubscribeURL": "http://169.254.169.254/latest"}
        await desk.post("ses", json.dumps(evil).encode())
        assert asked == [url, url]
        assert [code for _, code, _ in await desk.letters()] == ["HF154"]


async def test_calls_are_reported_and_who_is_busy_stays_reachable(desk: HookDesk) -> None:
    delivery = await desk.send("sms")
    async with desk.messages.steps.database.transaction() as connection:
        await connection.execute(text("UPDATE deliveries SET channel = 'voice'"))
    call = {"CallSid": "CA" + "b" * 32, "To": PHONE, "From": "+15005550006"}
    await desk.twilio(f"d={delivery}&a=1", CallStatus="ringing", **call)
    await desk.twilio(f"d={delivery}&a=1", CallStatus="busy", **call)
    assert (await desk.delivery(delivery))["status"] == "undelivered"
    assert await desk.messages.rows("SELECT 1 FROM suppressions") == []


# What can't be taken


async def test_a_poisoned_event_ends_as_a_dead_letter_and_the_others_are_taken(desk: HookDesk) -> None:
    delivery = await desk.send("email")
    good = {"event": "delivered", "sg_event_id": "g", "delivery_id": delivery, "timestamp": 1}
    bad: list[Any] = [
        {"event": "delivered"}, "no event", None, {"event": "exploded", "sg_event_id": "x"},
        {"event": "open", "sg_event_id": "o", "delivery_id": "\x00", "useragent": "\ud800\x00", "timestamp": 10**30},
    ]  # fmt: skip
    await desk.sendgrid(*bad, good)
    assert (await desk.delivery(delivery))["status"] == "delivered"
    assert [(source, code) for source, code, _ in await desk.letters()] == [("hooks/sendgrid", "HF154")] * 4
    [request] = await desk.messages.rows("SELECT done_at IS NOT NULL AS done, error, body FROM hook_requests")
    # What was taken from it is kept elsewhere.
    assert (request["done"], request["error"], bytes(request["body"])) == (True, None, b"")


UNREADABLE: list[tuple[str, bytes]] = [
        ("sendgrid", b"{}"), ("sendgrid", b"\xff\xfe"), ("resend", b"[]" * 10), ("ses", b'{"Type": "Notification"}'),
        ("stripe", b"[" * 100_000), ("help_desk", b'{"type": "ticket.opened"}'), ("help_desk", b'{"a": NaN}'),
        ("twilio", b"MessageSid=x&MessageStatus=delivered"), ("twilio", b"\xff"), ("twilio", b"a=1&b=2"),
        ("twilio", b"MessageSid=SM" + b"a" * 32 + b"&MessageStatus=deliv%65red2"),
        ("help_desk", b'{"type": "message.opened", "data": {}}'),
        ("help_desk", b'{"type": "message_clicked", "data": {"user_id": "ada"}}'),
        ("help_desk", b'{"type": "x", "data": {"user_id": "ada", "n": ' + b"9" * 5000 + b"}}"),
]  # fmt: skip


async def test_what_cant_be_read_is_a_dead_letter_that_names_the_request(desk: HookDesk) -> None:
    for number, (source, body) in enumerate(UNREADABLE):
        await desk.post(source, body, id_=f"bad-{number}")
        letter = (await desk.messages.rows("SELECT * FROM dead_letters ORDER BY id"))[number]
        assert (letter["source"], letter["code"]) == (f"hooks/{source}", "HF154")
        assert json.loads(letter["body"])["request_id"] == f"bad-{number}"
    assert (
        await desk.messages.rows("SELECT 1 FROM hook_requests WHERE done_at IS NULL OR error IS NULL") == []
    )


async def test_what_fails_is_tried_again_ever_later_and_given_up_in_the_end(
    desk: HookDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = await desk.send("sms")

    async def fail(_: object) -> bool:
        raise RuntimeError("secret words")

    with monkeypatch.context() as broken:
        broken.setattr(desk.hooks._reports, "take", fail)
        await desk.status("delivered", delivery)
        for _ in range(3):
            await desk.work(timedelta(seconds=20))
        [row] = await desk.messages.rows("SELECT attempts, done_at, error FROM hook_requests")
        assert (row["attempts"], row["done_at"], row["error"]) == (4, None, "RuntimeError")
    await desk.work(timedelta(seconds=30))
    assert (await desk.delivery(delivery))["status"] == "delivered"
    with monkeypatch.context() as broken:
        broken.setattr(desk.hooks._reports, "take", fail)
        await desk.status("sent", delivery)
        for _ in range(12):
            await desk.work(timedelta(seconds=700))
    [(source, code, reason)] = await desk.letters()
    assert (source, code) == ("hooks/twilio", "HF153")
    assert "10 attempts" in reason
    assert "secret" not in reason


async def test_a_request_that_kills_its_worker_is_given_up(desk: HookDesk) -> None:
    async with desk.messages.steps.database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO hook_requests (source, request_id, body, received_at, next_at, attempts) "
                "VALUES ('twilio', 'x', 'a=1', :now, :now, 10)"
            ),
            {"now": desk.now},
        )
    await desk.work()
    assert [code for _, code, _ in await desk.letters()] == ["HF153"]


async def test_requests_are_forgotten_after_a_month(desk: HookDesk) -> None:
    await desk.status("sent", None, SID)
    assert await desk.hooks.forget() == 0
    desk.messages.steps.clock.now += timedelta(days=31)
    assert await desk.hooks.forget() == 1


# Events of other systems


async def test_a_signed_event_of_another_system_is_an_event_like_any_other(desk: HookDesk) -> None:
    body = {
        "type": "ticket.opened",
        "timestamp": desk.now.isoformat(),
        "data": {"user_id": "ada", "severity": "high"},
    }
    for _ in range(2):
        await desk.post("help_desk", json.dumps(body).encode(), id_="evt-1")
    [row] = await desk.messages.rows("SELECT name, properties FROM events WHERE source = 'help_desk'")
    assert (row["name"], row["properties"]) == ("ticket_opened", {"severity": "high"})
    # And it moves the customer's signals.
    assert await desk.messages.rows("SELECT 1 FROM tallies WHERE name = 'ticket_opened'") == [{"?column?": 1}]


async def test_stripe_says_twice_that_an_invoice_is_paid_and_it_counts_once(desk: HookDesk) -> None:
    await desk.messages.steps.identify(stripe_customer_id="cus_1")
    paid = {"id": "in_1", "customer": "cus_1", "amount_paid": 2900, "currency": "eur"}
    for number, kind in enumerate(("invoice.paid", "invoice.payment_succeeded", "charge.updated")):
        event = {
            "id": f"evt_{number}",
            "type": kind,
            "created": int(desk.now.timestamp()),
            "data": {"object": paid},
        }
        await desk.post("stripe", json.dumps(event).encode())
    changed = {
        "customer": "cus_9", "metadata": {"user_id": "ada"}, "current_period_end": 1_790_000_000,
        "items": {"data": [{"price": {"lookup_key": "business"}}]},
    }  # fmt: skip
    event = {
        "id": "evt_9", "type": "customer.subscription.updated",
        "data": {"object": changed, "previous_attributes": {"items": {}}},
    }  # fmt: skip
    await desk.post("stripe", json.dumps(event).encode())
    rows = await desk.messages.rows(
        "SELECT name, properties FROM events WHERE source = 'stripe' ORDER BY name"
    )
    assert [row["name"] for row in rows] == ["payment_succeeded", "plan_changed"]
    assert rows[0]["properties"]["amount"] == 29
    assert rows[1]["properties"] == {"to": "business", "renewal_date": "2026-09-21"}


async def test_a_bill_of_somebody_whom_nobody_knows_is_a_dead_letter(desk: HookDesk) -> None:
    event = {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"id": "in_1", "customer": "cus_404"}}}
    await desk.post("stripe", json.dumps(event).encode())
    [(source, code, reason)] = await desk.letters()
    assert (source, code) == ("hooks/stripe", "HF154")
    assert "stripe_customer_id" in reason


async def test_a_channel_of_ones_own_may_report_too(desk: HookDesk) -> None:
    delivery = await desk.send("sms")
    body = {"type": "message.delivered", "data": {"delivery_id": delivery, "channel": "sms"}}
    await desk.post("my_sms", json.dumps(body).encode())
    assert (await desk.delivery(delivery))["status"] == "delivered"
