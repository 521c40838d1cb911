"""Silence: while a person is in contact with a customer, machines don't write to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.instants import later, span
from schemas.form import format_duration
from schemas.policy import Silence

# What runs hear when the customer wrote to us.
REPLY_EVENT = "message_replied"
# When a ticket will be closed isn't known: it is looked at again so much later.
LOOK_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Contact:
    """When the customer last wrote to us, when a call with them was last completed, and their open tickets."""

    replied_at: datetime | None = None
    called_at: datetime | None = None
    open_tickets: float = 0


NO_CONTACT = Contact()


@dataclass(frozen=True, slots=True)
class Hush:
    """Until when messages hold, as far as is known now, and why."""

    until: datetime
    detail: str


def find_silence(silence: Silence | None, contact: Contact, *, critical: bool, now: datetime) -> Hush | None:
    """What holds a message at `now`, the longest of it; None where nothing does."""
    if silence is None or (critical and silence.critical_passes):
        return None
    found = []
    for what, since, seconds in (
        ("the customer wrote to us", contact.replied_at, silence.after_reply_seconds),
        ("somebody called the customer", contact.called_at, silence.after_call_seconds),
    ):
        if since is None or seconds is None or since > now:
            continue
        until = later(since, span(seconds))
        if until is not None and until > now:
            told = f"silence: {what} on {since:%Y-%m-%d %H:%M} UTC, less than {format_duration(seconds)} ago"
            found.append(Hush(until, told))
    if silence.open_ticket and contact.open_tickets > 0:
        found.append(Hush(now + LOOK_AGAIN, "silence: a support ticket is open"))
    return max(found, key=lambda one: one.until, default=None)
