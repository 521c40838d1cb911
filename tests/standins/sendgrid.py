"""SendGrid's POST /v3/mail/send as far as Holdfast uses it. Faults: see tests.standins.provider."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.standins.http import Request, respond
from tests.standins.provider import Accepted, ProviderStandIn

KEY = "SG.stand-in"
# Headers that SendGrid writes itself, and refuses.
RESERVED = frozenset({
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
})  # fmt: skip


class SendgridStandIn(ProviderStandIn):
    """It takes mails for one key."""

    taken_status = 202

    def check(self, request: Request) -> bytes | None:
        """The key, then what the API's reference calls required."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.refuse_account()
        if (request.method, request.path) != ("POST", "/v3/mail/send"):
            return self.refuse(404, "")
        mail = json.loads(request.body)
        for field in _problems(mail):
            return self.refuse(400, field)
        return None

    def read(self, request: Request) -> Accepted:
        mail = json.loads(request.body)
        [letter] = mail["personalizations"]
        [to] = letter["to"]
        return Accepted(uuid4().hex[:22], to["email"], letter["custom_args"]["delivery_id"], mail)

    def confirm(self, message: Accepted) -> bytes:
        return respond(202, b"", **{"X-Message-Id": message.id})

    def refuse_account(self) -> bytes:
        return self.refuse(401, "", said="The provided authorization grant is invalid, expired, or revoked")

    def refuse(self, status: int, code: str, said: str = "Refused.", **headers: str) -> bytes:
        error = {"message": said, "field": code if "." in code else None, "help": None}
        return respond(status, json.dumps({"errors": [error]}).encode(), **headers)


def _problems(mail: dict[str, Any]) -> list[str]:
    found = []
    for index, letter in enumerate(mail.get("personalizations") or [{}]):
        if not all("@" in to.get("email", "") for to in letter.get("to") or [{}]):
            found.append(f"personalizations.{index}.to.0.email")
        if not all(isinstance(value, str) for value in letter.get("custom_args", {}).values()):
            found.append(f"personalizations.{index}.custom_args")
    if "@" not in mail.get("from", {}).get("email", ""):
        found.append("from.email")
    if not mail.get("subject"):
        found.append("subject.subject")
    if not mail.get("content") or not all(part.get("value") for part in mail["content"]):
        found.append("content.0.value")
    if any(set(";\r\n") & set(file.get("type", "")) for file in mail.get("attachments", [])):
        found.append("attachments.0.type")
    if RESERVED & {name.lower() for name in mail.get("headers", {})}:
        found.append("headers.headers")
    return found
