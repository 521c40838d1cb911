"""Standard Webhooks 1.0, which Svix and so Resend use, too: HMAC-SHA256 (`v1`) or Ed25519 (`v1a`) over id, time, body.

Source: github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from channels.signatures.refusal import SignatureError, WrongSignatureError, check_time, decode
from schemas.errors import SettingError

SECRET, PUBLIC_KEY = "whsec_", "whpk_"
# The id is part of what is signed, parted by dots; one in it would make two readings of the same bytes.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_MOST_SIGNATURES = 20
# Keys of 24 to 64 bytes are what the specification asks for; Svix hands out shorter ones, too.
_FEWEST_KEY_BYTES = 16


def read_secret(name: str, secret: str) -> tuple[str, bytes]:
    """The scheme (`v1` or `v1a`) and the key of `whsec_…` or `whpk_…`; raises SettingError that names the setting."""
    scheme, text = ("v1a", secret[len(PUBLIC_KEY) :]) if secret.startswith(PUBLIC_KEY) else (
        "v1", secret.removeprefix(SECRET)
    )  # fmt: skip
    try:
        key = decode(text)
    except SignatureError:
        key = b""
    if len(key) < _FEWEST_KEY_BYTES or (scheme == "v1a" and len(key) != 32):
        raise SettingError(
            f"{name} is no secret of Standard Webhooks.",
            remedy="Write whsec_… or whpk_… as the sender shows it.",
        )
    return scheme, key


def verify(body: bytes, headers: Mapping[str, str], keys: Sequence[tuple[str, bytes]], now: datetime) -> str:
    """The id of a request that one of `keys` signed; headers by lower-case name, `webhook-…` or `svix-…`."""
    prefix = "webhook" if "webhook-id" in headers else "svix"
    message_id, seconds, given = (
        headers.get(f"{prefix}-{name}", "").strip() for name in ("id", "timestamp", "signature")
    )
    if not (message_id and seconds and given):
        raise SignatureError("The request isn't signed: webhook-id, -timestamp and -signature are needed.")
    if not _ID.fullmatch(message_id):
        raise SignatureError("The webhook-id holds characters that it must not.")
    signed = f"{message_id}.{seconds}.".encode() + body
    found = False
    for one in given.split()[:_MOST_SIGNATURES]:
        version, _, text = one.partition(",")
        signature = _decode_leniently(text)
        for scheme, key in keys:
            found |= scheme == version and _fits(scheme, key, signed, signature)
    if not found:
        raise WrongSignatureError("None of the signatures is ours.")
    check_time(seconds, now)
    return message_id


def _decode_leniently(text: str) -> bytes:
    """One signature that can't be read doesn't spoil the others: new versions may be written otherwise."""
    try:
        return decode(text)
    except SignatureError:
        return b""


def _fits(scheme: str, key: bytes, signed: bytes, signature: bytes) -> bool:
    if scheme == "v1":
        return hmac.compare_digest(hmac.digest(key, signed, hashlib.sha256), signature)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
