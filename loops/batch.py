"""What looking at a batch of customers comes to, gathered to be written together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class Batch:
    """What is gathered while a batch is looked at, to be written together."""

    now: datetime
    cleared: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    due: dict[str, datetime | None] = field(default_factory=dict)
    # Customers whom not every trigger was asked about: when the others want to be asked isn't known here.
    partly: set[str] = field(default_factory=set)
    # Whom a playbook begins to treat.
    treated: set[str] = field(default_factory=set)
    rung: int = 0

    def look_again(self, customer_id: str, at: datetime | None) -> None:
        """The customer is to be looked at again at that moment, or an earlier one; None: this look asks for none."""
        known = self.due.setdefault(customer_id, None)
        if at is not None and (known is None or at < known):
            self.due[customer_id] = max(at, self.now + timedelta(milliseconds=1))
