"""Counting a customer's events, as generated code does it: by name, and no further than needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rules.kleene import Truth
from schemas.facts import Event


class EventIndex:
    """A customer's events by name, sorted out at the first question."""

    __slots__ = ("by_name", "events")

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = events
        self.by_name: dict[str, list[Event]] | None = None

    def of(self, name: str) -> Sequence[Event]:
        """The events called `name`."""
        if self.by_name is None:
            self.by_name = {}
            for event in self.events:
                self.by_name.setdefault(event.name, []).append(event)
        return self.by_name.get(name, ())


def counted(
    events: Sequence[Event],
    now: datetime,
    length: timedelta | None,
    where: Callable[[Mapping[str, Any], datetime], Truth] | None,
    at_least: int,
) -> Truth:
    """Whether at least `at_least` of `events` lie in the window and satisfy `where`."""
    missing, undecided = at_least, 0
    if missing <= 0:
        return True
    for event in events:
        at = event.at
        if at > now or (length is not None and now - at > length):
            continue
        answer = True if where is None else where(event.properties, now)
        if answer:
            missing -= 1
            if missing == 0:
                return True
        elif answer is None:
            undecided += 1
    return None if undecided >= missing else False
