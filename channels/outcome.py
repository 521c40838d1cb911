"""What becomes of a message handed to a provider, in the same words for every channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar, Literal, Protocol, runtime_checkable

from channels.reports.fields import storable
from schemas.errors import HoldfastError

FailureClass = Literal["transient", "unknown", "recipient", "consent", "content", "account"]


@dataclass(frozen=True)
class Device:
    """One place where a customer gets notifications: an app (`fcm`, a registration token) or a browser (`web`, the
    endpoint of its push service, with the keys `p256dh` and `auth`).
    """

    kind: Literal["fcm", "web"]
    token: str = field(repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class CalendarFile:
    """An appointment that goes along with an e-mail: an iCalendar object (UTF-8, CR LF) and its iTIP method."""

    method: Literal["REQUEST", "CANCEL"]
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class OutgoingMessage:
    """One rendered message for one recipient; `delivery_id` is the ledger's and goes along to the provider.

    subject: the headline of an e-mail or a push notification.
    sender_name: what an e-mail calls its sender, in place of the usual name.
    content_sid, variables: the provider's own template that a WhatsApp message fills in.
    valid_for_seconds: how long the provider may keep it back before it is of no use (the next quiet hours).
    attempt: counts the claims of this delivery from 1.
    devices: where a push notification goes, if that is more than `recipient`.
    repeated: this provider may have taken it before; only those that know a repetition are given one.
    calendar: what mail programs show as an invitation, or its cancellation.
    """

    delivery_id: str
    recipient: str
    text: str
    subject: str = ""
    html: str | None = None
    content_sid: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    unsubscribe_url: str | None = None
    valid_for_seconds: int | None = None
    attempt: int = 1
    devices: tuple[Device, ...] = ()
    repeated: bool = False
    calendar: CalendarFile | None = None
    sender_name: str = ""


@dataclass(frozen=True)
class Receipt:
    """The provider took the message, and calls it `provider_id`; `gone` are tokens that it no longer knows."""

    provider: str
    provider_id: str | None
    gone: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.provider_id, str):
            object.__setattr__(self, "provider_id", storable(self.provider_id))


class LookUp(Enum):
    """Answers of a look-up other than a receipt."""

    UNANSWERABLE = "unanswerable"


Unanswerable = Literal[LookUp.UNANSWERABLE]
UNANSWERABLE: Unanswerable = LookUp.UNANSWERABLE
"""The provider can't be asked, or its answer doesn't settle the question."""


class ChannelError(HoldfastError):
    """The message was not, or may not have been, taken by the provider.

    of_message: it is about this message or its recipient; the provider may be fine for all others.
    gone: tokens that the provider no longer knows.
    """

    code = "HF410"
    klass: ClassVar[FailureClass]

    def __init__(
        self,
        message: str | None = None,
        *,
        provider: str,
        provider_code: str | None = None,
        retry_after_seconds: float | None = None,
        of_message: bool = False,
        gone: tuple[str, ...] = (),
    ) -> None:
        # What a provider says may hold what PostgreSQL can't, and an outcome that can't be recorded would be lost: NUL,
        # or the lone surrogates that stand for the bytes of a mail server's reply in another encoding.
        super().__init__(storable(message) if message else None)
        self.provider = provider
        self.provider_code = storable(provider_code) if isinstance(provider_code, str) else None
        self.retry_after_seconds = retry_after_seconds
        self.of_message = of_message
        self.gone = gone


class TransientError(ChannelError):
    """Surely not sent; the same message may go through later."""

    code = "HF411"
    klass = "transient"
    remedy = "It is tried again by itself."


class UnknownOutcomeError(ChannelError):
    """It may have been sent; sending again could make two of it."""

    code = "HF412"
    klass = "unknown"
    remedy = "The provider is asked later; where it can't be, look at its log before sending again."


class RecipientError(ChannelError):
    """The address can't receive on this channel, now or later."""

    code = "HF413"
    klass = "recipient"
    remedy = "Correct the customer's address."


class ConsentError(ChannelError):
    """The recipient has opted out at the provider."""

    code = "HF414"
    klass = "consent"
    remedy = "Nothing is sent on this channel until the customer opts in again."


class ContentError(ChannelError):
    """The provider refuses this message as it is."""

    code = "HF415"
    klass = "content"
    remedy = "Change the template."


class AccountError(ChannelError):
    """The provider refuses us: credentials, sender or settings."""

    code = "HF416"
    klass = "account"
    remedy = (
        "Correct the provider's settings; `holdfast doctor` names them. Deliveries wait, or go another way."
    )


FAILURES: dict[FailureClass, type[ChannelError]] = {
    kind.klass: kind
    for kind in (
        TransientError,
        UnknownOutcomeError,
        RecipientError,
        ConsentError,
        ContentError,
        AccountError,
    )
}


class Channel(Protocol):
    """One way to reach people, through one provider."""

    name: str
    provider: str

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Hand the message over, once, within 10 s; raises a ChannelError that says what is known."""

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Whether the provider took the message since then: its receipt, or None when it surely didn't.

        Raises TransientError when the provider can't be reached now.
        """

    async def close(self) -> None:
        """Give back connections."""


@runtime_checkable
class KnowsRepetition(Protocol):
    """A channel whose provider makes one message of all requests with the same delivery id, for so long."""

    repeatable_seconds: float


@runtime_checkable
class Selective(Protocol):
    """A channel that doesn't reach everybody who has an address on it."""

    def reaches(self, message: OutgoingMessage) -> bool:
        """Whether this message has somewhere to go here."""
