"""Tokens of the links in messages: they name a customer and what it is about, and nobody else can make one."""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Purpose = Literal["unsubscribe", "preferences", "book", "calendar"]

# The first byte of every token: links in old mails stay good, whatever later versions put into theirs.
_VERSION = 1
_PURPOSES: dict[Purpose, bytes] = {
    "unsubscribe": b"u",
    "preferences": b"p",
    "book": b"b",
    "calendar": b"c",
}
# Half of SHA-256, as RFC 2104 allows: 128 bits are not guessed, and short links are not broken by mail clients.
_SIGNATURE_BYTES = 16
_NONE = UUID(int=0)
_WRITTEN = re.compile(r"[A-Za-z0-9_-]{64,400}")


@dataclass(frozen=True, slots=True)
class LinkToken:
    """What a link stands for: this customer, and to unsubscribe a channel (empty: all) or one topic on it.

    `customer_id` is our UUID, `delivery_id` that of the message that the link stands in, where there is one (of a call,
    for `calendar`). It holds no personal data and no date: a mail may be read in a year.
    """

    purpose: Purpose
    customer_id: str
    channel: str = ""
    topic: str = ""
    delivery_id: str | None = None


class LinkKey:
    """Signs tokens and reads them; made of HOLDFAST_SECRET_KEY, of which it is no copy.

    Where that is several keys, parted by spaces, the first signs, and what any of them signed is good.
    """

    def __init__(self, secret: str) -> None:
        # A key of its own, so that nothing else that is ever signed with the secret is a link.
        self._keys = [hmac.digest(part.encode(), b"holdfast links", "sha256") for part in secret.split()]

    def sign(self, token: LinkToken) -> str:
        """The token as it stands in a link: the same for the same token, URL-safe, at most 400 characters."""
        body = b"".join(
            (
                bytes([_VERSION]),
                _PURPOSES[token.purpose],
                UUID(token.customer_id).bytes,
                (UUID(token.delivery_id) if token.delivery_id else _NONE).bytes,
                f"{token.channel}:{token.topic}".encode(),
            )
        )
        return base64.urlsafe_b64encode(body + _sign(self._keys[0], body)).rstrip(b"=").decode()

    def read(self, written: str, purpose: Purpose) -> LinkToken | None:
        """What was signed for this purpose; None for anything else."""
        if not _WRITTEN.fullmatch(written) or len(written) % 4 == 1:
            return None
        raw = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
        body, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
        if not any(hmac.compare_digest(_sign(key, body), signature) for key in self._keys):
            return None
        if body[:2] != bytes([_VERSION]) + _PURPOSES[purpose]:
            return None
        channel, _, topic = body[34:].decode().partition(":")
        delivery = UUID(bytes=body[18:34])
        return LinkToken(
            purpose, str(UUID(bytes=body[2:18])), channel, topic, None if delivery == _NONE else str(delivery)
        )


def _sign(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_SIGNATURE_BYTES]
