"""What a message's way to a provider is made of: the claim, who may take it, and what was tried under it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity

from activities.line_up import LineUp
from channels.outcome import ChannelError, OutgoingMessage
from channels.pool import Provider
from schemas.run import StepCall
from store.deliveries import Delivery

# How long a provider is given; so long after that a claim without a word from its sender is lost, and looked up.
PROVIDER_SECONDS = 10.0
SETTLE_SECONDS = 30.0
# What may have been sent is handed over so often in all, where the policy wants it sent again.
MOST_ATTEMPTS = 3
# What the ledger calls a message of which nobody could be asked, and which is to be sent again.
UNANSWERED = "unanswered"
# What could not leave, or be done, for so long is no longer timely.
GIVE_UP = timedelta(hours=6)


@dataclass(frozen=True)
class Claimed:
    """A message that this process alone may hand over, by `usable_until`, to the first of `line_up` that takes it."""

    delivery: Delivery
    message: OutgoingMessage
    line_up: LineUp
    cost: float
    # On `time.monotonic`, which runs on through slow commits and pauses of this process.
    usable_until: float


@dataclass(frozen=True)
class Waiting:
    """A message that nobody can take just now; nothing was claimed."""

    line_up: LineUp


@dataclass(frozen=True)
class Unsettled:
    """A claim whose sender is gone without a word; whether the message left isn't known."""

    delivery: Delivery
    # None: the customer's address is no longer the one that it was sent to.
    message: OutgoingMessage | None
    cost: float
    # It is sent once more where nobody can say.
    again: bool = False


@dataclass
class Tries:
    """Who was asked under one claim and didn't take it, how many of them are on record, and tokens that are gone."""

    failed: list[tuple[Provider, ChannelError]] = field(default_factory=list)
    noted: int = 0
    gone: list[str] = field(default_factory=list)


def waited(call: StepCall) -> timedelta:
    """How long this request has been repeated, where the moments that it is given stand still meanwhile: a played run's
    time goes on between attempts, its call's doesn't.
    """
    if not call.played or not activity.in_activity():
        return timedelta()
    info = activity.info()
    return info.current_attempt_scheduled_time - info.scheduled_time


def is_given_up(call: StepCall, now: datetime) -> bool:
    """Whether a message that nobody takes has waited for so long that it is no longer timely."""
    return now + waited(call) > call.at + GIVE_UP
