"""Firebase Cloud Messaging as far as Holdfast uses it: it checks who sends, accepts, counts, and fails as it is told.

A fault is one of FAULTS, or `status/code` such as `404/UNREGISTERED`, which is answered as FCM words its errors.
"before" means that the notification isn't accepted, "after" that it is. Its service account is made for it alone:
`write_account` writes the key file, whose token address is the stand-in's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from tests.standins.http import ConnectionCut, Request, respond
from tests.standins.programme import Programme
from tests.standins.server import HttpStandIn

FAULTS = (
    "cut_before",
    "cut_after",
    "hang_after",
    "drip_after",
    "garbled_after",
    "proxy_503",
    "forget_tokens",
)
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_CANONICAL = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip


@cache
def _make_key() -> rsa.RSAPrivateKey:
    """One for all stand-ins of a process, and a small one: each channel checks it, which takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


class FcmStandIn(HttpStandIn):
    """The server; an asynchronous context manager. `url` is known once it is started."""

    def __init__(self, programme: Programme | None = None, *, retry_after: str = "") -> None:
        super().__init__()
        self.programme = programme or Programme()
        self.accepted: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.refuse_account = False
        self.token_seconds = 3599
        self._retry_after = retry_after
        self._key = _make_key()
        self._tokens: set[str] = set()

    def write_account(self, path: Path, **changes: Any) -> Path:
        """The key file of its service account, with `changes`."""
        private_key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        account = {
            "type": "service_account", "project_id": "studio", "private_key_id": "k1",
            "private_key": private_key, "client_email": "push@studio.iam.example",
            "token_uri": f"{self.url}/token", **changes,
        }  # fmt: skip
        path.write_text(json.dumps(account))
        return path

    def count(self, delivery: str) -> int:
        """How often a delivery was accepted."""
        return sum(message["data"]["delivery_id"] == delivery for message in self.accepted)

    async def answer(self, request: Request) -> AsyncIterator[bytes]:
        """Grant a token to the account that it knows, and take notifications for one."""
        self.requests.append(request.path)
        if request.path == "/token":
            yield self._grant(request)
        elif request.headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            yield self._refuse(401, "")
        elif request.path != "/v1/projects/studio/messages:send":
            yield self._refuse(404, "")
        else:
            async for piece in self._post(json.loads(request.body)["message"]):
                yield piece

    def _grant(self, request: Request) -> bytes:
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            claims = jwt.decode(request.form["assertion"], certs=public, audience=f"{self.url}/token")
        except ValueError as error:
            return respond(400, json.dumps({"error": "invalid_grant", "reason": str(error)}).encode())
        wrong = claims["iss"] != "push@studio.iam.example" or claims["scope"] != SCOPE
        if wrong or self.refuse_account:
            return respond(401, b'{"error": "invalid_client"}')
        token = uuid4().hex
        self._tokens.add(token)
        return respond(200, json.dumps({"access_token": token, "expires_in": self.token_seconds}).encode())

    async def _post(self, message: dict[str, Any]) -> AsyncIterator[bytes]:
        fault = self.programme.draw()
        if fault == "cut_before":
            raise ConnectionCut
        if fault == "forget_tokens":
            self._tokens.clear()
            yield self._refuse(401, "")
        elif fault == "proxy_503":
            yield respond(503, b"<html>no healthy upstream</html>", kind="text/html")
        elif fault == "400/token":
            yield self._refuse(400, "INVALID_ARGUMENT", field="message.token")
        elif "/" in fault:
            status, code = fault.split("/")
            yield self._refuse(int(status), code)
        else:
            async for piece in self._confirm(fault, message):
                yield piece

    async def _confirm(self, fault: str, message: dict[str, Any]) -> AsyncIterator[bytes]:
        self.accepted.append(message)
        answer = respond(200, json.dumps({"name": f"projects/studio/messages/{len(self.accepted)}"}).encode())
        if fault == "cut_after":
            raise ConnectionCut
        if fault == "hang_after":
            await asyncio.sleep(3600)
        elif fault == "drip_after":
            for byte in answer:
                yield bytes([byte])
                await asyncio.sleep(0.05)
        elif fault == "garbled_after":
            yield respond(200, b"<html>sent</html>", kind="text/html")
        else:
            yield answer

    def _refuse(self, status: int, code: str, field: str = "") -> bytes:
        details: list[dict[str, Any]] = []
        if code:
            details.append(
                {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
            )
        if field:
            details.append({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": "Invalid registration token"}],
            })  # fmt: skip
        error = {"code": status, "status": _CANONICAL[status], "message": "Refused.", "details": details}
        headers = {"Retry-After": self._retry_after} if self._retry_after else {}
        return respond(status, json.dumps({"error": error}).encode(), **headers)
