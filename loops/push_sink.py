"""A stand-in for Firebase Cloud Messaging that delivers nowhere: every push becomes a file that can be looked at.

It takes part in Google's own way of proving who one is: `make_account` writes a service account's key file whose
token address is the sink's, which checks the signature and gives out a token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loops.conduct import Conduct
from loops.data_directory import write_atomically
from loops.mail_sink import keep_message, message_name

PROJECT = "holdfast-outbox"
EMAIL = "outbox@holdfast.example"
TOKEN_PATH = "/token"  # noqa: S105 - a path
TOKEN_SECONDS = 3600
_KEY_BITS = 2048


def make_account(path: Path, base_url: str) -> None:
    """Write the key file of the sink at `base_url`; the key in it is made once and kept."""
    try:
        private_key = str(json.loads(path.read_text())["private_key"])
    except (OSError, ValueError, KeyError, TypeError):
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        private_key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    account = {
        "type": "service_account", "project_id": PROJECT, "client_email": EMAIL,
        "private_key_id": "outbox", "private_key": private_key, "token_uri": base_url + TOKEN_PATH,
    }  # fmt: skip
    write_atomically(path, json.dumps(account, indent=2) + "\n")


class PushSink:
    """Keeps each notification in `outbox` as TIME-RANDOM.push.json before it says 200."""

    def __init__(self, outbox: Path, account: Path, conduct: Conduct | None = None) -> None:
        self._outbox = outbox
        self._conduct = conduct or Conduct()
        info = json.loads(account.read_text())
        self._project: str = info["project_id"]
        self._audience: str = info["token_uri"]
        key = serialization.load_pem_private_key(info["private_key"].encode(), password=None)
        self._public_key = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._tokens: set[str] = set()

    def routes(self) -> list[Route]:
        """What it answers to."""
        return [
            Route(TOKEN_PATH, self.grant, methods=["POST"]),
            Route("/v1/projects/{project}/messages:send", self.send, methods=["POST"]),
        ]

    async def grant(self, request: Request) -> Response:
        """POST /token: an access token for an assertion that our key signed."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        try:
            jwt.decode(form.get("assertion", ""), certs=self._public_key, audience=self._audience)  # type: ignore[no-untyped-call]
        except ValueError as error:  # google-auth's errors are such
            return JSONResponse({"error": "invalid_grant", "error_description": str(error)}, status_code=400)
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return JSONResponse({"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"})

    async def send(self, request: Request) -> Response:
        """POST messages:send: on the disk first, then acknowledged."""
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            return _problem(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.path_params["project"] != self._project:
            return _problem(404, "NOT_FOUND", "Requested entity was not found.")
        try:
            message: Any = json.loads(await request.body())["message"]
            known = bool(message["token"]) and isinstance(message["notification"], dict)
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            return _problem(400, "INVALID_ARGUMENT", "Recipient of the message is not set.")
        fault = self._conduct.draw("push")
        if fault == "busy":
            refusal = _problem(429, "QUOTA_EXCEEDED", "Sending limit exceeded.")
            refusal.headers["Retry-After"] = str(self._conduct.channels["push"].retry_after_seconds)
            return refusal
        if fault == "error":
            return _problem(500, "INTERNAL", "Internal error encountered.")
        if fault == "refuse":
            return _problem(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
        if fault == "account":
            return _problem(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        return JSONResponse({"name": await self._conduct.take("push", fault, lambda: self._keep(message))})

    async def _keep(self, message: dict[str, Any]) -> str:
        name = message_name()
        kept = {
            "name": f"projects/{self._project}/messages/{name}",
            "received_at": datetime.now(UTC).isoformat(),
            **message,
        }
        text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
        await asyncio.to_thread(keep_message, self._outbox / f"{name}.push.json", text)
        return str(kept["name"])


def _problem(status: int, canonical: str, message: str, code: str = "") -> Response:
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details = [{"@type": kind, "errorCode": code}] if code else []
    error = {"code": status, "status": canonical, "message": message, "details": details}
    return JSONResponse({"error": error}, status_code=status)
