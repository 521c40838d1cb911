"""What the demo sends is caught on this machine: on the disk first, acknowledged after."""

from __future__ import annotations

import json
import smtplib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from channels.outcome import AccountError, OutgoingMessage, Receipt
from channels.registry import close_channels, make_channels
from channels.settings import ChannelSettings
from channels.twilio import TwilioSmsChannel
from loops.child import Child, start, stop
from loops.development import listens
from loops.ports import HOST
from loops.push_sink import make_account
from tests.own_ports import own_port

ACCOUNT = "AC" + "1" * 32
TOKEN = "2" * 32


@dataclass(frozen=True)
class Sinks:
    smtp_port: int
    sms_port: int
    outbox: Path
    push_account: Path

    @property
    def settings(self) -> ChannelSettings:
        """What `holdfast dev` tells the worker of WhatsApp and push."""
        url = f"http://{HOST}:{self.sms_port}"
        return ChannelSettings(
            twilio_account_sid=ACCOUNT, twilio_auth_token=TOKEN, twilio_whatsapp_from="+15005550006",
            twilio_base_url=url, google_credentials=str(self.push_account), fcm_base_url=url,
        )  # fmt: skip

    def channel(self, token: str = TOKEN) -> TwilioSmsChannel:
        return TwilioSmsChannel(
            account_sid=ACCOUNT,
            auth_token=token,
            sender="+15005550006",
            base_url=f"http://{HOST}:{self.sms_port}",
        )


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    directory = tmp_path_factory.mktemp("sinks")
    running = Sinks(own_port(), own_port(), directory / "outbox", directory / "push-account.json")
    make_account(running.push_account, f"http://{HOST}:{running.sms_port}")
    child = Child(
        "sinks",
        (sys.executable, "-m", "loops.sinks", "--smtp-port", str(running.smtp_port),
         "--sms-port", str(running.sms_port), "--outbox", str(running.outbox),
         "--push-account", str(running.push_account)),
        directory / "log",
        lambda: listens(running.smtp_port) and listens(running.sms_port),
        environ={"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    process = start(child)
    yield running
    stop(child, process)


def test_a_mail_is_kept_whole_with_its_envelope(sinks: Sinks) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail["From"] = "care@holdfast.example"
    mail["To"] = "ada@studio.example"
    mail["Message-ID"] = "<7@holdfast.example>"
    mail.set_content(".\n..a line of dots\nZoë\n")
    with smtplib.SMTP(HOST, sinks.smtp_port, timeout=10) as client:
        client.send_message(mail, to_addrs=["ada@studio.example", "hidden@studio.example"])
        # It answered, so it lies there already.
        kept = [message_from_bytes(path.read_bytes()) for path in sinks.outbox.glob("*.eml")]
    (found,) = [each for each in kept if each["Message-ID"] == "<7@holdfast.example>"]
    assert found.get_all("X-Envelope-To") == ["ada@studio.example", "hidden@studio.example"]
    content = found.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().splitlines() == [".", "..a line of dots", "Zoë"]


async def test_an_sms_of_the_real_client_is_kept_and_found_again(sinks: Sinks) -> None:
    channel = sinks.channel()
    message = OutgoingMessage(delivery_id="d-1", recipient="+4915112345678", text="Schön, dass Sie da sind")
    since = datetime.now(UTC) - timedelta(minutes=1)
    receipt = await channel.send(message)
    (kept,) = [each for path in sinks.outbox.glob("*.sms.json") if (each := json.loads(path.read_text()))]
    assert (kept["to"], kept["body"], kept["sid"]) == (message.recipient, message.text, receipt.provider_id)

    assert await channel.look_up(message, since) == Receipt("twilio", receipt.provider_id)
    other = OutgoingMessage(delivery_id="d-2", recipient="+4915112345678", text="never sent")
    assert await channel.look_up(other, since) is None
    await channel.close()


async def test_wrong_credentials_are_refused_as_twilio_does(sinks: Sinks) -> None:
    channel = sinks.channel(token="3" * 32)
    with pytest.raises(AccountError):
        await channel.send(OutgoingMessage(delivery_id="d-3", recipient="+4915112345678", text="no"))
    await channel.close()


async def test_a_whatsapp_message_of_the_real_client_is_kept_and_found_again(sinks: Sinks) -> None:
    channels = make_channels(sinks.settings)
    message = OutgoingMessage(
        delivery_id="d-4",
        recipient="+4915112345678",
        text="",
        content_sid="HX" + "1" * 32,
        variables={"1": "Zoë"},
    )
    since = datetime.now(UTC) - timedelta(minutes=1)
    receipt = await channels["whatsapp"].send(message)
    (kept,) = [json.loads(path.read_text()) for path in sinks.outbox.glob("*.whatsapp.json")]
    assert (kept["to"], kept["content_sid"]) == ("whatsapp:+4915112345678", "HX" + "1" * 32)
    assert json.loads(kept["content_variables"]) == {"1": "Zoë"}
    assert await channels["whatsapp"].look_up(message, since) == receipt
    await close_channels(channels)


async def test_a_push_notification_is_kept_after_the_account_proved_who_it_is(
    sinks: Sinks, tmp_path: Path
) -> None:
    channels = make_channels(sinks.settings)
    message = OutgoingMessage(delivery_id="d-5", recipient="device:1", text="Two days left", subject="Grüße")
    receipt = await channels["push"].send(message)
    (kept,) = [json.loads(path.read_text()) for path in sinks.outbox.glob("*.push.json")]
    assert (kept["name"], kept["token"]) == (receipt.provider_id, "device:1")
    assert kept["notification"] == {"title": "Grüße", "body": "Two days left"}
    await close_channels(channels)

    # Another key, the same addresses.
    make_account(tmp_path / "other.json", sinks.settings.fcm_base_url)
    strangers = make_channels(replace(sinks.settings, google_credentials=str(tmp_path / "other.json")))
    with pytest.raises(AccountError):
        await strangers["push"].send(message)
    await close_channels(strangers)


def test_the_account_of_the_sink_keeps_its_key_when_its_port_changes(tmp_path: Path) -> None:
    made = []
    for port in (1, 2):
        make_account(tmp_path / "account.json", f"http://{HOST}:{port}")
        made.append(json.loads((tmp_path / "account.json").read_text()))
    assert made[0]["private_key"] == made[1]["private_key"]
    assert [each["token_uri"] for each in made] == [f"http://{HOST}:1/token", f"http://{HOST}:2/token"]
