"""What becomes of a message handed to a provider, in the same words for every channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar, Literal, Protocol

from schemas.errors import HoldfastError

FailureClass = Literal["transient", "unknown", "recipient", "consent", "content", "account"]


@dataclass(frozen=True)
class OutgoingMessage:
    """One rendered message for one recipient; `delivery_id` is the ledger's and goes along to the provider.

    subject: the headline of an e-mail or a push notification.
    content_sid, variables: the provider's own template that a WhatsApp message fills in.
    valid_for_seconds: how long the provider may keep it back before it is of no use (the next quiet hours).
    attempt: counts the claims of this delivery from 1.
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


@dataclass(frozen=True)
class Receipt:
    """The provider took the message, and calls it `provider_id`."""

    provider: str
    provider_id: str | None


class LookUp(Enum):
    """Answers of a look-up other than a receipt."""

    UNANSWERABLE = "unanswerable"


Unanswerable = Literal[LookUp.UNANSWERABLE]
UNANSWERABLE: Unanswerable = LookUp.UNANSWERABLE
"""The provider can't be asked, or its answer doesn't settle the question."""


class ChannelError(HoldfastError):
    """The message was not, or may not have been, taken by the provider."""

    code = "HF410"
    klass: ClassVar[FailureClass]

    def __init__(
        self,
        message: str | None = None,
        *,
        provider: str,
        provider_code: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.provider_code = provider_code
        self.retry_after_seconds = retry_after_seconds


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
    remedy = "Correct the provider's settings; `holdfast doctor` names them. Deliveries wait until then."


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
