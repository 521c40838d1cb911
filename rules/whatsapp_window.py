"""WhatsApp's 24 hours after a customer's own message, in which they may be answered freely."""

from __future__ import annotations

from datetime import datetime, timedelta

WINDOW = timedelta(hours=24)
# A message may take so long on its way.
SLACK = timedelta(minutes=1)


def may_write_freely(last_inbound_at: datetime | None, now: datetime) -> bool:
    """Whether a text may go that is no approved template; decided when it leaves, not when it was planned."""
    return last_inbound_at is not None and now < last_inbound_at + WINDOW - SLACK
