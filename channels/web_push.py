"""Notifications in browsers by Web Push (RFC 8030), straight to the push service that each browser names.

Push services know no idempotency key and can't be asked. So a message is posted once, and what is unknown afterwards
stays so; should one arrive twice all the same, Topic replaces it at the service and its tag in the browser.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from channels.devices import send_to_all
from channels.http_api import HttpApi, classify_status
from channels.http_client import CONNECT_SECONDS, DEADLINE_SECONDS
from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    ContentError,
    Device,
    FailureClass,
    OutgoingMessage,
    Receipt,
    RecipientError,
    TransientError,
    Unanswerable,
)
from channels.web_push_encryption import CONTENT_LIMIT_BYTES, VapidKey, encrypt

PROVIDER = "webpush"
# A notification that a browser hasn't fetched by then isn't shown: it would come out of the blue.
VALID_SECONDS = 86_400
# The push services of the browsers that there are. An endpoint comes from a customer's browser: anywhere else it could
# be made to lead into our own network.
SERVICES = (
    "fcm.googleapis.com", "android.googleapis.com", "updates.push.services.mozilla.com", "push.services.mozilla.com",
    "notify.windows.com", "push.apple.com",
)  # fmt: skip
STATUS_CLASSES: dict[int, FailureClass] = {
    404: "recipient",  # no such subscription
    410: "recipient",  # it has ended
    413: "content",
}
# What services say of a subscription that was made for another key of ours.
OTHER_KEY = ("do not correspond", "vapidpkhashmismatch", "invalid-vapid", "mismatch")


class WebPushChannel:
    """Sends notifications to customers' browsers, introduced by one VAPID key.

    hosts: more push services than the known ones, as host:port; those may be spoken to without TLS.
    """

    name = "push"
    provider = PROVIDER

    def __init__(
        self,
        key: VapidKey,
        *,
        hosts: Collection[str] = (),
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._hosts = frozenset(hosts)
        self._clock = clock
        self._api = HttpApi(
            PROVIDER, "The push service", deadline_seconds=deadline_seconds, connect_seconds=connect_seconds
        )

    def reaches(self, message: OutgoingMessage) -> bool:
        """Whether a browser of the customer's is subscribed."""
        return bool(_browsers_of(message))

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the notification once to each browser; the receipt's id is where the service keeps the first one."""
        browsers = _browsers_of(message)
        if not browsers:
            raise RecipientError("No browser of the customer's is subscribed.", provider=PROVIDER)
        seconds, content = self._make_content(message)
        return await send_to_all(browsers, lambda device: self._post(message, device, content, seconds))

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Push services have no way to ask."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._api.close()

    def _make_content(self, message: OutgoingMessage) -> tuple[int, bytes]:
        if not message.subject.strip() or not message.text.strip():
            raise ContentError("A push notification needs a title and a text.", provider=PROVIDER)
        if message.valid_for_seconds is not None and message.valid_for_seconds < 1:
            raise TransientError(
                "The time in which it may be sent is over.", provider=PROVIDER, of_message=True
            )
        # What our service worker gets, in the words of the Notifications API.
        shown = {
            "title": message.subject, "body": message.text, "tag": message.delivery_id,
            "data": {"delivery_id": message.delivery_id},
        }  # fmt: skip
        content = json.dumps(shown, ensure_ascii=False).encode()
        if len(content) > CONTENT_LIMIT_BYTES:
            raise ContentError(
                f"The push notification has more than {CONTENT_LIMIT_BYTES} bytes.", provider=PROVIDER
            )
        return min(message.valid_for_seconds or VALID_SECONDS, VALID_SECONDS), content

    async def _post(self, message: OutgoingMessage, device: Device, content: bytes, seconds: int) -> Receipt:
        parts = self._check_endpoint(device.token)
        try:
            body = encrypt(content, p256dh=device.keys.get("p256dh", ""), auth=device.keys.get("auth", ""))
        except ValueError as error:
            raise RecipientError(f"The browser's keys can't be used: {error}.", provider=PROVIDER) from error
        answer, exchange = await self._api.post(device.token, body, {
            "Authorization": self._key.introduce(f"{parts.scheme}://{parts.netloc}", now=int(self._clock())),
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(seconds),
            "Topic": hashlib.sha256(message.delivery_id.encode()).hexdigest()[:32],  # RFC 8030 allows no more
            "Urgency": "normal",
        })  # fmt: skip
        if 200 <= answer.status < 300:
            return Receipt(PROVIDER, answer.headers.get("location"))
        said = " ".join(answer.body.split())[:300]
        kind = STATUS_CLASSES.get(answer.status) or classify_status(answer.status)
        if kind == "account" and any(words in said.lower() for words in OTHER_KEY):
            kind = "recipient"
        raise FAILURES[kind](
            f"The push service {parts.hostname} said {answer.status}: {said}.",
            provider=PROVIDER,
            provider_code=str(answer.status),
            retry_after_seconds=exchange.retry_after_seconds,
        )

    def _check_endpoint(self, endpoint: str) -> SplitResult:
        try:
            parts = urlsplit(endpoint)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise RecipientError("The push service's address can't be read.", provider=PROVIDER) from None
        known = any(host == service or host.endswith(f".{service}") for service in SERVICES)
        if parts.scheme == "https" and known and port in (None, 443) and parts.username is None:
            return parts
        if parts.scheme in ("http", "https") and parts.netloc in self._hosts:
            return parts
        raise RecipientError("The address isn't one of a push service that we know.", provider=PROVIDER)


def _browsers_of(message: OutgoingMessage) -> tuple[Device, ...]:
    return tuple(device for device in message.devices if device.kind == "web")
