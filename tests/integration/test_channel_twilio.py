"""Text messages through Twilio's own client to a server that counts: each class of failure, one POST each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from channels.outcome import UNANSWERABLE, ChannelError, OutgoingMessage, Receipt
from channels.twilio import TwilioSmsChannel
from channels.twilio_account import LOOK_UP_LIMIT
from tests.standins.programme import Programme
from tests.standins.silence import serve_silence
from tests.standins.twilio import TwilioStandIn

NUMBER = "+4915123456789"


def make_sms(
    delivery: str = "d-1", text: str = "Your trial ends on Friday.", **changes: object
) -> OutgoingMessage:
    return OutgoingMessage(
        delivery_id=delivery, recipient=str(changes.pop("recipient", NUMBER)), text=text, **changes
    )  # type: ignore[arg-type]


def make_channel(
    server: TwilioStandIn, token: str = "secret", deadline_seconds: float = 10.0
) -> TwilioSmsChannel:
    return TwilioSmsChannel(
        account_sid=server.account, auth_token=token, sender="+15005550006", base_url=server.url,
        public_url="https://holdfast.example", deadline_seconds=deadline_seconds,
    )  # fmt: skip


@asynccontextmanager
async def connect(
    *script: str, deadline_seconds: float = 10.0
) -> AsyncIterator[tuple[TwilioStandIn, TwilioSmsChannel]]:
    async with TwilioStandIn(Programme(script)) as server:
        channel = make_channel(server, deadline_seconds=deadline_seconds)
        try:
            yield server, channel
        finally:
            await channel.close()


async def test_a_message_is_taken_once_with_its_delivery_in_the_callback() -> None:
    async with connect() as (server, channel):
        receipt = await channel.send(make_sms(attempt=2, valid_for_seconds=90_000))
        [sms] = server.accepted
    assert receipt == Receipt("twilio", sms.sid)
    assert sms.form == {
        "To": NUMBER, "From": "+15005550006", "Body": "Your trial ends on Friday.", "ValidityPeriod": "36000",
        "StatusCallback": "https://holdfast.example/hooks/twilio?d=d-1&a=2",
    }  # fmt: skip
    assert server.requests == ["POST"]


@pytest.mark.parametrize(
    ("fault", "klass", "accepted"),
    [
        ("429", "transient", 0),
        ("500_before", "unknown", 0),
        ("500_after", "unknown", 1),
        ("503/20500", "unknown", 0),
        ("cut_before", "unknown", 0),
        ("cut_after", "unknown", 1),
        ("garbled_after", "unknown", 1),
        ("truncated_after", "unknown", 1),
        ("huge_after", "unknown", 1),
        ("drip_after", "unknown", 1),
        ("hang_before", "unknown", 0),
        ("hang_after", "unknown", 1),
        ("307", "account", 0),
        ("401", "account", 0),
        ("21610", "consent", 0),
        ("400/21211", "recipient", 0),
        ("400/21614", "recipient", 0),
        ("400/21606", "account", 0),
        ("400/21617", "content", 0),
        ("400/99999", "content", 0),
    ],
)
async def test_each_fault_has_its_class_and_is_posted_once(fault: str, klass: str, accepted: int) -> None:
    endless = fault.startswith(("hang", "drip"))
    async with connect(fault, deadline_seconds=1.0 if endless else 10.0) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_sms())
        assert raised.value.klass == klass
        assert server.requests == ["POST"]
        assert server.count("d-1") == accepted


async def test_retry_after_is_kept() -> None:
    async with connect("429") as (_, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_sms())
    assert (raised.value.retry_after_seconds, raised.value.provider_code) == (7.0, "20429")


async def test_wrong_credentials_are_the_accounts_fault() -> None:
    async with TwilioStandIn() as server:
        channel = make_channel(server, token="wrong")
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_sms())
        await channel.close()
    assert (raised.value.klass, raised.value.provider_code) == ("account", "20003")


async def test_nobody_listening_is_surely_not_sent() -> None:
    async with TwilioStandIn() as server:
        channel = make_channel(server)
    with pytest.raises(ChannelError) as raised:
        await channel.send(make_sms())
    await channel.close()
    assert raised.value.klass == "transient"


async def test_a_server_that_never_answers_a_handshake_is_surely_not_sent() -> None:
    """TCP connects, TLS doesn't: no byte of the request has left."""
    async with serve_silence() as port:
        channel = TwilioSmsChannel(
            account_sid="AC" + "0" * 32, auth_token="x", sender="+15005550006",
            base_url=f"https://127.0.0.1:{port}", connect_seconds=0.3,
        )  # fmt: skip
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_sms())
        await channel.close()
    assert raised.value.klass == "transient"


@pytest.mark.parametrize(
    ("message", "klass"),
    [
        (make_sms(recipient="0151 234"), "recipient"),
        (make_sms(recipient="whatsapp:+4915123456789"), "recipient"),
        (make_sms(text=" \n"), "content"),
        (make_sms(text="x" * 1601), "content"),
        (make_sms(valid_for_seconds=0), "transient"),
    ],
)
async def test_what_twilio_would_refuse_is_not_posted(message: OutgoingMessage, klass: str) -> None:
    async with connect() as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(message)
        assert raised.value.klass == klass
        assert server.requests == []


@pytest.mark.parametrize("fault", ["cut_after", "garbled_after", "500_after", "hang_after"])
async def test_a_message_that_was_taken_is_found(fault: str) -> None:
    since = datetime.now(UTC)
    async with connect(fault, deadline_seconds=2.0 if fault == "hang_after" else 10.0) as (server, channel):
        with pytest.raises(ChannelError):
            await channel.send(make_sms())
        assert await channel.look_up(make_sms(), since) == Receipt("twilio", server.accepted[0].sid)


async def test_a_message_that_was_not_taken_is_absent() -> None:
    since = datetime.now(UTC)
    async with connect("ok", "ok", "cut_before") as (_, channel):
        await channel.send(make_sms("other", text="Another text."))
        await channel.send(make_sms("other", recipient="+4915999999999"))
        with pytest.raises(ChannelError):
            await channel.send(make_sms())
        assert await channel.look_up(make_sms(), since) is None


async def test_an_older_message_with_the_same_text_is_not_this_one() -> None:
    async with connect() as (_, channel):
        await channel.send(make_sms())
        assert await channel.look_up(make_sms(), datetime.now(UTC) + timedelta(minutes=5)) is None


async def test_a_look_up_reads_all_pages_and_admits_when_there_are_too_many() -> None:
    since = datetime.now(UTC)
    async with connect() as (server, channel):
        wanted = server.accept({"To": NUMBER, "Body": "Your trial ends on Friday.", "From": "+15005550006"})
        for number in range(450):
            server.accept({"To": NUMBER, "Body": f"Other {number}", "From": "+15005550006"})
        assert await channel.look_up(make_sms(), since) == Receipt("twilio", wanted.sid)
        assert server.requests == ["GET", "GET", "GET"]

        for number in range(LOOK_UP_LIMIT):
            server.accept({"To": NUMBER, "Body": f"Other {number}", "From": "+15005550006"})
        assert await channel.look_up(make_sms(text="Never sent."), since) is UNANSWERABLE


async def test_a_look_up_that_fails_is_tried_again_later() -> None:
    async with TwilioStandIn() as server:
        channel = make_channel(server)
    with pytest.raises(ChannelError) as raised:
        await channel.look_up(make_sms(), datetime.now(UTC))
    await channel.close()
    assert raised.value.klass == "transient"


async def test_under_random_faults_with_look_up_each_message_is_taken_exactly_once() -> None:
    faults = {"429": 0.1, "500_before": 0.1, "500_after": 0.1, "cut_before": 0.1, "cut_after": 0.1,
              "garbled_after": 0.1}  # fmt: skip
    since = datetime.now(UTC)
    async with TwilioStandIn(Programme(rates=faults, seed=11)) as server:
        channel = make_channel(server)

        async def deliver(number: int) -> None:
            message = make_sms(f"d-{number}", text=f"Text {number}")
            for _ in range(100):
                try:
                    await channel.send(message)
                    return
                except ChannelError as error:
                    if error.klass == "unknown" and await channel.look_up(message, since):
                        return
            pytest.fail("never taken")

        await asyncio.gather(*(deliver(number) for number in range(40)))
        await channel.close()
        assert [server.count(f"d-{number}") for number in range(40)] == [1] * 40
