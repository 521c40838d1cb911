"""Whether a customer could enter a playbook now, and everything that stands against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that keeps a customer out; `reason` as in decisions. `until`: when time alone may end it."""

    reason: str
    detail: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EntryOutlook:
    """One customer before the door of one playbook.

    `result` is what the trigger comes to (true, false, unknown; empty without one), `checks` are its lines with their
    values. `objections` are all that stand against an entry by the trigger, the weightiest first, `by_hand` those
    against one that somebody asks for. `outcome` is what an entry without objections would come to: entered, held_out,
    shadow, or waiting where as many as may have entered today.
    """

    playbook: str
    title: str
    status: str
    result: str
    checks: Sequence[Mapping[str, Any]]
    objections: Sequence[Objection]
    by_hand: Sequence[Objection]
    outcome: str
    outcome_detail: str

    @property
    def enters(self) -> bool:
        """Whether the customer would enter now by the trigger alone."""
        return not self.objections and self.outcome == "entered"

    @property
    def can_be_asked(self) -> bool:
        """Whether the customer would enter if somebody asked for it."""
        return not self.by_hand and self.outcome == "entered"
