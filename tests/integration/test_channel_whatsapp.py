"""WhatsApp through Twilio's own client to a server that counts: approved templates, one POST each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from channels.outcome import UNANSWERABLE, ChannelError, OutgoingMessage, Receipt
from channels.twilio_whatsapp import TwilioWhatsappChannel
from tests.standins.programme import Programme
from tests.standins.twilio import TwilioStandIn

NUMBER = "+4915123456789"
INVITED = "HX" + "1" * 32
PLAIN = "HX" + "2" * 32
CONTENTS = {INVITED: "Hi {{1}}, {{2}} suppliers like you fill their calendar.", PLAIN: "We miss you."}


def make_message(delivery: str = "d-1", **changes: object) -> OutgoingMessage:
    fields = {
        "recipient": NUMBER, "text": "", "content_sid": INVITED, "variables": {"1": "Zoë", "2": "40"}, **changes,
    }  # fmt: skip
    return OutgoingMessage(delivery_id=delivery, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def connect(
    *script: str, sender: str = "+15005550006", deadline_seconds: float = 10.0
) -> AsyncIterator[tuple[TwilioStandIn, TwilioWhatsappChannel]]:
    async with TwilioStandIn(Programme(script), contents=CONTENTS) as server:
        channel = TwilioWhatsappChannel(
            account_sid=server.account, auth_token=server.token, sender=sender, base_url=server.url,
            public_url="https://holdfast.example", deadline_seconds=deadline_seconds,
        )  # fmt: skip
        try:
            yield server, channel
        finally:
            await channel.close()


async def test_a_template_is_sent_with_its_variables_between_whatsapp_addresses() -> None:
    async with connect() as (server, channel):
        receipt = await channel.send(make_message(attempt=2, valid_for_seconds=3600))
        [taken] = server.accepted
    assert receipt == Receipt("twilio", taken.sid)
    assert json.loads(taken.form.pop("ContentVariables")) == {"1": "Zoë", "2": "40"}
    assert taken.form == {
        "To": f"whatsapp:{NUMBER}", "From": "whatsapp:+15005550006", "ContentSid": INVITED,
        "ValidityPeriod": "3600", "StatusCallback": "https://holdfast.example/hooks/twilio?d=d-1&a=2",
    }  # fmt: skip
    assert taken.body == "Hi Zoë, 40 suppliers like you fill their calendar."


@pytest.mark.parametrize(
    ("sender", "field", "value"),
    [
        ("whatsapp:+15005550006", "From", "whatsapp:+15005550006"),
        ("MG" + "3" * 32, "MessagingServiceSid", "MG" + "3" * 32),
    ],
)
async def test_the_sender_is_a_number_or_a_messaging_service(sender: str, field: str, value: str) -> None:
    async with connect(sender=sender) as (server, channel):
        await channel.send(make_message())
        assert server.accepted[0].form[field] == value


@pytest.mark.parametrize(
    ("fault", "klass", "accepted"),
    [
        ("429", "transient", 0),
        ("500_after", "unknown", 1),
        ("cut_after", "unknown", 1),
        ("hang_after", "unknown", 1),
        ("401", "account", 0),
        ("21610", "consent", 0),
        ("400/63003", "recipient", 0),
        ("400/63007", "account", 0),
        ("400/63024", "recipient", 0),
        ("400/21656", "content", 0),
    ],
)
async def test_each_fault_has_its_class_and_is_posted_once(fault: str, klass: str, accepted: int) -> None:
    async with connect(fault, deadline_seconds=0.5 if "hang" in fault else 10.0) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_message())
        assert raised.value.klass == klass
        assert server.requests == ["POST"]
        assert server.count("d-1") == accepted


@pytest.mark.parametrize(
    ("changes", "klass"),
    [
        ({"recipient": "0151 234"}, "recipient"),
        ({"content_sid": ""}, "content"),
        ({"content_sid": "short-nudge"}, "content"),
        ({"valid_for_seconds": 0}, "transient"),
    ],
)
async def test_what_twilio_would_refuse_is_not_posted(changes: dict[str, object], klass: str) -> None:
    async with connect() as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_message(**changes))
        assert raised.value.klass == klass
        assert server.requests == []


async def test_a_message_that_was_taken_is_found_by_its_variables() -> None:
    since = datetime.now(UTC)
    async with connect("ok", "cut_after") as (server, channel):
        await channel.send(make_message("other", variables={"1": "Ada", "2": "7"}))
        with pytest.raises(ChannelError):
            await channel.send(make_message())
        assert await channel.look_up(make_message(), since) == Receipt("twilio", server.accepted[1].sid)


async def test_a_message_is_absent_only_where_nothing_went_to_that_number_since() -> None:
    since = datetime.now(UTC)
    async with connect("ok", "cut_before") as (_, channel):
        await channel.send(make_message("other", recipient="+4915999999999"))
        with pytest.raises(ChannelError):
            await channel.send(make_message())
        assert await channel.look_up(make_message(), since) is None
        assert await channel.look_up(make_message(), since + timedelta(minutes=5)) is None

        await channel.send(make_message("another", variables={"1": "Ada", "2": "7"}))
        assert await channel.look_up(make_message(), since) is UNANSWERABLE


async def test_a_template_without_variables_cannot_be_told_from_another() -> None:
    since = datetime.now(UTC)
    async with connect("cut_after") as (_, channel):
        with pytest.raises(ChannelError):
            await channel.send(make_message(content_sid=PLAIN, variables={}))
        assert await channel.look_up(make_message(content_sid=PLAIN, variables={}), since) is UNANSWERABLE


async def test_what_names_no_template_is_a_text_and_is_found_by_it() -> None:
    async with connect() as (server, channel):
        answer = make_message(content_sid="", variables={}, text="Thanks, we look into it.")
        receipt = await channel.send(answer)
        [taken] = server.accepted
        assert (taken.body, "ContentSid" in taken.form) == ("Thanks, we look into it.", False)
        since = datetime.now(UTC) - timedelta(minutes=1)
        assert await channel.look_up(answer, since) == receipt
        assert await channel.look_up(make_message(content_sid="", variables={}, text="Other"), since) is None
