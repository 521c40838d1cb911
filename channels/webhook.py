"""Requests to other systems on behalf of a step: signed, to listed hosts only, no redirect, one deadline.

Signatures are those of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, so that receivers can check them
with any of its libraries. The id is the same for every attempt, by which they tell a repetition.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx

from channels.http_client import Answer, Exchange, HttpClient, UnreadableAnswerError
from channels.outcome import AccountError, ContentError, TransientError, UnknownOutcomeError
from schemas.errors import SettingError

PROVIDER = "webhook"
# Within the 10 s of a step, so that the answer can still be recorded.
DEADLINE_SECONDS = 8.0
# Of a name that has many addresses; all within one deadline.
ADDRESSES_TRIED = 4
BODY_LIMIT_BYTES = 64 * 1024
# What a receiver may answer to have the same request again later, besides 5xx.
AGAIN_LATER = (408, 425, 429)
OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_DEFAULT_PORTS = {"https": 443, "http": 80}
# RFC 6052 and RFC 4291, 2.5.5.1: the last 32 bits are an address of IPv4.
_TRANSLATED, _COMPATIBLE = IPv6Network("64:ff9b::/96"), IPv6Network("::/96")


@dataclass(frozen=True)
class WebhookSettings:
    """Where requests may go (host names, or host:port), and the keys that sign them, the newest first."""

    hosts: frozenset[str] = frozenset()
    keys: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> WebhookSettings:
        """Read HOLDFAST_WEBHOOK_HOSTS and HOLDFAST_WEBHOOK_SECRET. Raises SettingError."""
        hosts = frozenset(
            host
            for part in environ.get("HOLDFAST_WEBHOOK_HOSTS", "").split(",")
            if (host := part.strip().lower())
        )
        for host in hosts:
            if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:[0-9]{1,5})?", host):
                raise SettingError(
                    f"HOLDFAST_WEBHOOK_HOSTS holds {host!r}, which is no host.",
                    remedy="List host names with commas, as in api.example.com,crm.internal:8443.",
                )
        secrets = environ.get("HOLDFAST_WEBHOOK_SECRET", "").split()
        return cls(hosts, tuple(_read_key(secret) for secret in secrets))

    def allows(self, host: str) -> bool:
        """Whether requests may go to `host`, as `host_of` writes it."""
        return host in self.hosts or f"{host}:443" in self.hosts or f"{host}:80" in self.hosts


def host_of(url: str) -> str | None:
    """The host of a URL, with its port where that is no default; None where a template decides, or there is none."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if not host or "{" in parts.netloc or "}" in parts.netloc:
        return None
    written = f"[{host}]" if ":" in host else host
    return written if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{written}:{port}"


@dataclass(frozen=True)
class Reply:
    """What a receiver answered: `body` is what its JSON says, or its text; None where it is too long."""

    status: int
    body: Any


async def call_webhook(
    method: str,
    url: str,
    body: Any,
    *,
    key: str,
    settings: WebhookSettings,
    headers: Mapping[str, str] | None = None,
    signed: bool = True,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Reply:
    """Send `body` as JSON, once; `key` goes along as the id by which a repetition is known.

    Raises AccountError where the settings don't allow it, ContentError where the receiver refuses it (4xx, a redirect),
    TransientError where it surely wasn't taken (no connection, 408, 425, 429, 5xx), UnknownOutcomeError where the
    answer is missing.
    """
    parts, name = _check_url(url, settings)
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    sent = {"Content-Type": "application/json", "User-Agent": "Holdfast", **_check_headers(headers or {})}
    if signed:
        sent |= sign(content, key, settings.keys)
    sent["Host"] = parts.netloc
    exchange = Exchange()
    client = HttpClient(deadline_seconds=deadline_seconds, body_limit_bytes=BODY_LIMIT_BYTES)
    try:
        async with asyncio.timeout(deadline_seconds):
            answer = await _request(
                client, method, parts, await _resolve(name, parts, settings.hosts), exchange, content=content,
                headers=sent, server_name=name if parts.scheme == "https" else None,
            )  # fmt: skip
    except UnreadableAnswerError:
        return _judge(exchange, None)
    except (TimeoutError, httpx.HTTPError, OSError) as error:
        told = f"{name} didn't answer: {type(error).__name__}."
        raise (UnknownOutcomeError if exchange.sent else TransientError)(
            told, provider=PROVIDER, provider_code="no_answer"
        ) from error
    finally:
        await client.close()
    return _judge(exchange, answer)


async def _request(
    client: HttpClient, method: str, parts: SplitResult, addresses: list[str], exchange: Exchange, **more: Any
) -> Answer:
    """The answer of the first of these addresses at which somebody listens; the request goes to no more than one."""
    for address in addresses[:-1]:
        try:
            return await client.request(method, urlunsplit(parts._replace(netloc=address)), exchange, **more)
        except (httpx.HTTPError, OSError):
            if exchange.sent:
                raise
    return await client.request(method, urlunsplit(parts._replace(netloc=addresses[-1])), exchange, **more)


def sign(content: bytes, key: str, keys: tuple[bytes, ...], *, at: int | None = None) -> dict[str, str]:
    """The three headers of Standard Webhooks; one signature for each of `keys`. `at` is in seconds since 1970."""
    if not keys:
        raise AccountError(
            "HOLDFAST_WEBHOOK_SECRET is not set, and what isn't signed isn't sent.",
            provider=PROVIDER, provider_code="no_secret",
        )  # fmt: skip
    moment = str(int(time.time()) if at is None else at)
    signed = b".".join((key.encode(), moment.encode(), content))
    signatures = ["v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in keys]
    return {"webhook-id": key, "webhook-timestamp": moment, "webhook-signature": " ".join(signatures)}


def _read_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise SettingError(
            "HOLDFAST_WEBHOOK_SECRET is no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64.",
            remedy="Make one with: python3 -c 'import base64, secrets; "
            'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\'',
        )
    return key


def _check_url(url: str, settings: WebhookSettings) -> tuple[SplitResult, str]:
    """The URL taken apart, and the host's name. Raises AccountError, ContentError."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError as error:
        raise ContentError(f"The URL can't be read: {error}.", provider=PROVIDER) from None
    name = (parts.hostname or "").lower()
    if parts.scheme not in _DEFAULT_PORTS or not name or parts.username is not None or parts.fragment:
        raise ContentError(
            "The URL must look like https://host/path, without a password in it.", provider=PROVIDER,
            provider_code="bad_url",
        )  # fmt: skip
    netloc = host_of(url) or name
    if not settings.allows(netloc):
        raise AccountError(
            f"Requests may not go to {netloc}: it isn't among HOLDFAST_WEBHOOK_HOSTS.",
            provider=PROVIDER, provider_code="host_not_allowed",
        )  # fmt: skip
    return parts._replace(netloc=netloc, fragment="", path=parts.path or "/"), name


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        low = name.lower()
        if not _HEADER_NAME.fullmatch(name) or low in OWN_HEADERS or low.startswith("webhook-"):
            raise ContentError(
                f"The header {name!r} can't be set.", provider=PROVIDER, provider_code="bad_header"
            )
        if any(ord(letter) < 32 or ord(letter) > 126 for letter in value):
            raise ContentError(
                f"The header {name!r} holds letters that headers can't.",
                provider=PROVIDER,
                provider_code="bad_header",
            )
    return {name.title(): value for name, value in headers.items()}


async def _resolve(name: str, parts: SplitResult, hosts: frozenset[str]) -> list[str]:
    """The addresses to connect to, with their port; checked here, so that no second look-up can lead elsewhere.

    Never link-local, multicast or unspecified (there clouds keep their metadata); in a private network, or on this
    machine, only what is listed with its port.
    """
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    listed_with_port = f"[{name}]:{port}" in hosts or f"{name}:{port}" in hosts
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=1)
    addresses = []
    for *_, address in found:
        ip = _unmap(ip_address(str(address[0]).split("%")[0]))
        meant = _look_inside(ip)
        inside = meant.is_private or meant.is_loopback
        if (
            meant.is_link_local
            or meant.is_multicast
            or meant.is_unspecified
            or not (meant.is_global or inside)
        ):
            continue
        if inside and not listed_with_port:
            continue
        addresses.append(f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}")
    if addresses:
        return list(dict.fromkeys(addresses))[:ADDRESSES_TRIED]
    raise AccountError(
        f"{name} lies in a private network; HOLDFAST_WEBHOOK_HOSTS must list it with its port to allow that.",
        provider=PROVIDER, provider_code="private_address",
    )  # fmt: skip


def _unmap(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _look_inside(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Where it leads in the end: networks translate some addresses of IPv6 into the address of IPv4 in them."""
    if not isinstance(ip, IPv6Address) or ip.is_unspecified or ip.is_loopback:
        return ip
    if ip in _TRANSLATED or ip in _COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.sixtofour or ip


def _judge(exchange: Exchange, answer: Answer | None) -> Reply:
    status = exchange.status or 0
    told, code = f"The answer was {status}.", str(status)
    if status >= 500 or status in AGAIN_LATER:
        raise TransientError(
            told, provider=PROVIDER, provider_code=code, retry_after_seconds=exchange.retry_after_seconds
        )
    if status >= 300:
        what = f"{told} Redirects aren't followed." if status < 400 else told
        raise ContentError(what, provider=PROVIDER, provider_code=code)
    return Reply(status, _read(answer.body) if answer else None)


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body
