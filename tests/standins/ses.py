"""Amazon SES's SendEmail (API v2) as far as Holdfast uses it; it checks signatures itself, by the book.

Faults: see tests.standins.provider.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from email import message_from_bytes
from uuid import uuid4

from tests.standins.http import Request, respond
from tests.standins.provider import Accepted, ProviderStandIn

KEY_ID, SECRET, REGION = "AKIASTANDIN", "stand/in+secret", "eu-central-1"
PATH = "/v2/email/outbound-emails"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/ses/aws4_request), "
    r"SignedHeaders=([a-z;-]+), Signature=([0-9a-f]{64})"
)


class SesStandIn(ProviderStandIn):
    """It takes mails that are signed with one key, for one region."""

    def check(self, request: Request) -> bytes | None:
        """The signature, then what SES wants of a raw mail."""
        if not _is_signed(request):
            return self.refuse_account()
        if (request.method, request.path) != ("POST", PATH):
            return self.refuse(404, "NotFoundException")
        order = json.loads(request.body)
        if "not-verified" in order["FromEmailAddress"]:
            return self.refuse(400, "MessageRejected", said="Email address is not verified.")
        return None

    def read(self, request: Request) -> Accepted:
        order = json.loads(request.body)
        mail = message_from_bytes(base64.b64decode(order["Content"]["Raw"]["Data"]))
        tags = {tag["Name"]: tag["Value"] for tag in order["EmailTags"]}
        [to] = order["Destination"]["ToAddresses"]
        return Accepted(str(uuid4()), to, tags["delivery_id"], {**order, "mail": mail})

    def confirm(self, message: Accepted) -> bytes:
        return respond(200, json.dumps({"MessageId": message.id}).encode())

    def refuse_account(self) -> bytes:
        return self.refuse(403, "InvalidSignatureException", said="The signature does not match.")

    def refuse(self, status: int, code: str, said: str = "Refused.", **headers: str) -> bytes:
        name = "TooManyRequestsException" if code == "429" else code
        headers["x-amzn-ErrorType"] = f"{name}:http://internal.amazon.com/coral/"
        return respond(status, json.dumps({"message": said}).encode(), **headers)


def _is_signed(request: Request) -> bool:
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        return False
    key, scope, names, signature = found.groups()
    moment = request.headers.get("x-amz-date", "")
    if key != KEY_ID or f"/{REGION}/" not in scope or not moment.startswith(scope[:8]):
        return False
    if not {"host", "x-amz-date"} <= set(names.split(";")):
        return False
    canonical = f"{request.method}\n{request.path}\n\n"
    canonical += "".join(f"{name}:{request.headers[name]}\n" for name in names.split(";"))
    canonical += f"\n{names}\n{hashlib.sha256(request.body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = b"AWS4" + SECRET.encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(signing, text.encode(), hashlib.sha256).hexdigest(), signature)
