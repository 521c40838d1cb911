"""What a simulated run needs of its customer, whoever that is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from loops.simulation.happening import Happening
from schemas.facts import Facts


class Subject(Protocol):
    """A customer who is moved on in time."""

    @property
    def given(self) -> Facts:
        """Who this is, and what was known of them at first."""
        ...

    @property
    def next_at(self) -> datetime | None:
        """When something happens next."""
        ...

    def add(self, happening: Happening) -> None:
        """Let this happen, too."""
        ...

    def advance(self, to: datetime) -> Happening | None:
        """Let everything happen up to and including `to`; stops at what a person does, and returns it."""
        ...

    def advance_before(self, start: datetime) -> None:
        """Let everything happen that comes before a run, or as it begins."""
        ...

    def happen(self, happening: Happening) -> None:
        """Let this happen now: a step brought it about."""
        ...

    def facts(self, now: datetime) -> Facts:
        """What is known at `now`, which isn't before what has happened."""
        ...
