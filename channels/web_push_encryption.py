"""What browsers' push services want of a sender: contents that only the browser can read, and a signed introduction.

Contents: RFC 8291 over RFC 8188 (aes128gcm). Introduction: RFC 8292 (VAPID), a JWT signed with ES256.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import SettingError

RECORD_SIZE = 4096
# One record, less its header (salt, sizes, our key), the cipher's tag and the mark of the last record.
CONTENT_LIMIT_BYTES = RECORD_SIZE - 86 - 16 - 1
TOKEN_SECONDS = 12 * 3600
_CURVE = ec.SECP256R1()


@dataclass(frozen=True)
class VapidKey:
    """Who we are to push services: a key pair, and how to reach us (`mailto:` or https)."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    subject: str

    @property
    def public(self) -> str:
        """What the browser is given as `applicationServerKey`."""
        return encode(_write_point(self.private.public_key()))

    def introduce(self, audience: str, *, now: int) -> str:
        """The Authorization header for the push service at `audience` (its origin); `now` in seconds since 1970."""
        claims = {"aud": audience, "exp": now + TOKEN_SECONDS, "sub": self.subject}
        parts = ({"typ": "JWT", "alg": "ES256"}, claims)
        signed = ".".join(encode(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        r, s = decode_dss_signature(self.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"vapid t={signed}.{encode(signature)}, k={self.public}"


def read_vapid_key(name: str, key: str, subject: str) -> VapidKey:
    """The key pair of a private key in base64url (32 bytes, as most tools write it). Raises SettingError."""
    remedy = "`holdfast providers vapid` makes a new key."
    try:
        number = int.from_bytes(decode(key), "big")
        private = ec.derive_private_key(number, _CURVE)
    except (ValueError, binascii.Error):
        raise SettingError(
            f"{name} is no private key of the curve P-256 in base64url.", remedy=remedy
        ) from None
    if not subject.startswith(("mailto:", "https://")):
        raise SettingError(
            "VAPID_SUBJECT must look like mailto:push@example.com or https://example.com.",
            remedy="Push services write there when something is wrong with what we send.",
        )
    return VapidKey(private, subject)


def make_vapid_key() -> tuple[str, str]:
    """A new private key and its public one, in base64url."""
    private = ec.generate_private_key(_CURVE)
    number = private.private_numbers().private_value
    return encode(number.to_bytes(32, "big")), encode(_write_point(private.public_key()))


def encrypt(
    content: bytes,
    *,
    p256dh: str,
    auth: str,
    ours: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body of a push message for the browser with these keys (base64url).

    ours, salt: made anew for every message; given only to compare with RFC 8291's example. Raises ValueError for keys
    that aren't any.
    """
    ours = ours or ec.generate_private_key(_CURVE)
    salt = salt or os.urandom(16)
    point, secret = decode(p256dh), decode(auth)
    if len(secret) != 16:
        raise ValueError("the subscription's `auth` isn't 16 bytes")
    try:
        shared = ours.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point))
    except InvalidKey as error:
        raise ValueError("the subscription's `p256dh` isn't a key") from error
    public = _write_point(ours.public_key())
    material = _derive(shared, secret, b"WebPush: info\x00" + point + public, 32)
    key = _derive(material, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derive(material, salt, b"Content-Encoding: nonce\x00", 12)
    header = salt + RECORD_SIZE.to_bytes(4, "big") + bytes([len(public)]) + public
    return header + AESGCM(key).encrypt(nonce, content + b"\x02", None)


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """base64url with or without padding. Raises ValueError."""
    return base64.b64decode(
        text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
    )


def _derive(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(material)


def _write_point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
