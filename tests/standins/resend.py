"""Resend's POST /emails as far as Holdfast uses it, with its idempotency keys. Faults: see tests.standins.provider."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.standins.http import Request, respond
from tests.standins.provider import Accepted, ProviderStandIn

KEY = "re_stand_in"


class ResendStandIn(ProviderStandIn):
    """It takes mails for one key, and each idempotency key once."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # Idempotency key -> the body it came with, and what was accepted for it.
        self._known: dict[str, tuple[bytes, Accepted]] = {}

    def check(self, request: Request) -> bytes | None:
        """The API key, required fields, then whether this is a repetition."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.refuse_account()
        if (request.method, request.path) != ("POST", "/emails"):
            return self.refuse(404, "not_found")
        mail = json.loads(request.body)
        missing = [name for name in ("from", "to", "subject") if not mail.get(name)]
        if missing or not (mail.get("text") or mail.get("html")):
            return self.refuse(422, "missing_required_field")
        if not all(_is_plain(value) for tag in mail.get("tags", ()) for value in tag.values()):
            return self.refuse(422, "validation_error")
        body, before = self._known.get(request.headers["idempotency-key"], (b"", None))
        if before is None:
            return None
        return (
            self.confirm(before) if body == request.body else self.refuse(409, "invalid_idempotent_request")
        )

    def read(self, request: Request) -> Accepted:
        mail = json.loads(request.body)
        [to] = mail["to"]
        tags = {tag["name"]: tag["value"] for tag in mail["tags"]}
        message = Accepted(str(uuid4()), to, tags["delivery_id"], mail)
        self._known[request.headers["idempotency-key"]] = (request.body, message)
        return message

    def confirm(self, message: Accepted) -> bytes:
        return respond(200, json.dumps({"id": message.id}).encode())

    def refuse_account(self) -> bytes:
        return self.refuse(403, "invalid_api_key")

    def refuse(self, status: int, code: str, **headers: str) -> bytes:
        name = "rate_limit_exceeded" if code == "429" else code
        error = {"statusCode": status, "name": name, "message": "Refused."}
        return respond(status, json.dumps(error).encode(), **headers)


def _is_plain(value: str) -> bool:
    return bool(value) and len(value) <= 256 and all(letter.isalnum() or letter in "_-" for letter in value)
