"""Amazon SNS's scheme: RSA over some fields of the message, with a certificate that lies at Amazon.

Everybody with an account there can have SNS sign something, so a signature says nothing unless the topic is ours. SNS
tries again for hours and doesn't sign anew, so a request may be a day old; its MessageId makes it unique.
Source: docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import load_pem_x509_certificate

from channels.signatures.refusal import SignatureError, WrongSignatureError, check_time, decode

RETRIED_FOR = timedelta(days=1)
# Of a region alone: sns.s3-us-west-2.amazonaws.com is a bucket, with whatever its owner puts into it.
_HOST = re.compile(r"sns\.[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES = {"1": SHA1, "2": SHA256}


def read_message(body: bytes, topics: Collection[str]) -> dict[str, Any]:
    """The message, not believed yet: of a type that is known, about one of `topics`, with all it needs."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise SignatureError("The body is no message of SNS.") from None
    if not isinstance(message, dict) or message.get("Type") not in _SIGNED:
        raise SignatureError("The body is no message of SNS.")
    needed = [name for name in _SIGNED[message["Type"]] if name != "Subject"]
    for name in (*needed, "Signature", "SignatureVersion", "SigningCertURL"):
        if not isinstance(message.get(name), str):
            raise SignatureError(f"The message of SNS has no {name}.")
    if message["TopicArn"] not in topics:
        raise SignatureError(
            "The message is about a topic that isn't ours.", remedy="List the topic in HOLDFAST_SNS_TOPICS."
        )
    return message


def check_address(url: str, *, certificate: bool) -> str:
    """The address if it is one of SNS itself (and, if asked for, of a certificate); raises SignatureError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SignatureError("The message of SNS names an address that is none.") from None
    plain = parts.scheme == "https" and parts.netloc == parts.hostname and port is None and not parts.fragment
    if not plain or not _HOST.fullmatch(parts.hostname or ""):
        raise SignatureError("The message of SNS names an address that isn't Amazon's.")
    if certificate and (parts.query or not _CERTIFICATE.fullmatch(parts.path)):
        raise SignatureError("The message of SNS names an address that is no certificate's.")
    return url


def verify(message: Mapping[str, Any], certificate: bytes, now: datetime) -> str:
    """The id of a message that the holder of `certificate` (PEM) signed."""
    kind = _HASHES.get(message["SignatureVersion"])
    if kind is None:
        raise SignatureError("The signature's version isn't known.")
    text = "".join(
        f"{name}\n{message[name]}\n"
        for name in _SIGNED[message["Type"]]
        if isinstance(message.get(name), str)
    )
    try:
        key = load_pem_x509_certificate(certificate).public_key()
        if not isinstance(key, RSAPublicKey):
            raise SignatureError("The certificate of SNS is of another kind.")
        key.verify(decode(message["Signature"]), text.encode("utf-8", "surrogatepass"), PKCS1v15(), kind())
    except (InvalidSignature, ValueError):
        raise WrongSignatureError("The signature doesn't fit.") from None
    check_time(_seconds(message["Timestamp"]), now, past=RETRIED_FOR)
    return str(message["MessageId"])


def _seconds(timestamp: str) -> str:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        raise SignatureError("The message of SNS has no time that can be read.") from None
    return str(max(0, int(at.replace(tzinfo=at.tzinfo or UTC).timestamp())))
