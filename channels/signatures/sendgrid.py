"""SendGrid's scheme: ECDSA with SHA-256 on P-256, over the time and the body.

SendGrid's own library looks at no time; this does.
Source: twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from channels.signatures.refusal import SignatureError, WrongSignatureError, check_time, decode
from schemas.errors import SettingError

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


def read_key(name: str, text: str) -> EllipticCurvePublicKey:
    """The public key as SendGrid shows it (base64, one line); raises SettingError that names the setting."""
    try:
        key = load_der_public_key(decode(text))
    except (SignatureError, ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise SettingError(
            f"{name} is no verification key of SendGrid.",
            remedy="Copy it from SendGrid's Mail Settings, Event Webhooks, Signature Verification.",
        )
    return key


def verify(
    body: bytes, headers: Mapping[str, str], keys: Sequence[EllipticCurvePublicKey], now: datetime
) -> None:
    """Refuse what none of `keys` signed."""
    given, seconds = headers.get(SIGNATURE, "").strip(), headers.get(TIMESTAMP, "").strip()
    if not (given and seconds):
        raise SignatureError("The request isn't signed: SendGrid's signature and timestamp are needed.")
    signature = decode(given)
    if not any(_fits(key, signature, seconds.encode() + body) for key in keys):
        raise WrongSignatureError("The signature doesn't fit.")
    check_time(seconds, now)


def _fits(key: EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
