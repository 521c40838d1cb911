"""Signature Version 4, by which AWS knows who sends a request and that nobody changed it.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class AwsKey:
    """An access key; `session_token` goes with those that end by themselves."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: AwsKey,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """`headers` with those that sign the request added; `Host` is signed as httpx sends it. `now` is aware.

    `url` must be as it is sent: its path is taken for encoded once already, as everywhere but at S3.
    """
    parts = urlsplit(url)
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"X-Amz-Date": moment}
    if key.session_token:
        added["X-Amz-Security-Token"] = key.session_token
    signed = {name.lower(): " ".join(value.split()) for name, value in {**headers, **added}.items()}
    signed["host"] = parts.netloc
    names = ";".join(sorted(signed))
    request = "\n".join(
        (
            method,
            quote(parts.path or "/", safe="/~"),
            "&".join(
                f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in _query(parts.query)
            ),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_derive(key, scope), text.encode(), "sha256").hexdigest()
    credential = f"Credential={key.access_key_id}/{scope}"
    added["Authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    return {**headers, **added}


def _query(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, keep_blank_values=True))


def _derive(key: AwsKey, scope: str) -> bytes:
    derived = f"AWS4{key.secret_access_key}".encode()
    for part in scope.split("/"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    return derived
