"""One provider's channel against its stand-in, so that every provider can be asked the same questions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from channels.aws_signature import AwsKey
from channels.fcm import FcmChannel
from channels.google_account import read_service_account
from channels.outcome import Channel, Device, OutgoingMessage
from channels.resend import ResendChannel
from channels.sendgrid import SendgridChannel
from channels.ses import SesChannel
from channels.twilio import TwilioSmsChannel
from channels.twilio_voice import TwilioVoiceChannel
from channels.web_push import WebPushChannel
from channels.web_push_encryption import make_vapid_key, read_vapid_key
from tests.standins import resend, sendgrid, ses
from tests.standins.fcm import FcmStandIn
from tests.standins.programme import Programme
from tests.standins.twilio import TwilioStandIn
from tests.standins.web_push import WebPushStandIn

SENDER = ("Ada", "care@holdfast.example")
PRIVATE, PUBLIC = make_vapid_key()
NUMBER = "+4915123456789"
FCM_SEND = "/v1/projects/studio/messages:send"
# What each stand-in calls the same fault.
FCM_WORDS = {
    "429": "429/QUOTA_EXCEEDED", "500_before": "500/INTERNAL", "503_before": "proxy_503", "refused": "403/",
}  # fmt: skip
TWILIO_WORDS = {"503_before": "503/20500", "refused": "401"}


@dataclass(frozen=True)
class ProviderDesk:
    """`count`: how often a delivery was accepted; `posts`: how often it was asked for."""

    channel: Channel
    message: OutgoingMessage
    server: Any
    posts: Callable[[], int]

    def count(self, delivery: str = "d-1") -> int:
        return int(self.server.count(delivery))

    def variant(self, **changes: Any) -> OutgoingMessage:
        return replace(self.message, **changes)


def make_mail(**changes: Any) -> OutgoingMessage:
    mail = OutgoingMessage(
        "d-1", "grace@example.com", text="Two days are left.", subject="Zoë, your trial ends",
        html="<p>Two days are left.</p>", unsubscribe_url="https://holdfast.example/u/abc",
    )  # fmt: skip
    return replace(mail, **changes)


@contextlib.asynccontextmanager
async def open_provider(
    name: str, directory: Path, *script: str, deadline_seconds: float = 10.0, **settings: Any
) -> AsyncIterator[ProviderDesk]:
    """The channel of this provider, with a stand-in that fails by this script."""
    limits: dict[str, Any] = {"deadline_seconds": deadline_seconds}
    words = FCM_WORDS if name == "fcm" else TWILIO_WORDS if name in ("twilio", "voice") else {}
    programme = Programme([words.get(fault, fault) for fault in script])
    async with contextlib.AsyncExitStack() as stack:
        server: Any
        channel: Channel
        message = make_mail()
        match name:
            case "sendgrid":
                server = await stack.enter_async_context(sendgrid.SendgridStandIn(programme, **settings))
                channel = SendgridChannel(sendgrid.KEY, sender=SENDER, base_url=server.url, **limits)
            case "resend":
                server = await stack.enter_async_context(resend.ResendStandIn(programme, **settings))
                channel = ResendChannel(resend.KEY, sender=SENDER, base_url=server.url, **limits)
            case "ses":
                server = await stack.enter_async_context(ses.SesStandIn(programme, **settings))
                channel = SesChannel(
                    AwsKey(ses.KEY_ID, ses.SECRET),
                    region=ses.REGION,
                    sender=SENDER,
                    base_url=server.url,
                    **limits,
                )
            case "webpush":
                server = await stack.enter_async_context(WebPushStandIn(programme, sender=PUBLIC, **settings))
                key = read_vapid_key("VAPID_PRIVATE_KEY", PRIVATE, "mailto:push@holdfast.example")
                channel = WebPushChannel(key, hosts=[server.host], **limits)
                browser = server.subscribe()
                message = OutgoingMessage(
                    "d-1", "web:x", text="Two days are left.", subject="Zoë, your trial ends",
                    devices=(Device("web", browser.endpoint, browser.keys),),
                )  # fmt: skip
            case "fcm":
                server = await stack.enter_async_context(FcmStandIn(programme, retry_after="7"))
                account = read_service_account("X", str(server.write_account(directory / "key.json")))
                channel = FcmChannel(account, base_url=server.url, **limits)
                message = OutgoingMessage("d-1", "app-token", text="Two days are left.", subject="Zoë")
            case _:
                server = await stack.enter_async_context(TwilioStandIn(programme))
                account_settings: dict[str, Any] = {
                    "account_sid": server.account, "auth_token": server.token, "sender": "+15005550006",
                    "base_url": server.url, "public_url": "https://holdfast.example", **limits,
                }  # fmt: skip
                make = TwilioVoiceChannel if name == "voice" else TwilioSmsChannel
                channel = make(**account_settings)
                message = OutgoingMessage("d-1", NUMBER, text="Two days are left.")

        def posts() -> int:
            if name == "fcm":
                return sum(path == FCM_SEND for path in server.requests)
            if name in ("twilio", "voice"):
                return sum(method == "POST" for method in server.requests)
            return len(server.requests)

        yield ProviderDesk(channel, message, server, posts)
        await channel.close()
