"""Requests on behalf of a step go where they were checked to go, however the host is written or looked up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.outcome import AccountError, ContentError, TransientError
from channels.webhook import call_webhook
from tests.integration.test_webhook import settings
from tests.standins.receiver import ReceiverStandIn


@pytest.fixture
async def receiver() -> AsyncIterator[ReceiverStandIn]:
    async with ReceiverStandIn() as running:
        yield running


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "１２７.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
    ],
)
async def test_this_machine_is_not_reached_under_any_other_spelling(
    host: str, receiver: ReceiverStandIn
) -> None:
    url = f"http://{host}:{receiver.port}/x"
    # Not though the very spelling is listed, without the port that a private address needs.
    for allowed in (receiver.host, host if host.isascii() else receiver.host):
        with pytest.raises((AccountError, ContentError)):
            await call_webhook("POST", url, {}, key="k", settings=settings(allowed), deadline_seconds=2)
    assert receiver.requests == []


@pytest.mark.parametrize("first", ["127.0.0.1", "169.254.169.254"])
async def test_a_host_is_looked_up_once_and_what_was_checked_is_where_it_goes(
    first: str, receiver: ReceiverStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with another address the second time it is asked."""
    asked: list[str] = []

    async def look_up(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        second = "169.254.169.254" if first == "127.0.0.1" else "127.0.0.1"
        return [(2, 1, 6, "", (first if len(asked) == 1 else second, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    told = settings(f"hook.example:{receiver.port}")
    sending = call_webhook(
        "POST", f"http://hook.example:{receiver.port}/x", {}, key="k", settings=told, deadline_seconds=30
    )
    if first == "127.0.0.1":
        assert (await sending).status == 200
        assert len(receiver.requests) == 1
    else:
        with pytest.raises(AccountError) as refused:
            await sending
        assert refused.value.provider_code == "private_address"
        assert receiver.requests == []
    assert asked == ["hook.example"]


@pytest.mark.parametrize("listening", [True, False])
async def test_where_the_first_address_does_not_answer_the_next_one_is_asked(
    listening: bool, receiver: ReceiverStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def look_up(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        # Nobody listens on the first; the second is never connected to.
        addresses = ["127.0.0.2", "169.254.169.254", *(["127.0.0.1"] if listening else [])]
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    told = settings(f"hook.example:{receiver.port}")
    sending = call_webhook("POST", f"http://hook.example:{receiver.port}/x", {}, key="k", settings=told)
    if listening:
        assert (await sending).status == 200
        assert len(receiver.requests) == 1
    else:
        with pytest.raises(TransientError):
            await sending
    assert asked == ["hook.example"]
