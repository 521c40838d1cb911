"""When a customer left: cancelled, or without a login for 60 days."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.catalogue import Catalogue
from schemas.facts import Event
from scoring.detection import Course, trace_status

SILENCE = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Stay:
    """One customer's course, with every login in order of time; silence counts from `course.since` at first."""

    course: Course
    logins: tuple[datetime, ...] = ()

    def is_gone(self, at: datetime) -> bool:
        """Whether the customer had left by then."""
        return self.course.is_gone(at) or at - self._last_seen(at) >= SILENCE

    def leaves_within(self, at: datetime, horizon: timedelta) -> bool:
        """Whether somebody who is there at `at` cancels, or comes to 60 days of silence, in the `horizon` after it."""
        if self.course.cancels_within(at, horizon) is not None:
            return True
        end = at + horizon
        seen = self._last_seen(at)
        place = bisect.bisect_right(self.logins, at)
        for login in (*self.logins[place:], None):
            if seen + SILENCE > end:
                return False
            if login is None or login > seen + SILENCE:
                return True
            seen = login
        return False

    def _last_seen(self, at: datetime) -> datetime:
        place = bisect.bisect_right(self.logins, at)
        return max(self.logins[place - 1], self.course.since) if place else self.course.since


def trace_stay(customer: str, since: datetime, events: Iterable[Event], catalogue: Catalogue) -> Stay:
    """The stay that follows from a customer's events, logins and whatever says where the subscription stands."""
    events = list(events)
    cancelled, returned = trace_status(events, catalogue)
    logins = tuple(sorted(event.at for event in events if event.name == "login"))
    first = min((event.at for event in events), default=since)
    return Stay(Course(customer, min(since, first), cancelled=cancelled, returned=returned), logins)
