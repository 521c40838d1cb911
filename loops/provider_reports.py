"""What providers send back to `/hooks`, sent by the sinks on request: callbacks, reports, replies; all signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import urlencode, urlsplit

from channels.http_client import Exchange, HttpClient
from loops.kept_messages import KeptMessage
from schemas.errors import InputError, UnavailableError

ReportedKind = Literal[
    "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "undelivered", "reply"
]
KINDS: tuple[ReportedKind, ...] = get_args(ReportedKind)
# As Standard Webhooks: SMTP servers and push services report in no way of their own.
SOURCE = "sinks"
SECRET_VARIABLE = "HOLDFAST_HOOK_SECRET_SINKS"  # noqa: S105 - a name
_TWILIO: Mapping[str, str] = {
    "delivered": "delivered", "opened": "read", "bounced": "failed", "undelivered": "undelivered"
}  # fmt: skip
_CALLS: Mapping[str, str] = {"delivered": "completed", "undelivered": "no-answer", "bounced": "failed"}
# An unknown handset; to carriers that is for good.
_UNKNOWN_NUMBER = "30005"


def make_secret(from_key: str) -> str:
    """A secret of the source `sinks` that is always the same for one key."""
    return f"whsec_{base64.b64encode(hmac.digest(from_key.encode(), b'sinks', hashlib.sha256)).decode()}"


class ReportError(InputError):
    """No provider reports that of such a message."""

    remedy = f"Reports are {', '.join(KINDS)}; Twilio knows no complained, clicked or unsubscribed."


@dataclass
class Reporter:
    """Signs and posts reports.

    `public_url` is the address that Holdfast believes to have, which signatures cover; `hooks_url` is where its web
    process really listens (empty: there). `secret` is that of the source `sinks` (whsec_…).
    """

    public_url: str
    account_sid: str = ""
    auth_token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    hooks_url: str = ""

    async def report(
        self, message: KeptMessage, kind: str, *, text: str = "", code: str = "", times: int = 1
    ) -> int:
        """Post one report (`times` over, as providers now and then do); the last answer's status.

        text: what a `reply` says. code: the provider's code where it went wrong. Raises ReportError, UnavailableError.
        """
        if kind not in KINDS:
            raise ReportError(f"There is no report {kind[:40]!r}.")
        if message.channel in ("sms", "whatsapp", "voice"):
            url, body, headers = self._make_twilio(message, kind, text, code)
        else:
            url, body, headers = self._make_standard(message, kind, text, code)
        client, status = HttpClient(self.hooks_url), 0
        try:
            for _ in range(max(1, min(times, 100))):
                exchange = Exchange()
                answer = await client.request("POST", url, exchange, content=body, headers=headers)
                status = answer.status
        except Exception as error:
            raise UnavailableError(
                f"{urlsplit(self.hooks_url or url).netloc} doesn't take reports: {type(error).__name__}.",
                remedy="Start the web process, and set HOLDFAST_PUBLIC_URL to its address.",
            ) from error
        finally:
            await client.close()
        return status

    def _make_twilio(
        self, message: KeptMessage, kind: str, text: str, code: str
    ) -> tuple[str, bytes, dict[str, str]]:
        url = f"{self.public_url}/hooks/twilio"
        form = {"AccountSid": self.account_sid, "ApiVersion": "2010-04-01"}
        if kind == "reply":
            if message.channel == "voice":
                raise ReportError("Nobody replies to a call.")
            sid = f"SM{secrets.token_hex(16)}"
            form |= {
                "From": message.to, "To": message.sender, "Body": text, "MessageSid": sid, "SmsStatus": "received",
            }  # fmt: skip
        else:
            statuses = _CALLS if message.channel == "voice" else _TWILIO
            status = statuses.get(kind)
            if status is None or (status == "read" and message.channel != "whatsapp"):
                raise ReportError(f"Twilio doesn't say of a message by {message.channel} that it was {kind}.")
            # Only where it was asked to call, and only to us.
            if not (message.callback or "").startswith(f"{url}?"):
                raise ReportError(
                    "This message asked for no status callback to Holdfast.",
                    remedy="HOLDFAST_PUBLIC_URL must be set for the worker, and the same for the sinks.",
                )
            url = str(message.callback)
            form |= {"From": message.sender, "To": message.to}
            form |= (
                {"CallSid": str(message.provider_id), "CallStatus": status}
                if message.channel == "voice"
                else {"MessageSid": str(message.provider_id), "MessageStatus": status}
            )
            if kind in ("bounced", "undelivered"):
                form["ErrorCode"] = code or (_UNKNOWN_NUMBER if kind == "bounced" else "30008")
        signed = url + "".join(name + value for name, value in sorted(form.items()))
        signature = hmac.digest(self.auth_token.encode(), signed.encode(), hashlib.sha1)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": base64.b64encode(signature).decode(),
        }
        return url, urlencode(form).encode(), headers

    def _make_standard(
        self, message: KeptMessage, kind: str, text: str, code: str
    ) -> tuple[str, bytes, dict[str, str]]:
        if not self.secret:
            raise ReportError(
                "Reports on mails and pushes aren't signed without a secret.",
                remedy=f"Set {SECRET_VARIABLE}.",
            )
        data: dict[str, Any]
        if kind == "reply":
            if message.channel != "email":
                raise ReportError("Nobody replies to a push.")
            data = {
                "channel": "email", "from": message.to, "subject": f"Re: {message.subject}", "text": text,
                "in_reply_to": message.provider_id, "id": secrets.token_hex(8),
            }  # fmt: skip
        else:
            data = {"channel": message.channel, "delivery_id": message.delivery_id, "code": code}
            if kind == "bounced":
                data["fault"] = "hard"
        told = "message.received" if kind == "reply" else f"message.{kind}"
        envelope = {"type": told, "timestamp": datetime.now(UTC).isoformat(), "data": data}
        body = json.dumps(envelope).encode()
        name, seconds = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signature = hmac.digest(key, f"{name}.{seconds}.".encode() + body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json", "webhook-id": name, "webhook-timestamp": seconds,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }  # fmt: skip
        return f"{self.public_url}/hooks/{SOURCE}", body, headers
