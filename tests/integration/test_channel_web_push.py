"""Web push: only the browser can read it, only we can have sent it; and push to several places at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from channels.outcome import UNANSWERABLE, ChannelError, Device, Receipt
from channels.web_push import WebPushChannel
from channels.web_push_encryption import decode, encode, encrypt, make_vapid_key, read_vapid_key
from schemas.errors import SettingError
from tests.integration.provider_desk import PRIVATE, open_provider
from tests.standins.web_push import Browser


def test_rfc_8291s_own_example_comes_out() -> None:
    """Appendix A: the keys and the salt are given, so that the body is."""
    ours = ec.derive_private_key(
        int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        p256dh="BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        auth="BTBZMqHH6r4Tts7J_aSIgg",
        ours=ours,
        salt=decode("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert encode(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
        "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


async def test_a_browser_reads_what_was_sent_and_a_second_one_would_replace_it(tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        receipt = await desk.channel.send(desk.variant(valid_for_seconds=600))
        [taken] = desk.server.accepted
    assert receipt == Receipt("webpush", f"{desk.server.url}/message/{taken.id}")
    shown = {name: taken.content[name] for name in ("title", "body", "tag", "ttl")}
    assert shown == {
        "title": "Zoë, your trial ends", "body": "Two days are left.", "tag": "d-1", "ttl": "600",
    }  # fmt: skip
    assert len(taken.content["topic"]) == 32


@pytest.mark.parametrize(
    ("fault", "klass"),
    [
        ("410/gone", "recipient"),
        ("404/gone", "recipient"),
        ("403/mismatch", "recipient"),
        ("403/forbidden", "account"),
        ("413/too long", "content"),
    ],
)
async def test_a_push_services_words_have_their_class(fault: str, klass: str, tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path, fault) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.message)
        assert (raised.value.klass, desk.posts()) == (klass, 1)
        assert bool(raised.value.gone) == (klass == "recipient")


async def test_another_key_of_ours_is_not_let_in(tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        private, _ = make_vapid_key()
        stranger = WebPushChannel(
            read_vapid_key("X", private, "mailto:x@example.com"), hosts=[desk.server.host]
        )
        with pytest.raises(ChannelError) as raised:
            await stranger.send(desk.message)
        await stranger.close()
    assert (raised.value.klass, raised.value.provider_code) == ("account", "401")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/push",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evil.example/?fcm.googleapis.com",
        "https://user@fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "http://fcm.googleapis.com/x",
        "https://[::1/x",
    ],
)
async def test_what_is_no_push_service_is_never_spoken_to(endpoint: str, tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        browser = Browser(endpoint)
        with pytest.raises(ChannelError, match="address") as raised:
            await desk.channel.send(desk.variant(devices=(Device("web", endpoint, browser.keys),)))
        assert (raised.value.klass, desk.posts()) == ("recipient", 0)


@pytest.mark.parametrize(
    ("changes", "klass"),
    [
        ({"subject": " "}, "content"),
        ({"text": "ü" * 2000}, "content"),
        ({"valid_for_seconds": 0}, "transient"),
        ({"devices": ()}, "recipient"),
    ],
)
async def test_what_could_not_be_shown_is_not_posted(
    changes: dict[str, Any], klass: str, tmp_path: Path
) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(**changes))
        assert (raised.value.klass, desk.posts()) == (klass, 0)


async def test_the_longest_notification_that_is_let_through_is_taken(tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        await desk.channel.send(desk.variant(text="x" * 3850))
        assert desk.count() == 1


@pytest.mark.parametrize("keys", [{}, {"p256dh": "AAAA", "auth": "AAAA"}, {"p256dh": "!", "auth": "?"}])
async def test_keys_that_are_none_make_the_browser_unreachable(keys: dict[str, str], tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        [device] = desk.message.devices
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(devices=(Device("web", device.token, keys),)))
        assert (raised.value.klass, desk.posts()) == ("recipient", 0)


@pytest.mark.parametrize("name", ["webpush", "fcm"])
async def test_every_device_gets_it_once_and_those_that_are_gone_are_told(name: str, tmp_path: Path) -> None:
    gone = "410/gone" if name == "webpush" else "404/UNREGISTERED"
    async with open_provider(name, tmp_path, "ok", gone, "ok") as desk:
        if name == "webpush":
            browsers = [desk.server.subscribe() for _ in range(3)]
            devices = tuple(Device("web", browser.endpoint, browser.keys) for browser in browsers)
        else:
            devices = tuple(Device("fcm", f"app-{number}") for number in range(3))
        receipt = await desk.channel.send(desk.variant(devices=devices))
        assert (desk.posts(), desk.count(), len(receipt.gone)) == (3, 2, 1)
        assert receipt.gone[0] in {device.token for device in devices}


async def test_one_device_that_took_it_is_enough_and_the_weightiest_failure_tells_where_none_did(
    tmp_path: Path,
) -> None:
    devices = (Device("fcm", "app-1"), Device("fcm", "app-2"))
    async with open_provider("fcm", tmp_path, "cut_after", "ok") as desk:
        assert (await desk.channel.send(desk.variant(devices=devices))).provider == "fcm"
    async with open_provider("fcm", tmp_path, "404/UNREGISTERED", "cut_before") as desk:
        with pytest.raises(ChannelError) as raised:
            await desk.channel.send(desk.variant(devices=devices))
    assert (raised.value.klass, len(raised.value.gone)) == ("unknown", 1)


async def test_a_push_service_cannot_be_asked(tmp_path: Path) -> None:
    async with open_provider("webpush", tmp_path) as desk:
        assert await desk.channel.look_up(desk.message, datetime.now(UTC)) is UNANSWERABLE


@pytest.mark.parametrize(
    ("key", "subject", "told"),
    [
        ("short!", "mailto:a@example.com", "VAPID_PRIVATE_KEY"),
        ("", "mailto:a@example.com", "VAPID_PRIVATE_KEY"),
        (PRIVATE, "a@example.com", "VAPID_SUBJECT"),
    ],
    ids=["a short key", "no key", "no address"],
)
def test_a_key_that_cannot_be_used_says_why(key: str, subject: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        read_vapid_key("VAPID_PRIVATE_KEY", key, subject)
