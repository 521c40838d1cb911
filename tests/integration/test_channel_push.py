"""Push through FCM's HTTP v1 to a server that checks signatures and counts: each class of failure, one POST each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.fcm import FcmChannel
from channels.google_account import read_service_account
from channels.outcome import UNANSWERABLE, ChannelError, OutgoingMessage, Receipt
from schemas.errors import SettingError
from tests.standins.fcm import FcmStandIn
from tests.standins.programme import Programme
from tests.standins.silence import serve_silence

DEVICE = "cXy_Z-1:APA91b" + "x" * 120
SEND = "/v1/projects/studio/messages:send"


def make_push(delivery: str = "d-1", **changes: object) -> OutgoingMessage:
    fields = {"recipient": DEVICE, "subject": "Zoë, your trial ends", "text": "Two days are left.", **changes}
    return OutgoingMessage(delivery_id=delivery, **fields)  # type: ignore[arg-type]


def make_channel(
    server: FcmStandIn,
    directory: Path,
    *,
    deadline_seconds: float = 10.0,
    clock: Callable[[], float] = time.time,
    **changes: object,
) -> FcmChannel:
    account = read_service_account(
        "GOOGLE_APPLICATION_CREDENTIALS", str(server.write_account(directory / "key.json", **changes))
    )
    return FcmChannel(account, base_url=server.url, deadline_seconds=deadline_seconds, clock=clock)


@asynccontextmanager
async def connect(
    directory: Path, *script: str, deadline_seconds: float = 10.0, retry_after: str = ""
) -> AsyncIterator[tuple[FcmStandIn, FcmChannel]]:
    async with FcmStandIn(Programme(script), retry_after=retry_after) as server:
        channel = make_channel(server, directory, deadline_seconds=deadline_seconds)
        try:
            yield server, channel
        finally:
            await channel.close()


async def test_a_notification_is_taken_once_from_a_signed_account(tmp_path: Path) -> None:
    async with connect(tmp_path) as (server, channel):
        receipt = await channel.send(make_push(valid_for_seconds=600))
        [taken] = server.accepted
    assert receipt == Receipt("fcm", "projects/studio/messages/1")
    assert (taken["token"], taken["data"]) == (DEVICE, {"delivery_id": "d-1"})
    assert taken["notification"] == {"title": "Zoë, your trial ends", "body": "Two days are left."}
    # Should it arrive twice all the same, the second replaces the first.
    assert taken["android"] == {"collapse_key": "d-1", "ttl": "600s", "notification": {"tag": "d-1"}}
    assert taken["apns"]["headers"]["apns-collapse-id"] == "d-1"
    assert len(taken["webpush"]["headers"]["Topic"]) == 32
    assert server.requests == ["/token", SEND]


async def test_a_token_is_fetched_once_and_renewed_two_minutes_before_it_ends(tmp_path: Path) -> None:
    now = time.time() - 10
    async with FcmStandIn() as server:
        server.token_seconds = 125
        channel = make_channel(server, tmp_path, clock=lambda: now)
        for delivery, seconds in (("a", 0), ("b", 4), ("c", 2)):
            now += seconds
            await channel.send(make_push(delivery))
        await channel.close()
    assert server.requests == ["/token", SEND, SEND, "/token", SEND]


@pytest.mark.parametrize(
    ("fault", "klass", "code", "accepted"),
    [
        ("404/UNREGISTERED", "recipient", "UNREGISTERED", 0),
        ("400/token", "recipient", "INVALID_ARGUMENT", 0),
        ("400/INVALID_ARGUMENT", "content", "INVALID_ARGUMENT", 0),
        ("403/SENDER_ID_MISMATCH", "account", "SENDER_ID_MISMATCH", 0),
        ("401/THIRD_PARTY_AUTH_ERROR", "account", "THIRD_PARTY_AUTH_ERROR", 0),
        ("429/QUOTA_EXCEEDED", "transient", "QUOTA_EXCEEDED", 0),
        ("503/UNAVAILABLE", "transient", "UNAVAILABLE", 0),
        ("500/INTERNAL", "unknown", "INTERNAL", 0),
        # What stands between us and FCM doesn't know whether it came through.
        ("proxy_503", "unknown", "503", 0),
        ("cut_before", "unknown", None, 0),
        ("cut_after", "unknown", None, 1),
        ("garbled_after", "unknown", None, 1),
        ("drip_after", "unknown", None, 1),
        ("hang_after", "unknown", None, 1),
    ],
)
async def test_each_fault_has_its_class_and_is_posted_once(
    fault: str, klass: str, code: str | None, accepted: int, tmp_path: Path
) -> None:
    endless = fault.startswith(("hang", "drip"))
    async with connect(tmp_path, fault, deadline_seconds=0.5 if endless else 10.0) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
        assert (raised.value.klass, raised.value.provider_code) == (klass, code)
        assert server.requests == ["/token", SEND]
        assert server.count("d-1") == accepted


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("", 60.0)])
async def test_a_used_up_quota_waits_as_long_as_fcm_says(said: str, seconds: float, tmp_path: Path) -> None:
    async with connect(tmp_path, "429/QUOTA_EXCEEDED", retry_after=said) as (_, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
    assert raised.value.retry_after_seconds == seconds


async def test_a_token_that_is_refused_is_not_used_again(tmp_path: Path) -> None:
    async with connect(tmp_path, "forget_tokens") as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
        assert raised.value.klass == "account"
        await channel.send(make_push())
        assert server.requests == ["/token", SEND, "/token", SEND]


async def test_an_account_that_google_refuses_is_the_accounts_fault_and_nothing_is_sent(
    tmp_path: Path,
) -> None:
    async with FcmStandIn() as server:
        server.refuse_account = True
        channel = make_channel(server, tmp_path)
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
        await channel.close()
        assert (raised.value.klass, server.requests) == ("account", ["/token"])


async def test_a_key_that_is_not_the_accounts_is_refused(tmp_path: Path) -> None:
    """The signature is checked: another project's key doesn't do."""
    async with FcmStandIn() as server, FcmStandIn() as other:
        channel = make_channel(other, tmp_path, token_uri=f"{server.url}/token")
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
        await channel.close()
        assert (raised.value.klass, server.accepted) == ("account", [])


async def test_nobody_listening_is_surely_not_sent(tmp_path: Path) -> None:
    async with FcmStandIn() as server:
        channel = make_channel(server, tmp_path)
    with pytest.raises(ChannelError) as raised:
        await channel.send(make_push())
    await channel.close()
    assert raised.value.klass == "transient"


async def test_google_not_answering_for_a_token_is_surely_not_sent_within_the_deadline(
    tmp_path: Path,
) -> None:
    async with FcmStandIn() as server, serve_silence() as port:
        channel = make_channel(
            server, tmp_path, deadline_seconds=0.5, token_uri=f"http://127.0.0.1:{port}/token"
        )
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push())
        await channel.close()
        assert (raised.value.klass, server.requests) == ("transient", [])


@pytest.mark.parametrize(
    ("changes", "klass"),
    [
        ({"recipient": "two tokens"}, "recipient"),
        ({"recipient": "x" * 5000}, "recipient"),
        ({"subject": " "}, "content"),
        ({"text": ""}, "content"),
        ({"text": "ü" * 2100}, "content"),
        ({"valid_for_seconds": 0}, "transient"),
    ],
)
async def test_what_fcm_would_refuse_is_not_posted(
    changes: dict[str, object], klass: str, tmp_path: Path
) -> None:
    async with connect(tmp_path) as (server, channel):
        with pytest.raises(ChannelError) as raised:
            await channel.send(make_push(**changes))
        assert raised.value.klass == klass
        assert server.requests == []


async def test_fcm_cannot_be_asked_what_became_of_a_message(tmp_path: Path) -> None:
    async with connect(tmp_path) as (_, channel):
        assert await channel.look_up(make_push(), datetime.now(UTC)) is UNANSWERABLE


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read"),
        ("not json", "isn't JSON"),
        ('{"type": "authorized_user"}', "no service account"),
        ('{"type": "service_account", "project_id": "p", "client_email": "e", "private_key": "k"}', "token_uri"),
        ('{"type": "service_account", "project_id": "p", "client_email": "e", "private_key": "k", '
         '"token_uri": "https://t"}', "private key"),
    ],
)  # fmt: skip
def test_a_key_file_that_cannot_be_used_says_why(content: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=told):
        read_service_account("GOOGLE_APPLICATION_CREDENTIALS", str(path))
