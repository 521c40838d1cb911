"""The channels that this installation can send on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from channels.fcm import FcmChannel
from channels.google_account import read_service_account
from channels.outcome import Channel
from channels.settings import (
    ChannelSettings,
    parse_base_url,
    parse_sender,
    parse_smtp_url,
    parse_whatsapp_sender,
)
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from channels.twilio_whatsapp import TwilioWhatsappChannel
from schemas.errors import SettingError

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"


def make_channels(settings: ChannelSettings) -> dict[str, Channel]:
    """A channel for each provider whose settings are complete and right, by the channel's name.

    Each keeps its own connections: make them once per process, and close them with `close_channels`.
    `check_channels` says why one isn't there; WhatsApp and push aren't missed where nothing of theirs is set.
    """
    channels: dict[str, Channel] = {}
    if not _check_email(settings):
        channels["email"] = SmtpChannel(
            parse_smtp_url(settings.smtp_url), sender=parse_sender(settings.mail_from)
        )
    if not _check_sms(settings):
        channels["sms"] = TwilioSmsChannel(
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token,
            sender=settings.twilio_from,
            messaging_service_sid=settings.twilio_messaging_service_sid,
            base_url=settings.twilio_base_url,
            public_url=settings.public_url,
        )
    if settings.twilio_whatsapp_from and not _check_whatsapp(settings):
        channels["whatsapp"] = TwilioWhatsappChannel(
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token,
            sender=parse_whatsapp_sender(settings.twilio_whatsapp_from),
            base_url=settings.twilio_base_url,
            public_url=settings.public_url,
        )
    if settings.google_credentials and not _check_push(settings):
        channels["push"] = FcmChannel(
            read_service_account(CREDENTIALS, settings.google_credentials), base_url=settings.fcm_base_url
        )
    return channels


async def close_channels(channels: Mapping[str, Channel]) -> None:
    """Give back all connections."""
    for channel in channels.values():
        await channel.close()


def check_channels(settings: ChannelSettings) -> list[str]:
    """What keeps each channel from being there, and what to do.

    E-mail and SMS are expected; of WhatsApp and push only what was begun is looked at.
    """
    found = {"email": _check_email(settings), "sms": _check_sms(settings)}
    if settings.twilio_whatsapp_from:
        found["whatsapp"] = _check_whatsapp(settings)
    if settings.google_credentials or settings.fcm_base_url:
        found["push"] = _check_push(settings)
    return [f"{channel}: {problem}" for channel, problems in found.items() for problem in problems]


def _check_email(settings: ChannelSettings) -> list[str]:
    missing = _missing({"SMTP_URL": settings.smtp_url, "HOLDFAST_MAIL_FROM": settings.mail_from})
    return missing or _wrong(
        lambda: parse_smtp_url(settings.smtp_url), lambda: parse_sender(settings.mail_from)
    )


def _check_sms(settings: ChannelSettings) -> list[str]:
    problems = _missing_account(settings)
    if not settings.twilio_from and not settings.twilio_messaging_service_sid:
        problems.append("set TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID.")
    return problems + _wrong_addresses(settings)


def _check_whatsapp(settings: ChannelSettings) -> list[str]:
    wrong = _wrong(lambda: parse_whatsapp_sender(settings.twilio_whatsapp_from))
    return _missing_account(settings) + wrong + _wrong_addresses(settings)


def _check_push(settings: ChannelSettings) -> list[str]:
    problems = _missing({CREDENTIALS: settings.google_credentials})
    if not problems:
        problems = _wrong(lambda: read_service_account(CREDENTIALS, settings.google_credentials))
    return problems + _wrong(lambda: _parse_if_given("FCM_BASE_URL", settings.fcm_base_url))


def _missing_account(settings: ChannelSettings) -> list[str]:
    return _missing(
        {"TWILIO_ACCOUNT_SID": settings.twilio_account_sid, "TWILIO_AUTH_TOKEN": settings.twilio_auth_token}
    )


def _wrong_addresses(settings: ChannelSettings) -> list[str]:
    return _wrong(
        lambda: _parse_if_given("TWILIO_BASE_URL", settings.twilio_base_url),
        lambda: _parse_if_given("HOLDFAST_PUBLIC_URL", settings.public_url),
    )


def _parse_if_given(name: str, url: str) -> None:
    if url:
        parse_base_url(name, url)


def _missing(values: Mapping[str, str]) -> list[str]:
    return [f"set {name}." for name, value in values.items() if not value]


def _wrong(*readings: Callable[[], object]) -> list[str]:
    problems = []
    for read in readings:
        try:
            read()
        except SettingError as error:
            problems.append(error.message)
    return problems
