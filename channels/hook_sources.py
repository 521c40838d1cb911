"""Who may post to `/hooks/{source}`, and how each source's requests are checked: read once from the environment."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from channels.signatures import sendgrid, sns, standard_webhooks, stripe, twilio
from channels.signatures.refusal import SignatureError
from channels.sns import SnsClient
from schemas.errors import SettingError

PREFIX = "HOLDFAST_HOOK_SECRET_"
TOPICS = "HOLDFAST_SNS_TOPICS"
_SOURCE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class HookRequest:
    """One request as it came: `headers` by lower-case name, `query` without its question mark."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = ""


class HookSource(Protocol):
    """Checks requests of one source."""

    async def verify(self, request: HookRequest, now: datetime) -> str:
        """What makes this request unique among the source's. Raises SignatureError, UnavailableError."""


@dataclass(frozen=True)
class StandardSource:
    """Standard Webhooks."""

    keys: Sequence[tuple[str, bytes]] = field(repr=False)

    async def verify(self, request: HookRequest, now: datetime) -> str:
        return standard_webhooks.verify(request.body, request.headers, self.keys, now)


@dataclass(frozen=True)
class StripeSource:
    """Stripe."""

    secrets: Sequence[str] = field(repr=False)

    async def verify(self, request: HookRequest, now: datetime) -> str:
        stripe.verify(request.body, request.headers.get("stripe-signature", ""), self.secrets, now)
        try:
            event = json.loads(request.body)
        except (ValueError, RecursionError):
            event = None
        given = event.get("id") if isinstance(event, dict) else None
        return given if isinstance(given, str) and 0 < len(given) <= 256 else _digest(request)


@dataclass(frozen=True)
class TwilioSource:
    """Twilio; `url` is where it is told to call us, `account` whose requests are ours (empty: any that is signed)."""

    tokens: Sequence[str] = field(repr=False)
    url: str
    account: str = ""

    async def verify(self, request: HookRequest, now: datetime) -> str:
        url = f"{self.url}?{request.query}" if request.query else self.url
        twilio.verify(request.body, request.headers, url, self.tokens)
        if self.account and request.headers.get("content-type", "").startswith(twilio.FORM):
            accounts = {value for name, value in twilio.read_form(request.body) if name == "AccountSid"}
            if accounts - {self.account}:
                raise SignatureError("The request is about another account.")
        return _digest(request)


@dataclass(frozen=True)
class SendgridSource:
    """SendGrid's event webhook and its inbound parse."""

    keys: Sequence[EllipticCurvePublicKey]

    async def verify(self, request: HookRequest, now: datetime) -> str:
        sendgrid.verify(request.body, request.headers, self.keys, now)
        return _digest(request)


@dataclass(frozen=True)
class SesSource:
    """Amazon SES by way of SNS topics."""

    topics: frozenset[str]
    client: SnsClient

    async def verify(self, request: HookRequest, now: datetime) -> str:
        message = sns.read_message(request.body, self.topics)
        certificate = await self.client.load_certificate(message["SigningCertURL"])
        return sns.verify(message, certificate, now)


def make_sources(environ: Mapping[str, str], public_url: str) -> dict[str, HookSource]:
    """The sources that the environment names. Raises SettingError.

    `HOLDFAST_HOOK_SECRET_<SOURCE>` holds a secret, or several with spaces between them while senders change over;
    Twilio's is TWILIO_AUTH_TOKEN, and of SNS the topics are listed, in HOLDFAST_SNS_TOPICS.
    """
    given = {
        name.removeprefix(PREFIX): value.split()
        for name, value in environ.items()
        if name.startswith(PREFIX) and value.split()
    }
    for name in given:
        if not _SOURCE.fullmatch(name) or name == "SES":
            raise SettingError(
                f"{PREFIX}{name} names no source.",
                remedy=f"Set {TOPICS}." if name == "SES" else f"Write it like {PREFIX}BILLING, in capitals.",
            )
    sources: dict[str, HookSource] = {}
    tokens = [*environ.get("TWILIO_AUTH_TOKEN", "").split(), *given.pop("TWILIO", ())]
    if tokens:
        account = environ.get("TWILIO_ACCOUNT_SID", "").strip()
        sources["twilio"] = TwilioSource(tokens, f"{public_url}/hooks/twilio", account)
    if keys := given.pop("SENDGRID", None):
        sources["sendgrid"] = SendgridSource([sendgrid.read_key(f"{PREFIX}SENDGRID", key) for key in keys])
    if secrets := given.pop("STRIPE", None):
        sources["stripe"] = StripeSource(secrets)
    if topics := environ.get(TOPICS, "").replace(",", " ").split():
        for topic in topics:
            if not _TOPIC.fullmatch(topic):
                raise SettingError(
                    f"{TOPICS} holds what is no topic.", remedy="Write arn:aws:sns:REGION:ACCOUNT:NAME."
                )
        sources["ses"] = SesSource(frozenset(topics), SnsClient(environ.get("SNS_BASE_URL", "").rstrip("/")))
    for name, secrets in given.items():
        read = [standard_webhooks.read_secret(f"{PREFIX}{name}", secret) for secret in secrets]
        sources[name.lower()] = StandardSource(read)
    return sources


def _digest(request: HookRequest) -> str:
    return hashlib.sha256(request.query.encode() + b"\n" + request.body).hexdigest()
