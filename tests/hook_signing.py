"""Requests signed as the providers sign them, by their own tools where there are any."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

TOKEN = "twilio-token"
ACCOUNT = "AC" + "0" * 32
PUBLIC = "https://holdfast.example"
STANDARD = "whsec_" + base64.b64encode(b"k" * 32).decode()
NEXT = "whsec_" + base64.b64encode(b"n" * 32).decode()
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
SNS_KEY = rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Signed:
    """A request that is ready to be posted."""

    source: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""

    @property
    def path(self) -> str:
        return f"/hooks/{self.source}" + (f"?{self.query}" if self.query else "")


def public_key(key: ec.EllipticCurvePrivateKey = SENDGRID_KEY) -> str:
    """As SendGrid shows it."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def sign_twilio(
    form: Mapping[str, str],
    query: str = "",
    *,
    token: str = TOKEN,
    public: str = PUBLIC,
    algorithm: str = "HMAC_SHA1",
) -> Signed:
    """Signed by Twilio's own validator."""
    url = f"{public}/hooks/twilio" + (f"?{query}" if query else "")
    form = {"AccountSid": ACCOUNT, **form}
    headers = {
        "X-Twilio-Signature": RequestValidator(token).compute_signature(url, form, algorithm),
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
    }
    if algorithm != "HMAC_SHA1":
        headers["X-Twilio-Webhooks-Signature-Settings"] = f"key=webhooks_sharedkey_1,algorithm={algorithm}"
    return Signed("twilio", urlencode(form).encode(), headers, query)


def sign_sendgrid(
    events: Any, *, at: datetime | None = None, key: ec.EllipticCurvePrivateKey = SENDGRID_KEY
) -> Signed:
    """Signed as SendGrid's documentation describes."""
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    seconds = str(int((at or datetime.now(UTC)).timestamp()))
    signature = key.sign(seconds.encode() + body, ec.ECDSA(SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": seconds,
        "Content-Type": "application/json",
    }
    return Signed("sendgrid", body, headers)


def sign_standard(
    source: str, event: Any, *, id_: str = "msg_1", at: datetime | None = None, secrets: tuple[str, ...] = (STANDARD,),
    prefix: str = "webhook",
) -> Signed:  # fmt: skip
    """Signed by the specification; with several secrets there are several signatures."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    seconds = str(int((at or datetime.now(UTC)).timestamp()))
    signed = f"{id_}.{seconds}.".encode() + body
    signatures = [
        "v1,"
        + base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
        ).decode()
        for secret in secrets
    ]
    headers = {
        f"{prefix}-id": id_, f"{prefix}-timestamp": seconds, f"{prefix}-signature": " ".join(signatures),
        "Content-Type": "application/json",
    }  # fmt: skip
    return Signed(source, body, headers)


def sign_stripe(event: Any, *, at: datetime | None = None, secret: str = "whsec_stripe") -> Signed:
    """Signed as Stripe's documentation describes."""
    body = json.dumps(event).encode()
    seconds = str(int((at or datetime.now(UTC)).timestamp()))
    made = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return Signed("stripe", body, {"Stripe-Signature": f"t={seconds},v1={made},v0=old"})


def make_certificate(key: rsa.RSAPrivateKey = SNS_KEY) -> bytes:
    """A certificate as SNS has them, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        .sign(key, SHA256())
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM)


def sign_sns(
    message: Any, *, id_: str = "sns-1", kind: str = "Notification", topic: str = TOPIC, version: str = "1",
    at: datetime | None = None, certificate_url: str = CERTIFICATE_URL, key: rsa.RSAPrivateKey = SNS_KEY,
    subscribe_url: str = "",
) -> Signed:  # fmt: skip
    """Signed as Amazon's documentation describes."""
    envelope = {
        "Type": kind, "MessageId": id_, "TopicArn": topic,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version, "SigningCertURL": certificate_url,
    }  # fmt: skip
    names = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
    if kind != "Notification":
        envelope |= {"Token": "t" * 32, "SubscribeURL": subscribe_url}
        names += ["SubscribeURL", "Token"]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in sorted(names))
    signature = key.sign(text.encode(), PKCS1v15(), SHA1() if version == "1" else SHA256())
    envelope["Signature"] = base64.b64encode(signature).decode()
    return Signed("ses", json.dumps(envelope).encode(), {"Content-Type": "text/plain; charset=UTF-8"})
