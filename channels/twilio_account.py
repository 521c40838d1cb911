"""One Twilio account: its client, called once per message, and what its errors mean.

Twilio knows no idempotency key for messages. So a message is posted once, what is unknown afterwards stays
unknown until it is looked up, and the delivery id goes along in the StatusCallback's query, where Twilio's
signature covers it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from twilio.rest.api.v2010.account.call import CallInstance  # type: ignore[import-untyped]
from twilio.rest.api.v2010.account.message import MessageInstance  # type: ignore[import-untyped]

from channels.http_client import (
    CONNECT_SECONDS,
    DEADLINE_SECONDS,
    Exchange,
    HttpClient,
    UnreadableAnswerError,
)
from channels.outcome import (
    FAILURES,
    AccountError,
    ChannelError,
    OutgoingMessage,
    Receipt,
    RecipientError,
    TransientError,
    UnknownOutcomeError,
)
from channels.twilio_codes import OF_MESSAGE, PROVIDER, classify
from channels.twilio_http import HttpxTransport, current_exchange

VALIDITY_LIMIT_SECONDS = 36_000
LOOK_UP_LIMIT = 1000
PAGE_SIZE = 200  # an answer of 200 messages stays well under the transport's 1 MB
CLOCK_SLACK = timedelta(minutes=2)
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")
_Answer = TypeVar("_Answer")
_Instance = TypeVar("_Instance", MessageInstance, CallInstance)


class TwilioAccount:
    """Posts and lists messages and calls of one account.

    public_url: where Twilio can reach our web process; empty means that no status callbacks are asked for.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        base_url: str = "",
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._http = HttpClient(base_url, deadline_seconds=deadline_seconds, connect_seconds=connect_seconds)
        transport = HttpxTransport(self._http, deadline_seconds=deadline_seconds)
        self._client = Client(account_sid, auth_token, http_client=transport)
        self._public_url = public_url
        self._deadline_seconds = deadline_seconds

    async def post(self, message: OutgoingMessage, fields: Mapping[str, object]) -> Receipt:
        """Post one message with these fields of Twilio's; the receipt's id is Twilio's message sid."""
        _check_time(message)
        arguments = dict(fields)
        if self._public_url:
            arguments["status_callback"] = make_callback_url(
                self._public_url, message.delivery_id, message.attempt
            )
        if message.valid_for_seconds is not None:
            # Twilio may queue a message; it must not go out once the quiet hours have begun
            arguments["validity_period"] = min(message.valid_for_seconds, VALIDITY_LIMIT_SECONDS)
        instance: MessageInstance = await self._call(lambda: self._client.messages.create_async(**arguments))
        if not isinstance(instance.sid, str) or not _SID.fullmatch(instance.sid):
            raise UnknownOutcomeError("Twilio's answer holds no message sid.", provider=PROVIDER)
        return Receipt(PROVIDER, instance.sid)

    async def call(self, message: OutgoingMessage, fields: Mapping[str, object]) -> Receipt:
        """Place one call with these fields of Twilio's; the receipt's id is Twilio's call sid."""
        _check_time(message)
        arguments = dict(fields)
        if self._public_url:
            arguments["status_callback"] = make_callback_url(
                self._public_url, message.delivery_id, message.attempt
            )
        instance: CallInstance = await self._call(lambda: self._client.calls.create_async(**arguments))
        if not isinstance(instance.sid, str) or not _CALL_SID.fullmatch(instance.sid):
            raise UnknownOutcomeError("Twilio's answer holds no call sid.", provider=PROVIDER)
        return Receipt(PROVIDER, instance.sid)

    async def list_calls(self, number: str, since: datetime) -> tuple[list[CallInstance], bool]:
        """The calls that Twilio took for this number since then, oldest first; and whether that is all of them."""
        instances: list[CallInstance] = await self._call(
            lambda: self._client.calls.list_async(to=number, limit=LOOK_UP_LIMIT, page_size=PAGE_SIZE),
            sends=False,
        )
        return _pick_recent(instances, number, since), len(instances) < LOOK_UP_LIMIT

    async def list_sent_to(self, address: str) -> list[MessageInstance]:
        """All that Twilio took for this address, newest first, at most LOOK_UP_LIMIT.

        It isn't asked by date: messages that it hasn't sent yet have none.
        """
        return await self._call(
            lambda: self._client.messages.list_async(to=address, limit=LOOK_UP_LIMIT, page_size=PAGE_SIZE),
            sends=False,
        )

    async def list_recent(self, address: str, since: datetime) -> tuple[list[MessageInstance], bool]:
        """Of `list_sent_to`, what was sent to this address since then, oldest first; and whether that is all of it."""
        instances = await self.list_sent_to(address)
        return _pick_recent(instances, address, since), len(instances) < LOOK_UP_LIMIT

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._http.close()

    async def _call(self, request: Callable[[], Awaitable[_Answer]], *, sends: bool = True) -> _Answer:
        """Run one call of Twilio's client and say what its errors mean."""
        exchange = Exchange()
        token = current_exchange.set(exchange)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await request()
        except (TwilioRestException, TwilioServiceException) as error:
            raise _refused(error, exchange) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AccountError(f"TWILIO_BASE_URL can't be used: {error}.", provider=PROVIDER) from error
        except (TimeoutError, httpx.HTTPError, httpx.StreamError, UnreadableAnswerError, TwilioException,
                ValueError, TypeError, AttributeError, LookupError) as error:  # fmt: skip
            # the last five: a 2xx whose body isn't what it should be
            what = str(error) or type(error).__name__
            if exchange.sent and sends:
                raise UnknownOutcomeError(
                    f"Twilio's answer was lost: {what[:300]}.", provider=PROVIDER
                ) from error
            raise TransientError(f"Twilio can't be reached: {what[:300]}.", provider=PROVIDER) from error
        finally:
            current_exchange.reset(token)


def check_number(number: str) -> None:
    """Refuse what is no phone number; raises RecipientError."""
    if not _E164.fullmatch(number):
        raise RecipientError("The phone number must look like +491701234567 (E.164).", provider=PROVIDER)


def _check_time(message: OutgoingMessage) -> None:
    if message.valid_for_seconds is not None and message.valid_for_seconds < 1:
        raise TransientError("The time in which it may be sent is over.", provider=PROVIDER, of_message=True)


def _pick_recent(instances: Sequence[_Instance], address: str, since: datetime) -> list[_Instance]:
    earliest = since.astimezone(UTC) - CLOCK_SLACK
    recent = [
        instance
        for instance in instances
        if instance.to == address
        and str(instance.direction).startswith("outbound")
        and instance.date_created is not None
        and instance.date_created >= earliest
        and isinstance(instance.sid, str)
    ]
    recent.sort(key=lambda instance: instance.date_created)
    return recent


def make_callback_url(public_url: str, delivery_id: str, attempt: int) -> str:
    """Where Twilio reports what became of a message: `d` is the delivery, `a` the attempt."""
    return f"{public_url}/hooks/twilio?{urlencode({'d': delivery_id, 'a': attempt})}"


def _refused(error: TwilioRestException | TwilioServiceException, exchange: Exchange) -> ChannelError:
    code = error.code if isinstance(error.code, int) and error.code != error.status else None
    what = error.msg if isinstance(error, TwilioRestException) else error.title
    return FAILURES[classify(exchange.status or error.status, code)](
        f"Twilio said {error.status}: {' '.join(str(what).split())[:300]}.",
        provider=PROVIDER,
        provider_code=str(code or error.status),
        retry_after_seconds=exchange.retry_after_seconds,
        of_message=code in OF_MESSAGE,
    )
