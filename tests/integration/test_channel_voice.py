"""Calls: what is read out is text and nothing else, and a call whose answer was lost is found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from channels.outcome import UNANSWERABLE, ChannelError, Receipt
from tests.integration.provider_desk import NUMBER, open_provider


async def test_a_call_is_placed_once_with_its_delivery_in_the_callback(tmp_path: Path) -> None:
    async with open_provider("voice", tmp_path) as desk:
        receipt = await desk.channel.send(desk.variant(attempt=2))
        [call] = desk.server.accepted
    assert receipt == Receipt("twilio", call.sid)
    assert call.form == {
        "To": NUMBER, "From": "+15005550006", "Timeout": "30",
        "Twiml": "<Response><Say>Two days are left.</Say></Response>",
        "StatusCallback": "https://holdfast.example/hooks/twilio?d=d-1&a=2",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["<Dial>+15005550001</Dial>", "]]></Say><Hangup/>", "&lt;Redirect/&gt;\x00"])
async def test_a_name_cannot_become_an_instruction(name: str, tmp_path: Path) -> None:
    async with open_provider("voice", tmp_path) as desk:
        await desk.channel.send(desk.variant(text=f"Hello {name}"))
        [call] = desk.server.accepted
    response = ElementTree.fromstring(call.form["Twiml"])
    assert [element.tag for element in response.iter()] == ["Response", "Say"]
    assert response[0].text == f"Hello {name}".replace("\x00", "")


@pytest.mark.parametrize(
    ("changes", "klass"),
    [
        ({"recipient": "0151 234"}, "recipient"),
        ({"text": " \n"}, "content"),
        ({"text": "<" * 1500}, "content"),
        ({"valid_for_seconds": 0}, "transient"),
    ],
)
async def test_what_twilio_would_refuse_is_not_posted(
    changes: dict[str, Any], klass: str, tmp_path: Path
) -> None:
    async with open_provider("voice", tmp_path) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(**changes))
        assert (raised.value.klass, desk.posts()) == (klass, 0)


@pytest.mark.parametrize("fault", ["cut_after", "garbled_after", "500_after"])
async def test_a_call_that_was_placed_is_found(fault: str, tmp_path: Path) -> None:
    since = datetime.now(UTC)
    async with open_provider("voice", tmp_path, fault) as desk:
        with pytest.raises(ChannelError):
            await desk.channel.send(desk.message)
        assert await desk.channel.look_up(desk.message, since) == Receipt(
            "twilio", desk.server.accepted[0].sid
        )


async def test_no_call_means_not_placed_and_several_leave_it_open(tmp_path: Path) -> None:
    since = datetime.now(UTC)
    async with open_provider("voice", tmp_path, "cut_before") as desk:
        with pytest.raises(ChannelError):
            await desk.channel.send(desk.message)
        assert await desk.channel.look_up(desk.message, since) is None
        for name in ("one", "two"):
            await desk.channel.send(desk.variant(delivery_id=name))
        assert await desk.channel.look_up(desk.message, since) is UNANSWERABLE
