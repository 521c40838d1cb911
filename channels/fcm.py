"""Push notifications through Firebase Cloud Messaging's HTTP v1 API.

FCM knows no idempotency key and can't be asked about a message. So a message is posted once, and what is
unknown afterwards stays so; should one arrive twice all the same, it carries its delivery id as the tag by
which phones and browsers let a notification replace an earlier one.
Source: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from channels.devices import send_to_all
from channels.fcm_codes import OF_MESSAGE, PAUSE_SECONDS, read_error
from channels.google_account import AccessTokens, ServiceAccount
from channels.http_client import (
    CONNECT_SECONDS,
    DEADLINE_SECONDS,
    Answer,
    Exchange,
    HttpClient,
    UnreadableAnswerError,
)
from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    AccountError,
    ContentError,
    Device,
    OutgoingMessage,
    Receipt,
    RecipientError,
    TransientError,
    Unanswerable,
    UnknownOutcomeError,
)

BASE_URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
PAYLOAD_LIMIT_BYTES = 4096
# A notification that a phone hasn't fetched by then isn't shown: it would come out of the blue.
VALID_SECONDS = 86_400
_TOKEN = re.compile(r"[!-~]{1,4096}")


class FcmChannel:
    """Sends notifications to the apps of one Firebase project, whose service account it is given."""

    name = "push"
    provider = "fcm"

    def __init__(
        self,
        account: ServiceAccount,
        *,
        base_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = f"{base_url or BASE_URL}/v1/projects/{quote(account.project_id, safe='')}/messages:send"
        self._client = HttpClient(deadline_seconds=deadline_seconds, connect_seconds=connect_seconds)
        self._tokens = AccessTokens(account, self._client, scope=SCOPE, provider=self.provider, clock=clock)
        self._deadline_seconds = deadline_seconds
        self._clock = clock

    def reaches(self, message: OutgoingMessage) -> bool:
        """Whether the customer has the app somewhere."""
        return not message.devices or bool(_apps_of(message))

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the notification once to each app; the receipt's id is FCM's name for the first that was taken."""
        apps = _apps_of(message) or (Device("fcm", message.recipient),)
        return await send_to_all(apps, lambda device: self._post(message, device.token))

    async def _post(self, message: OutgoingMessage, registration: str) -> Receipt:
        body = self._make_body(message, registration)
        exchange = Exchange()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                token = await self._tokens.get()
                answer = await self._client.request(
                    "POST", self._url, exchange, content=body,
                    headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                )  # fmt: skip
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AccountError(f"FCM's address can't be used: {error}.", provider=self.provider) from error
        except (TimeoutError, httpx.HTTPError, httpx.StreamError, UnreadableAnswerError) as error:
            what = str(error) or type(error).__name__
            if exchange.sent:
                raise UnknownOutcomeError(
                    f"FCM's answer was lost: {what[:300]}.", provider=self.provider
                ) from error
            raise TransientError(f"FCM can't be reached: {what[:300]}.", provider=self.provider) from error
        if answer.status == 401:
            self._tokens.forget(token)
        return self._read(answer, exchange)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """FCM has no way to ask what became of a message."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.close()

    def _make_body(self, message: OutgoingMessage, registration: str) -> bytes:
        if not _TOKEN.fullmatch(registration) or registration.startswith("web:"):
            raise RecipientError("This can't be a registration token of FCM's.", provider=self.provider)
        if not message.subject.strip() or not message.text.strip():
            raise ContentError("A push notification needs a title and a text.", provider=self.provider)
        if message.valid_for_seconds is not None and message.valid_for_seconds < 1:
            raise TransientError(
                "The time in which it may be sent is over.", provider=self.provider, of_message=True
            )
        seconds = min(message.valid_for_seconds or VALID_SECONDS, VALID_SECONDS)
        shown = {
            "notification": {"title": message.subject, "body": message.text},
            "data": {"delivery_id": message.delivery_id},
        }
        if len(json.dumps(shown, ensure_ascii=False).encode()) > PAYLOAD_LIMIT_BYTES:
            raise ContentError(
                f"The push notification has more than {PAYLOAD_LIMIT_BYTES} bytes.", provider=self.provider
            )
        topic = hashlib.sha256(message.delivery_id.encode()).hexdigest()[:32]  # Web Push allows no more
        return json.dumps({"message": {
            "token": registration,
            **shown,
            "android": {
                "collapse_key": message.delivery_id, "ttl": f"{seconds}s",
                "notification": {"tag": message.delivery_id},
            },
            "apns": {"headers": {
                "apns-collapse-id": message.delivery_id[:64],
                "apns-expiration": str(int(self._clock()) + seconds),
            }},
            "webpush": {"headers": {"Topic": topic, "TTL": str(seconds)}},
        }}).encode()  # fmt: skip

    def _read(self, answer: Answer, exchange: Exchange) -> Receipt:
        if answer.status != 200:
            kind, code, said = read_error(answer.status, answer.body)
            raise FAILURES[kind](
                f"FCM said {answer.status}: {said}.",
                provider=self.provider,
                provider_code=code,
                retry_after_seconds=exchange.retry_after_seconds or PAUSE_SECONDS.get(code),
                # 401: our access token, of which the next request fetches another.
                of_message=answer.status == 401 or code in OF_MESSAGE,
            )
        try:
            name: Any = json.loads(answer.body)["name"]
        except (ValueError, KeyError, TypeError):
            name = None
        if not isinstance(name, str) or not name:
            raise UnknownOutcomeError("FCM's answer holds no message name.", provider=self.provider)
        return Receipt(self.provider, name)


def _apps_of(message: OutgoingMessage) -> tuple[Device, ...]:
    return tuple(device for device in message.devices if device.kind == "fcm")
