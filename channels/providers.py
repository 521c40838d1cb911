"""Every provider that there is: what its settings are, whether they are right, and the channel that they make."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from channels.aws_signature import AwsKey
from channels.fcm import FcmChannel
from channels.google_account import read_service_account
from channels.outcome import Channel
from channels.resend import ResendChannel
from channels.sendgrid import SendgridChannel
from channels.ses import SesChannel
from channels.settings import (
    ChannelSettings,
    parse_base_url,
    parse_region,
    parse_sender,
    parse_smtp_url,
    parse_voice_sender,
    parse_whatsapp_sender,
)
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from channels.twilio_voice import TwilioVoiceChannel
from channels.twilio_whatsapp import TwilioWhatsappChannel
from channels.web_push import WebPushChannel
from channels.web_push_encryption import read_vapid_key
from schemas.errors import SettingError

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"


@dataclass(frozen=True)
class ProviderKind:
    """One provider of one channel.

    needs: the settings that must be there, by the environment's name for them. begun: those that say that it is meant
    to be used; what was begun and isn't complete is told. also: further settings that change what it does.
    """

    channel: str
    name: str
    needs: Callable[[ChannelSettings], Mapping[str, str]]
    begun: Callable[[ChannelSettings], bool]
    make: Callable[[ChannelSettings], Channel]
    parse: Callable[[ChannelSettings], tuple[Callable[[], object], ...]] = lambda _: ()
    also: Callable[[ChannelSettings], tuple[str, ...]] = lambda _: ()

    def check(self, settings: ChannelSettings) -> list[str]:
        """What is missing or wrong, in words; empty where it can be used."""
        problems = [f"set {name}." for name, value in self.needs(settings).items() if not value]
        # What isn't there can't be wrong as well.
        for read in () if problems else self.parse(settings):
            try:
                read()
            except SettingError as error:
                problems.append(error.message)
        return problems

    def fingerprint(self, settings: ChannelSettings) -> str:
        """Another one when its settings are others; the settings can't be found out from it."""
        text = "\0".join((*self.needs(settings).values(), *self.also(settings)))
        return hmac.new(settings.fingerprint_key.encode(), text.encode(), "sha256").hexdigest()[:16]


def _parse_url(name: str, url: str) -> Callable[[], object]:
    return lambda: parse_base_url(name, url) if url else None


def _twilio(settings: ChannelSettings) -> dict[str, str]:
    return {
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
    }


def _twilio_urls(settings: ChannelSettings) -> tuple[Callable[[], object], ...]:
    return (
        _parse_url("TWILIO_BASE_URL", settings.twilio_base_url),
        _parse_url("HOLDFAST_PUBLIC_URL", settings.public_url),
    )


def _mail_from(settings: ChannelSettings) -> Callable[[], object]:
    return lambda: parse_sender(settings.mail_from)


def _read_key_file(settings: ChannelSettings) -> str:
    try:
        return Path(settings.google_credentials).read_text("utf-8")
    except (OSError, ValueError):
        return ""


SMTP = ProviderKind(
    "email", "smtp",
    needs=lambda s: {"SMTP_URL": s.smtp_url, "HOLDFAST_MAIL_FROM": s.mail_from},
    begun=lambda s: bool(s.smtp_url),
    parse=lambda s: (lambda: parse_smtp_url(s.smtp_url), _mail_from(s)),
    make=lambda s: SmtpChannel(parse_smtp_url(s.smtp_url), sender=parse_sender(s.mail_from)),
)  # fmt: skip
SENDGRID = ProviderKind(
    "email", "sendgrid",
    needs=lambda s: {"SENDGRID_API_KEY": s.sendgrid_api_key, "HOLDFAST_MAIL_FROM": s.mail_from},
    begun=lambda s: bool(s.sendgrid_api_key or s.sendgrid_base_url),
    parse=lambda s: (_parse_url("SENDGRID_BASE_URL", s.sendgrid_base_url), _mail_from(s)),
    also=lambda s: (s.sendgrid_base_url,),
    make=lambda s: SendgridChannel(
        s.sendgrid_api_key, sender=parse_sender(s.mail_from), base_url=s.sendgrid_base_url
    ),
)  # fmt: skip
RESEND = ProviderKind(
    "email", "resend",
    needs=lambda s: {"RESEND_API_KEY": s.resend_api_key, "HOLDFAST_MAIL_FROM": s.mail_from},
    begun=lambda s: bool(s.resend_api_key or s.resend_base_url),
    parse=lambda s: (_parse_url("RESEND_BASE_URL", s.resend_base_url), _mail_from(s)),
    also=lambda s: (s.resend_base_url,),
    make=lambda s: ResendChannel(
        s.resend_api_key, sender=parse_sender(s.mail_from), base_url=s.resend_base_url
    ),
)  # fmt: skip
SES = ProviderKind(
    "email", "ses",
    needs=lambda s: {
        "AWS_ACCESS_KEY_ID": s.aws_access_key_id, "AWS_SECRET_ACCESS_KEY": s.aws_secret_access_key,
        "AWS_REGION": s.aws_region, "HOLDFAST_MAIL_FROM": s.mail_from,
    },
    # A key may be there for something else altogether: alone it begins nothing.
    begun=lambda s: bool(s.ses_base_url or s.ses_configuration_set),
    parse=lambda s: (
        lambda: parse_region(s.aws_region), _parse_url("AWS_ENDPOINT_URL_SESV2", s.ses_base_url), _mail_from(s),
    ),
    also=lambda s: (s.aws_session_token, s.ses_base_url, s.ses_configuration_set),
    make=lambda s: SesChannel(
        AwsKey(s.aws_access_key_id, s.aws_secret_access_key, s.aws_session_token), region=s.aws_region,
        sender=parse_sender(s.mail_from), base_url=s.ses_base_url, configuration_set=s.ses_configuration_set,
    ),
)  # fmt: skip
TWILIO_SMS = ProviderKind(
    "sms", "twilio",
    needs=lambda s: {
        **_twilio(s), "TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID": s.twilio_from or s.twilio_messaging_service_sid,
    },
    begun=lambda s: bool(s.twilio_account_sid or s.twilio_from or s.twilio_messaging_service_sid),
    parse=_twilio_urls,
    also=lambda s: (s.twilio_base_url,),
    make=lambda s: TwilioSmsChannel(
        account_sid=s.twilio_account_sid, auth_token=s.twilio_auth_token, sender=s.twilio_from,
        messaging_service_sid=s.twilio_messaging_service_sid, base_url=s.twilio_base_url, public_url=s.public_url,
    ),
)  # fmt: skip
TWILIO_WHATSAPP = ProviderKind(
    "whatsapp", "twilio",
    needs=lambda s: {**_twilio(s), "TWILIO_WHATSAPP_FROM": s.twilio_whatsapp_from},
    begun=lambda s: bool(s.twilio_whatsapp_from),
    parse=lambda s: (lambda: parse_whatsapp_sender(s.twilio_whatsapp_from), *_twilio_urls(s)),
    also=lambda s: (s.twilio_base_url,),
    make=lambda s: TwilioWhatsappChannel(
        account_sid=s.twilio_account_sid, auth_token=s.twilio_auth_token,
        sender=parse_whatsapp_sender(s.twilio_whatsapp_from), base_url=s.twilio_base_url, public_url=s.public_url,
    ),
)  # fmt: skip
TWILIO_VOICE = ProviderKind(
    "voice", "twilio",
    needs=lambda s: {**_twilio(s), "TWILIO_VOICE_FROM": s.twilio_voice_from},
    begun=lambda s: bool(s.twilio_voice_from),
    parse=lambda s: (lambda: parse_voice_sender(s.twilio_voice_from), *_twilio_urls(s)),
    also=lambda s: (s.twilio_base_url,),
    make=lambda s: TwilioVoiceChannel(
        account_sid=s.twilio_account_sid, auth_token=s.twilio_auth_token,
        sender=parse_voice_sender(s.twilio_voice_from), language=s.twilio_voice_language,
        base_url=s.twilio_base_url, public_url=s.public_url,
    ),
)  # fmt: skip
FCM = ProviderKind(
    "push", "fcm",
    needs=lambda s: {CREDENTIALS: s.google_credentials},
    begun=lambda s: bool(s.google_credentials or s.fcm_base_url),
    parse=lambda s: (
        lambda: read_service_account(CREDENTIALS, s.google_credentials), _parse_url("FCM_BASE_URL", s.fcm_base_url),
    ),
    # The path may stay while what lies there is another key.
    also=lambda s: (s.fcm_base_url, _read_key_file(s)),
    make=lambda s: FcmChannel(
        read_service_account(CREDENTIALS, s.google_credentials), base_url=s.fcm_base_url
    ),
)  # fmt: skip
WEB_PUSH = ProviderKind(
    "push", "webpush",
    needs=lambda s: {"VAPID_PRIVATE_KEY": s.vapid_private_key, "VAPID_SUBJECT": s.vapid_subject},
    begun=lambda s: bool(s.vapid_private_key or s.vapid_subject),
    parse=lambda s: (lambda: read_vapid_key("VAPID_PRIVATE_KEY", s.vapid_private_key, s.vapid_subject),),
    also=lambda s: s.web_push_hosts,
    make=lambda s: WebPushChannel(
        read_vapid_key("VAPID_PRIVATE_KEY", s.vapid_private_key, s.vapid_subject), hosts=s.web_push_hosts
    ),
)  # fmt: skip

# In the order in which a channel's providers are asked where nothing else is said.
PROVIDERS = (SMTP, SENDGRID, RESEND, SES, TWILIO_SMS, TWILIO_WHATSAPP, TWILIO_VOICE, FCM, WEB_PUSH)
EMAIL = {kind.name: kind for kind in PROVIDERS if kind.channel == "email"}
# Missed where they aren't there at all; the others are only looked at where they were begun.
EXPECTED = ("email", "sms")
