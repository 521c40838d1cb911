"""Stripe's scheme: `Stripe-Signature: t=SECONDS,v1=HEX,…`, HMAC-SHA256 over `t.body`.

Source: docs.stripe.com/webhooks#verify-manually. Stripe's own library takes times of the future; this doesn't.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from channels.signatures.refusal import SignatureError, WrongSignatureError, check_time

_MOST_PARTS = 20


def verify(body: bytes, header: str, secrets: Sequence[str], now: datetime) -> None:
    """Refuse what none of `secrets` signed."""
    parts = [part.strip().partition("=") for part in header.split(",")[:_MOST_PARTS]]
    times = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not given:
        raise SignatureError("The request isn't signed: Stripe-Signature with t= and v1= is needed.")
    signed = times[0].encode() + b"." + body
    found = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        for one in given:
            found |= hmac.compare_digest(expected, one.encode())
    if not found:
        raise WrongSignatureError("None of the signatures is ours.")
    check_time(times[0], now)
