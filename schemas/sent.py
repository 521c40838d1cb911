"""Messages that were sent before, and those that wait: what caps, and the choice of a channel, go by."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Sent(NamedTuple):
    """A message that left, or may have left, at `at`.

    `by` names its playbook; `answered_at` is when the customer first answered it: opened, followed a link, wrote back
    (programs that open mails left out).
    """

    channel: str
    at: datetime
    topic: str | None = None
    by: str = ""
    answered_at: datetime | None = None


class Waiting(NamedTuple):
    """A message of the same customer that caps hold until `until`, and that was due at `due_at`.

    `by` names its playbook, whose priority it has; `key` tells it from others.
    """

    channel: str
    until: datetime
    due_at: datetime
    priority: int
    key: str
    topic: str | None = None
    by: str = ""
