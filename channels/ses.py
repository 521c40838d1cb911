"""E-mail through Amazon SES's API v2: the finished message, signed by us.

SES knows no idempotency key and can't be asked about a mail. So a mail is posted once, and what is unknown afterwards
stays so until SES's events, which carry the delivery id as a tag, say more.
Source: docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

from channels.aws_signature import AwsKey, sign
from channels.http_api import HttpApi
from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.mail import build_mail, check_recipient
from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    OutgoingMessage,
    Receipt,
    Unanswerable,
    UnknownOutcomeError,
)
from channels.ses_codes import PAUSE_SECONDS, read_error

PROVIDER = "ses"
PATH = "/v2/email/outbound-emails"


class SesChannel:
    """Sends e-mails in one AWS region; the key needs `ses:SendEmail` and `ses:SendRawEmail`.

    configuration_set: what says where SES reports to; empty for the account's default.
    """

    name = "email"
    provider = PROVIDER

    def __init__(
        self,
        key: AwsKey,
        *,
        region: str,
        sender: tuple[str, str],
        base_url: str = "",
        configuration_set: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = f"{base_url or f'https://email.{region}.amazonaws.com'}{PATH}"
        self._key = key
        self._region = region
        self._sender = sender
        self._configuration_set = configuration_set
        self._now = now
        self._api = HttpApi(
            PROVIDER, "Amazon SES", deadline_seconds=deadline_seconds, connect_seconds=connect_seconds
        )

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the mail once; the receipt's id is SES's message id."""
        body = self._make_body(message)
        headers = sign(
            "POST", self._url, {"Content-Type": "application/json"}, body,
            key=self._key, region=self._region, service="ses", now=self._now(),
        )  # fmt: skip
        answer, exchange = await self._api.post(self._url, body, headers)
        if not 200 <= answer.status < 300:
            kind, code, said = read_error(answer.status, answer.headers, answer.body)
            raise FAILURES[kind](
                f"Amazon SES said {answer.status} {code}: {said}.",
                provider=PROVIDER,
                provider_code=code,
                retry_after_seconds=exchange.retry_after_seconds or PAUSE_SECONDS.get(code),
            )
        try:
            given = json.loads(answer.body)["MessageId"]
        except (ValueError, KeyError, TypeError):
            given = None
        if not isinstance(given, str) or not given:
            raise UnknownOutcomeError("Amazon SES's answer holds no message id.", provider=PROVIDER)
        return Receipt(PROVIDER, given)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """SES finds a mail by its own id alone, which is what got lost."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._api.close()

    def _make_body(self, message: OutgoingMessage) -> bytes:
        recipient = check_recipient(message.recipient, PROVIDER)
        mail = build_mail(
            message, sender=self._sender, recipient=recipient, now=self._now(), provider=PROVIDER
        )
        body = {
            "FromEmailAddress": self._sender[1],
            "Destination": {"ToAddresses": [recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(mail).decode()}},
            "EmailTags": [
                {"Name": "delivery_id", "Value": message.delivery_id},
                {"Name": "attempt", "Value": str(message.attempt)},
            ],
        }
        if self._configuration_set:
            body["ConfigurationSetName"] = self._configuration_set
        return json.dumps(body).encode()
