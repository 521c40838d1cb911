"""The channels that this installation can send on."""

from __future__ import annotations

from collections.abc import Mapping

from channels.outcome import Channel
from channels.settings import ChannelSettings, parse_base_url, parse_sender, parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from schemas.errors import SettingError


def make_channels(settings: ChannelSettings) -> dict[str, Channel]:
    """A channel for each provider whose settings are complete and right, by the channel's name.

    Each keeps its own connections: make them once per process, and close them with `close_channels`.
    `check_channels` says why one isn't there.
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
    return channels


async def close_channels(channels: Mapping[str, Channel]) -> None:
    """Give back all connections."""
    for channel in channels.values():
        await channel.close()


def check_channels(settings: ChannelSettings) -> list[str]:
    """What keeps each channel from being there, and what to do; empty when all of them are."""
    return [f"email: {problem}" for problem in _check_email(settings)] + [
        f"sms: {problem}" for problem in _check_sms(settings)
    ]


def _check_email(settings: ChannelSettings) -> list[str]:
    missing = _missing({"SMTP_URL": settings.smtp_url, "HOLDFAST_MAIL_FROM": settings.mail_from})
    if missing:
        return missing
    problems = []
    for parse, value in ((parse_smtp_url, settings.smtp_url), (parse_sender, settings.mail_from)):
        try:
            parse(value)
        except SettingError as error:
            problems.append(error.message)
    return problems


def _check_sms(settings: ChannelSettings) -> list[str]:
    problems = _missing(
        {"TWILIO_ACCOUNT_SID": settings.twilio_account_sid, "TWILIO_AUTH_TOKEN": settings.twilio_auth_token}
    )
    if not settings.twilio_from and not settings.twilio_messaging_service_sid:
        problems.append("set TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID.")
    for name, value in (
        ("TWILIO_BASE_URL", settings.twilio_base_url),
        ("HOLDFAST_PUBLIC_URL", settings.public_url),
    ):
        try:
            if value:
                parse_base_url(name, value)
        except SettingError as error:
            problems.append(error.message)
    return problems


def _missing(values: Mapping[str, str]) -> list[str]:
    return [f"set {name}." for name, value in values.items() if not value]
