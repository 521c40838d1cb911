"""`POST /hooks/{source}`: who is let in, what is kept, and what a running playbook makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from schemas.plan import CompiledPlaybook
from store.hooks import store_request
from tests.hook_signing import (
    ACCOUNT,
    PUBLIC,
    STANDARD,
    TOKEN,
    TOPIC,
    Signed,
    public_key,
    sign_sendgrid,
    sign_sns,
    sign_standard,
    sign_stripe,
    sign_twilio,
)
from tests.integration.plans import ada
from tests.integration.running_engine import SECRET, House, eventually
from tests.integration.web_edge import RunningWeb, run_web
from tests.unit.compiling import plan

ENVIRON = {
    "HOLDFAST_PUBLIC_URL": PUBLIC, "HOLDFAST_SECRET_KEY": SECRET, "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "HOLDFAST_HOOK_SECRET_SENDGRID": public_key(), "HOLDFAST_HOOK_SECRET_RESEND": STANDARD,
    "HOLDFAST_HOOK_SECRET_STRIPE": "whsec_stripe", "HOLDFAST_HOOK_SECRET_HELP_DESK": STANDARD,
    "HOLDFAST_SNS_TOPICS": TOPIC, "HOLDFAST_HELP_TEXT": "Care & more: +49 30 1234",
}  # fmt: skip
CALLBACK = {"MessageSid": "SM" + "a" * 32, "MessageStatus": "delivered", "To": "+15005550009"}
HELP = {"MessageSid": "SM" + "b" * 32, "SmsStatus": "received", "From": "+15005550009", "Body": "Help"}


def sign_good() -> list[Signed]:
    """One request of each kind, signed now: a signature is good for minutes only."""
    return [
        sign_twilio(CALLBACK, "d=5a7c1f9e-1111-4222-8333-444455556666&a=1"),
        sign_sendgrid([{"event": "delivered", "sg_event_id": "1"}]),
        sign_standard("resend", {"type": "email.sent"}, prefix="svix"),
        sign_standard("help_desk", {"type": "ticket.opened", "data": {"user_id": "ada"}}),
        sign_stripe({"id": "evt_1", "type": "charge.updated"}),
    ]


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, **ENVIRON) as running:
        yield running


async def post(web: RunningWeb, request: Signed, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=web.address, trust_env=False) as client:
        return await client.post(request.path, content=request.body, headers=request.headers | headers)


async def test_what_is_signed_is_kept_once_and_acknowledged_every_time(web: RunningWeb) -> None:
    good = sign_good()
    for request in good:
        for _ in range(3):
            answer = await post(web, request)
            assert answer.status_code == 200, (request.source, answer.text)
    rows = await web.rows("SELECT source, body, query FROM hook_requests ORDER BY id")
    assert [row["source"] for row in rows] == [request.source for request in good]
    assert [bytes(row["body"]) for row in rows] == [request.body for request in good]
    assert rows[0]["query"] == good[0].query


async def test_what_isnt_signed_right_is_refused_and_not_kept(web: RunningWeb) -> None:
    good = sign_good()
    old = datetime.now(UTC) - timedelta(minutes=6)
    cases: list[tuple[Signed, int]] = [
        *((replace(request, headers={}), 401) for request in good),
        *((replace(request, body=request.body + b"x"), 403 if request.source == "twilio" else 401) for request in good),
        (replace(good[0], query="d=00000000-1111-4222-8333-444455556666&a=1"), 403),
        (sign_sendgrid([], at=old), 401),
        (sign_standard("resend", {}, at=datetime.now(UTC) + timedelta(minutes=6)), 401),
        (replace(good[1], headers=good[1].headers | {"X-Twilio-Email-Event-Webhook-Signature": "%%%"}), 401),
        (replace(good[2], headers={"svix-id": "x", "svix-timestamp": "1e9", "svix-signature": "v1,=="}), 401),
        (Signed("ses", b"\x00"), 401),
        (sign_sns({}, topic="arn:aws:sns:eu-west-1:999999999999:theirs"), 401),
        (sign_sns({}, certificate_url="https://evil.example/SimpleNotificationService-1.pem"), 401),
        (Signed("nobody", b"{}"), 404),
        (Signed("help_desk", b"x" * 1_100_000), 413),
    ]  # fmt: skip
    for request, status in cases:
        answer = await post(web, request)
        assert answer.status_code == status, (request.source, request.headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await post(web, good[3], **{"Content-Encoding": "gzip"})).status_code == 400
    # Twilio's signature is over our public address, whatever name the request came under.
    assert (await post(web, good[0], Host="evil.example")).status_code == 200
    assert await web.count("hook_requests") == 1


async def test_help_is_answered_once_and_not_where_twilio_does(web: RunningWeb) -> None:
    answer = await post(web, sign_twilio(HELP))
    assert answer.text == "<Response><Message>Care &amp; more: +49 30 1234</Message></Response>"
    assert answer.headers["content-type"].startswith("text/xml")
    assert (await post(web, sign_twilio(HELP))).text == "<Response></Response>"
    theirs = HELP | {"MessageSid": "SM" + "c" * 32, "OptOutType": "HELP"}
    assert (await post(web, sign_twilio(theirs))).text == "<Response></Response>"
    stop = HELP | {"MessageSid": "SM" + "d" * 32, "Body": "STOP"}
    assert (await post(web, sign_twilio(stop))).text == "<Response></Response>"


async def test_while_the_database_is_away_the_sender_is_told_to_come_again() -> None:
    async with run_web("postgresql://nobody@127.0.0.1:9/none", **ENVIRON) as web:
        answer = await post(web, sign_good()[3])
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


async def test_sns_certificates_are_asked_for_at_amazon_and_503_while_it_is_away(database_url: str) -> None:
    async with run_web(database_url, **ENVIRON, SNS_BASE_URL="http://127.0.0.1:9") as web:
        assert (await post(web, sign_sns({"eventType": "Send"}))).status_code == 503


# What runs make of it


def waiting(*lines: str) -> CompiledPlaybook:
    """Ada is written to; what comes next is given."""
    return plan(
        "\n".join(["enter: {when: {event: {name: help_wanted, within: 1h}}}", "steps:", *lines]) + "\n"
    )


LISTENING = "SELECT since FROM waits"
ENDED = "SELECT outcome FROM runs WHERE ended_at IS NOT NULL"


async def sent(house: House) -> str:
    [row] = await house.engine.until(
        "SELECT id::text AS id FROM deliveries WHERE state = 'accepted' AND step = 'ask'"
    )
    return str(row["id"])


async def test_a_run_waits_for_a_click_on_its_own_message(house: House, database_url: str) -> None:
    await house.engine.publish(
        waiting(
            "  - {id: ask, email: {subject: Hi, text: Hello}}",
            "  - wait_for: {event: {name: message_clicked, where: {step: ask}}, for: 7d}",
            "    then: [{id: thanks, email: {subject: Thanks, text: Bye}}]",
            "    else: [{id: miss, email: {subject: Missed, text: Bye}}]",
        )
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    delivery = await sent(house)
    await house.engine.until(LISTENING)
    async with run_web(database_url, **ENVIRON) as web:
        about = {
            "event": "click",
            "timestamp": int(datetime.now(UTC).timestamp()),
            "useragent": "Mozilla/5.0 (X11)",
        }
        other = about | {"sg_event_id": "c1", "delivery_id": "5a7c1f9e-1111-4222-8333-444455556666"}
        ours = about | {"sg_event_id": "c2", "delivery_id": delivery}
        assert (await post(web, sign_sendgrid([other, ours]))).status_code == 200
        await house.engine.until(ENDED)
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["Hi", "Thanks"]
    [row] = await house.engine.rows("SELECT status FROM deliveries WHERE step = 'ask'")
    assert row["status"] == "clicked"


async def test_a_delivery_told_before_the_run_listens_is_heard_all_the_same(
    house: House, database_url: str
) -> None:
    """The callback may be faster than everything else: it waits for the sender, and counts from after its record."""
    await house.engine.publish(
        waiting(
            "  - {id: ask, sms: {text: Hello}}",
            "  - wait_for: {event: {name: message_delivered, where: {step: ask, channel: sms}}, for: 7d}",
            "    then: [{id: thanks, email: {subject: Thanks, text: Bye}}]",
        )
    )
    await ada(house)
    async with run_web(database_url, **ENVIRON) as web:

        async def call_back() -> None:
            await eventually(lambda: asyncio.sleep(0, bool(house.twilio.accepted)))
            [row] = await house.engine.rows("SELECT id::text AS id FROM deliveries WHERE step = 'ask'")
            form = CALLBACK | {"MessageSid": house.twilio.accepted[0].sid}
            assert (await post(web, sign_twilio(form, f"d={row['id']}&a=1"))).status_code == 200

        calling = asyncio.create_task(call_back())
        await house.engine.send("ada", "help_wanted")
        await calling
        await house.engine.until(ENDED)
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["Thanks"]


async def test_a_run_hears_a_reply_and_another_that_the_customer_unsubscribed(
    house: House, database_url: str
) -> None:
    await house.engine.publish(
        waiting(
            "  - {id: ask, sms: {text: Hello}}",
            "  - wait_for: {event: {name: message_replied, where: {step: ask}}, for: 7d}",
            "    then: [{email: {subject: 'You wrote, {{ customer.first_name }}', text: Bye}}]",
            "  - wait_for: {event: {name: unsubscribed, where: {channel: email}}, for: 7d}",
            "    then: [{in_app: {title: Sorry, text: We stop}}]",
        )
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await sent(house)
    await house.engine.until(LISTENING)
    async with run_web(database_url, **ENVIRON) as web:
        assert (await post(web, sign_twilio(HELP | {"Body": "Tell me more"}))).status_code == 200
        await house.engine.until("SELECT 1 FROM waits WHERE step = 'steps[2]'")
        [mail] = house.smtp.accepted
        path = mail.message["List-Unsubscribe"][1:-1].removeprefix(PUBLIC)
        for _ in range(2):
            assert (await web.client.post(path, data={"List-Unsubscribe": "One-Click"})).status_code == 200
        await house.engine.until(ENDED)
    assert mail.message["Subject"] == "You wrote, Ada"
    rows = await house.engine.rows("SELECT name, properties FROM events WHERE name = 'unsubscribed'")
    # The second click changed nothing.
    [event] = [json.loads(json.dumps(row["properties"])) for row in rows]
    assert (event["channel"], event["source"], event["playbook"]) == ("email", "unsubscribe", "p")
    deliveries = await house.engine.rows("SELECT channel FROM deliveries ORDER BY created_at")
    assert [row["channel"] for row in deliveries] == ["sms", "email", "in_app"]


async def test_the_loop_is_part_of_every_worker(house: House) -> None:
    """What was stored while nobody rang is worked on by polling."""
    async with house.engine.database.transaction() as connection:
        await store_request(
            connection, source="help_desk", request_id="1", body=b'{"type": "x.happened", "data": {"user_id": "ada"}}',
            content_type="", query="", now=await house.engine.database.clock.read(connection),
        )  # fmt: skip
    await house.engine.until("SELECT 1 FROM events WHERE name = 'x_happened'")
