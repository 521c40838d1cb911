"""The same faults for every provider with an API: each has its class, and is met by one request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from channels.outcome import ChannelError, Receipt
from tests.integration.provider_desk import open_provider

PROVIDERS = ("sendgrid", "resend", "ses", "webpush", "fcm", "twilio", "voice")
# fault, its class, how many messages the provider accepted
FAULTS = (
    ("429", "transient", 0),
    ("500_before", "unknown", 0),
    ("503_before", "unknown", 0),
    ("cut_before", "unknown", 0),
    ("cut_after", "unknown", 1),
    ("hang_after", "unknown", 1),
    ("drip_after", "unknown", 1),
    ("500_after", "unknown", 1),
    ("truncated_after", "unknown", 1),
    ("garbled_after", "unknown", 1),
    ("huge_after", "unknown", 1),
    ("307", "account", 0),
    ("refused", "account", 0),
)
# What FCM's stand-in doesn't do (its answers are small and its redirects none), and what says everything by its status:
# a push service's 201 is the whole answer, whatever comes after it.
ELSEWHERE = {
    ("fcm", "500_after"), ("fcm", "truncated_after"), ("fcm", "huge_after"), ("fcm", "307"),
    ("webpush", "garbled_after"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "fault", "klass", "accepted"),
    [
        (provider, *fault)
        for provider in PROVIDERS
        for fault in FAULTS
        if (provider, fault[0]) not in ELSEWHERE
    ],
)
async def test_each_fault_has_its_class_and_is_posted_once(
    provider: str, fault: str, klass: str, accepted: int, tmp_path: Path
) -> None:
    seconds = 0.4 if fault in ("hang_after", "drip_after") else 10.0
    async with open_provider(provider, tmp_path, fault, deadline_seconds=seconds) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.message)
        assert (raised.value.klass, raised.value.provider) == (klass, desk.channel.provider)
        assert (desk.posts(), desk.count()) == (1, accepted)
        if fault == "429":
            assert raised.value.retry_after_seconds == 7.0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_nobody_listening_is_surely_not_sent(provider: str, tmp_path: Path) -> None:
    async with open_provider(provider, tmp_path) as desk:
        await desk.server.__aexit__(None, None, None)
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.message)
        await desk.server.__aenter__()
    assert (raised.value.klass, raised.value.of_message) == ("transient", False)


@pytest.mark.parametrize("provider", ["sendgrid", "resend", "ses"])
async def test_an_endless_answer_is_cut_at_a_megabyte(provider: str, tmp_path: Path) -> None:
    """128 MB are offered; what leaves the server before the client hangs up fits into buffers."""
    async with open_provider(provider, tmp_path, "huge_after") as desk:
        with pytest.raises(ChannelError, match="more than 1000000 bytes"):
            await desk.channel.send(desk.message)
        await desk.server.drop_connections()
        assert desk.server.bytes_out < 16_000_000


@pytest.mark.parametrize("provider", ["sendgrid", "resend", "ses", "webpush"])
async def test_messages_side_by_side_are_each_taken_once_whatever_their_order(
    provider: str, tmp_path: Path
) -> None:
    async with open_provider(provider, tmp_path, "reorder", "delay") as desk:
        receipts = await asyncio.gather(
            *(desk.channel.send(desk.variant(delivery_id=name)) for name in ("first", "second", "third"))
        )
        assert len({receipt.provider_id for receipt in receipts}) == 3
        assert sorted(message.delivery for message in desk.server.accepted) == ["first", "second", "third"]


async def test_a_duplicate_of_the_providers_own_is_seen_by_the_stand_in(tmp_path: Path) -> None:
    """The oracle counts what would be two messages: without that, "once" proves nothing."""
    async with open_provider("sendgrid", tmp_path, "duplicate") as desk:
        assert isinstance(await desk.channel.send(desk.message), Receipt)
        assert (desk.posts(), desk.count()) == (1, 2)
