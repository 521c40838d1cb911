"""A push service and the browsers that are subscribed at it: it checks who sends, and reads what only they can.

Faults: see tests.standins.provider; `410/gone` and `403/mismatch` are answered as services do.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.standins.http import Request, respond
from tests.standins.provider import Accepted, ProviderStandIn


class Browser:
    """One subscription: its keys, and what it can read with them."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._secret = os.urandom(16)
        self._point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def keys(self) -> dict[str, str]:
        """What it gives to the web app."""
        return {"p256dh": _write(self._point), "auth": _write(self._secret)}

    def decrypt(self, body: bytes) -> bytes:
        """RFC 8291 from the receiver's side; raises InvalidTag for what isn't meant for it."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        shared = self._key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        info = b"WebPush: info\x00" + self._point + sender
        material = HKDF(hashes.SHA256(), 32, self._secret, info).derive(shared)
        key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\x00").derive(material)
        nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\x00").derive(material)
        content = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\x00")
        assert content[-1:] == b"\x02"
        return content[:-1]


class WebPushStandIn(ProviderStandIn):
    """It takes messages for its browsers, from whoever signs as `sender` (a public key in base64url)."""

    taken_status = 201

    def __init__(self, *arguments: Any, sender: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.sender = sender
        self._browsers: dict[str, Browser] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def subscribe(self) -> Browser:
        """A browser that gets notifications here."""
        path = f"/push/{uuid4().hex}"
        self._browsers[path] = Browser(f"{self.url}{path}")
        return self._browsers[path]

    def unsubscribe(self, browser: Browser) -> None:
        """It doesn't want them any more."""
        del self._browsers[browser.endpoint.removeprefix(self.url)]

    def check(self, request: Request) -> bytes | None:
        """Who sends, to whom, and whether the headers are those of RFC 8030."""
        if not self._is_known(request.headers.get("authorization", "")):
            return self.refuse_account()
        if request.path not in self._browsers:
            return self.refuse(410, "gone")
        topic = request.headers.get("topic", "")
        if request.headers.get("content-encoding") != "aes128gcm" or len(topic) > 32:
            return self.refuse(400, "bad_headers")
        return respond(413, b"") if len(request.body) > 4096 else None

    def read(self, request: Request) -> Accepted:
        shown = json.loads(self._browsers[request.path].decrypt(request.body))
        shown["ttl"], shown["topic"] = request.headers["ttl"], request.headers["topic"]
        return Accepted(uuid4().hex, request.path, shown["data"]["delivery_id"], shown)

    def confirm(self, message: Accepted) -> bytes:
        return respond(201, b"", Location=f"{self.url}/message/{message.id}")

    def refuse_account(self) -> bytes:
        return respond(401, b"the JWT is not valid", kind="text/plain")

    def refuse(self, status: int, code: str, **headers: str) -> bytes:
        words = {"mismatch": "the VAPID credentials do not correspond to those of the subscription"}
        return respond(status, words.get(code, code).encode(), kind="text/plain", **headers)

    def _is_known(self, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        given = dict(part.strip().split("=", 1) for part in rest.split(",")) if "=" in rest else {}
        if scheme != "vapid" or given.get("k") != self.sender:
            return False
        head, claims, signature = given["t"].split(".")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _read(self.sender))
        raw = _read(signature)
        signed = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        try:
            key.verify(signed, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        said = json.loads(_read(claims))
        return bool(said["aud"] == self.url and str(said["sub"]).startswith("mailto:"))


def _write(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
