"""Text messages through Twilio's own client.

Twilio knows no idempotency key for messages. So a message is posted once, what is unknown afterwards stays
unknown until it is looked up, and the delivery id goes along in the StatusCallback's query, where Twilio's
signature covers it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

import httpx
from twilio.base.exceptions import (  # type: ignore[import-untyped]
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)
from twilio.rest import Client  # type: ignore[import-untyped]
from twilio.rest.api.v2010.account.message import MessageInstance  # type: ignore[import-untyped]

from channels.outcome import (
    FAILURES,
    UNANSWERABLE,
    AccountError,
    ChannelError,
    ContentError,
    OutgoingMessage,
    Receipt,
    RecipientError,
    TransientError,
    Unanswerable,
    UnknownOutcomeError,
)
from channels.twilio_codes import classify
from channels.twilio_http import (
    CONNECT_SECONDS,
    DEADLINE_SECONDS,
    Exchange,
    HttpxTransport,
    UnreadableAnswerError,
    current_exchange,
)

TEXT_LIMIT = 1600
VALIDITY_LIMIT_SECONDS = 36_000
LOOK_UP_LIMIT = 1000
PAGE_SIZE = 200  # an answer of 200 messages stays well under the transport's 1 MB
CLOCK_SLACK = timedelta(minutes=2)
TRIAL_PREFIX = "Sent from your Twilio trial account - "
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_Answer = TypeVar("_Answer")


class TwilioSmsChannel:
    """Sends text messages from one number or messaging service.

    public_url: where Twilio can reach our web process; empty means that no status callbacks are asked for.
    """

    name = "sms"
    provider = "twilio"

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str = "",
        messaging_service_sid: str = "",
        base_url: str = "",
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._transport = HttpxTransport(
            base_url, deadline_seconds=deadline_seconds, connect_seconds=connect_seconds
        )
        self._client = Client(account_sid, auth_token, http_client=self._transport)
        self._sender = sender
        self._messaging_service_sid = messaging_service_sid
        self._public_url = public_url
        self._deadline_seconds = deadline_seconds

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Post the message once; the receipt's id is Twilio's message sid."""
        self._check(message)
        arguments: dict[str, object] = {"to": message.recipient, "body": message.text}
        if self._messaging_service_sid:
            arguments["messaging_service_sid"] = self._messaging_service_sid
        else:
            arguments["from_"] = self._sender
        if self._public_url:
            arguments["status_callback"] = make_callback_url(
                self._public_url, message.delivery_id, message.attempt
            )
        if message.valid_for_seconds is not None:
            # Twilio may queue a message; it must not go out once the quiet hours have begun
            arguments["validity_period"] = min(message.valid_for_seconds, VALIDITY_LIMIT_SECONDS)
        instance: MessageInstance = await self._call(lambda: self._client.messages.create_async(**arguments))
        if not isinstance(instance.sid, str) or not _SID.fullmatch(instance.sid):
            raise UnknownOutcomeError("Twilio's answer holds no message sid.", provider=self.provider)
        return Receipt(self.provider, instance.sid)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Find the message among all that Twilio took for this number since then, by its text.

        Twilio lists no callback URLs, so the text has to tell. It isn't asked by date: messages that it
        hasn't sent yet have none.
        """
        instances: list[MessageInstance] = await self._call(
            lambda: self._client.messages.list_async(
                to=message.recipient, limit=LOOK_UP_LIMIT, page_size=PAGE_SIZE
            ),
            sends=False,
        )
        earliest = since.astimezone(UTC) - CLOCK_SLACK
        found = [instance for instance in instances if _is_it(instance, message, earliest)]
        if found:
            found.sort(key=lambda instance: instance.date_created or earliest)
            return Receipt(self.provider, found[0].sid)
        return UNANSWERABLE if len(instances) >= LOOK_UP_LIMIT else None

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._transport.close()

    def _check(self, message: OutgoingMessage) -> None:
        if not _E164.fullmatch(message.recipient):
            raise RecipientError(
                "The phone number must look like +491701234567 (E.164).", provider=self.provider
            )
        if not message.text.strip():
            raise ContentError("The text message is empty.", provider=self.provider, provider_code="21602")
        if len(message.text) > TEXT_LIMIT:
            raise ContentError(
                f"The text message has more than {TEXT_LIMIT} characters.",
                provider=self.provider,
                provider_code="21617",
            )
        if message.valid_for_seconds is not None and message.valid_for_seconds < 1:
            raise TransientError("The time in which it may be sent is over.", provider=self.provider)

    async def _call(self, request: Callable[[], Awaitable[_Answer]], *, sends: bool = True) -> _Answer:
        """Run one call of Twilio's client and say what its errors mean."""
        exchange = Exchange()
        token = current_exchange.set(exchange)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await request()
        except (TwilioRestException, TwilioServiceException) as error:
            raise self._refused(error, exchange) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AccountError(f"TWILIO_BASE_URL can't be used: {error}.", provider=self.provider) from error
        except (TimeoutError, httpx.HTTPError, httpx.StreamError, UnreadableAnswerError, TwilioException,
                ValueError, TypeError, AttributeError, LookupError) as error:  # fmt: skip
            # the last five: a 2xx whose body isn't what it should be
            what = str(error) or type(error).__name__
            if exchange.sent and sends:
                raise UnknownOutcomeError(
                    f"Twilio's answer was lost: {what[:300]}.", provider=self.provider
                ) from error
            raise TransientError(f"Twilio can't be reached: {what[:300]}.", provider=self.provider) from error
        finally:
            current_exchange.reset(token)

    def _refused(
        self, error: TwilioRestException | TwilioServiceException, exchange: Exchange
    ) -> ChannelError:
        code = error.code if isinstance(error.code, int) and error.code != error.status else None
        what = error.msg if isinstance(error, TwilioRestException) else error.title
        return FAILURES[classify(exchange.status or error.status, code)](
            f"Twilio said {error.status}: {' '.join(str(what).split())[:300]}.",
            provider=self.provider,
            provider_code=str(code or error.status),
            retry_after_seconds=exchange.retry_after_seconds,
        )


def make_callback_url(public_url: str, delivery_id: str, attempt: int) -> str:
    """Where Twilio reports what became of a message: `d` is the delivery, `a` the attempt."""
    return f"{public_url}/hooks/twilio?{urlencode({'d': delivery_id, 'a': attempt})}"


def _is_it(instance: MessageInstance, message: OutgoingMessage, earliest: datetime) -> bool:
    body = (instance.body or "").removeprefix(TRIAL_PREFIX).strip()
    return (
        body == message.text.strip()
        and instance.to == message.recipient
        and str(instance.direction).startswith("outbound")
        and instance.date_created is not None
        and instance.date_created >= earliest
        and isinstance(instance.sid, str)
    )
