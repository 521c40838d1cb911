"""Where messages go out: the providers' settings, read from an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from schemas.errors import SettingError

# stricter than RFC 5322, but with localhost, from which a development machine may send
_SENDER = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_WHATSAPP_SENDER = re.compile(r"(whatsapp:)?\+[1-9]\d{6,14}|MG[0-9a-fA-F]{32}")
_PHONE_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_STARTTLS_WORDS = {"always": True, "true": True, "1": True, "never": False, "false": False, "0": False}


@dataclass(frozen=True)
class ChannelSettings:
    """What the environment says about providers, unchecked; empty where it says nothing."""

    smtp_url: str = field(default="", repr=False)
    mail_from: str = ""
    twilio_account_sid: str = ""
    twilio_auth_token: str = field(default="", repr=False)
    twilio_from: str = ""
    twilio_messaging_service_sid: str = ""
    twilio_whatsapp_from: str = ""
    twilio_base_url: str = ""
    google_credentials: str = ""
    fcm_base_url: str = ""
    public_url: str = ""
    email_providers: tuple[str, ...] = ()
    sendgrid_api_key: str = field(default="", repr=False)
    sendgrid_base_url: str = ""
    resend_api_key: str = field(default="", repr=False)
    resend_base_url: str = ""
    aws_access_key_id: str = ""
    aws_secret_access_key: str = field(default="", repr=False)
    aws_session_token: str = field(default="", repr=False)
    aws_region: str = ""
    ses_base_url: str = ""
    ses_configuration_set: str = ""
    twilio_voice_from: str = ""
    twilio_voice_language: str = ""
    vapid_private_key: str = field(default="", repr=False)
    vapid_subject: str = ""
    web_push_hosts: tuple[str, ...] = ()
    # What fingerprints of settings are made with, so that they give no secret away.
    fingerprint_key: str = field(default="", repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ChannelSettings:
        """Read the variables that docs/channels.md lists."""

        def read(name: str) -> str:
            return environ.get(name, "").strip()

        def read_url(name: str) -> str:
            return read(name).rstrip("/")

        def read_list(name: str) -> tuple[str, ...]:
            return tuple(word for part in read(name).split(",") if (word := part.strip().lower()))

        return cls(
            smtp_url=read("SMTP_URL"),
            mail_from=read("HOLDFAST_MAIL_FROM"),
            twilio_account_sid=read("TWILIO_ACCOUNT_SID"),
            twilio_auth_token=read("TWILIO_AUTH_TOKEN"),
            twilio_from=read("TWILIO_FROM"),
            twilio_messaging_service_sid=read("TWILIO_MESSAGING_SERVICE_SID"),
            twilio_whatsapp_from=read("TWILIO_WHATSAPP_FROM"),
            twilio_base_url=read_url("TWILIO_BASE_URL"),
            google_credentials=read("GOOGLE_APPLICATION_CREDENTIALS"),
            fcm_base_url=read_url("FCM_BASE_URL"),
            public_url=read_url("HOLDFAST_PUBLIC_URL"),
            email_providers=read_list("HOLDFAST_EMAIL_PROVIDERS"),
            sendgrid_api_key=read("SENDGRID_API_KEY"),
            sendgrid_base_url=read_url("SENDGRID_BASE_URL"),
            resend_api_key=read("RESEND_API_KEY"),
            resend_base_url=read_url("RESEND_BASE_URL"),
            aws_access_key_id=read("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=read("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=read("AWS_SESSION_TOKEN"),
            aws_region=read("AWS_REGION") or read("AWS_DEFAULT_REGION"),
            ses_base_url=read_url("AWS_ENDPOINT_URL_SESV2"),
            ses_configuration_set=read("SES_CONFIGURATION_SET"),
            twilio_voice_from=read("TWILIO_VOICE_FROM"),
            twilio_voice_language=read("TWILIO_VOICE_LANGUAGE"),
            vapid_private_key=read("VAPID_PRIVATE_KEY"),
            vapid_subject=read("VAPID_SUBJECT"),
            web_push_hosts=read_list("WEB_PUSH_HOSTS"),
            fingerprint_key=read("HOLDFAST_SECRET_KEY"),
        )


@dataclass(frozen=True)
class SmtpServer:
    """An SMTP_URL taken apart: `smtp://user:password@host:port?starttls=always|auto|never`, or `smtps://…`."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    implicit_tls: bool
    starttls: bool | Literal["auto"]


def parse_smtp_url(url: str) -> SmtpServer:
    """The server that an SMTP_URL names; raises SettingError.

    STARTTLS is used where it is offered, and insisted on where a password would go over a network.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingError(f"SMTP_URL: {error}.") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingError("SMTP_URL must look like smtp://user:password@host:587 or smtps://host.")
    query = parse_qs(parts.query)
    word = query.pop(
        "starttls", ["auto" if not parts.username or _is_loopback(parts.hostname) else "always"]
    )[0]
    if query or parts.path not in ("", "/"):
        raise SettingError("SMTP_URL takes only ?starttls=always, auto or never after the port.")
    if word.lower() not in (*_STARTTLS_WORDS, "auto"):
        raise SettingError(f"SMTP_URL: starttls={word} must be always, auto or never.")
    implicit = parts.scheme == "smtps"
    starttls: bool | Literal["auto"] = _STARTTLS_WORDS.get(word.lower(), "auto")
    return SmtpServer(
        host=parts.hostname,
        port=port or (465 if implicit else 587 if parts.username else 25),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or "") if parts.username else None,
        implicit_tls=implicit,
        starttls=False if implicit else starttls,
    )


def parse_sender(mail_from: str) -> tuple[str, str]:
    """The display name and the address of HOLDFAST_MAIL_FROM (`Name <name@domain>`); raises SettingError."""
    if any(ord(letter) < 32 for letter in mail_from):
        raise SettingError("HOLDFAST_MAIL_FROM holds control characters.")
    name, address = parseaddr(mail_from)
    if not _SENDER.fullmatch(address):
        raise SettingError("HOLDFAST_MAIL_FROM must look like Name <name@example.com>, in ASCII.")
    return name, address


def parse_whatsapp_sender(sender: str) -> str:
    """A number (`+49…`, with or without `whatsapp:`) or a messaging service (`MG…`); raises SettingError."""
    if not _WHATSAPP_SENDER.fullmatch(sender):
        raise SettingError(
            "TWILIO_WHATSAPP_FROM must look like +491701234567, or like MG and 32 hexadecimal digits."
        )
    return sender


def parse_voice_sender(sender: str) -> str:
    """The number that calls come from (`+49…`); raises SettingError."""
    if not _PHONE_NUMBER.fullmatch(sender):
        raise SettingError("TWILIO_VOICE_FROM must look like +491701234567.")
    return sender


def parse_region(region: str) -> str:
    """An AWS region; raises SettingError."""
    if not _REGION.fullmatch(region):
        raise SettingError("AWS_REGION must look like eu-central-1.")
    return region


def parse_base_url(name: str, url: str) -> str:
    """An http(s) URL without query; raises SettingError that names the setting."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SettingError(f"{name}: {error}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"{name} must look like https://host or https://host/path.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
