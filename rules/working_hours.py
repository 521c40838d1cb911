"""The team's working hours: counting back in them, and the times at which somebody can be booked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rules.calendar import on_day
from rules.zones import instant_at, zone_or_default
from schemas.policy import Policy, WorkingHours

_DAY = timedelta(days=1)
# Booking offers so many of the team's working days, in pieces of so long, and none that begins too soon to prepare for.
OFFERED_DAYS = 5
SLOT = timedelta(minutes=30)
AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Busy:
    """When somebody can't be booked; aware times."""

    starts_at: datetime
    ends_at: datetime


def working_before(moment: datetime, seconds: int, policy: Policy) -> datetime:
    """So many seconds of working time before `moment`; of any time where the team has no working hours."""
    left = timedelta(seconds=seconds)
    hours = policy.working_hours
    if hours is None or not hours.weekdays or hours.between[0] >= hours.between[1]:
        return moment - left
    for opening, closing in _backwards(moment, hours, policy.default_zone):
        end = min(moment, closing)
        if end <= opening:
            continue
        if end - opening >= left:
            return end - left
        left -= end - opening
    return moment - timedelta(seconds=seconds)


def open_slots(
    now: datetime, busy: Iterable[Busy], policy: Policy, closed: Collection[date] = ()
) -> list[datetime]:
    """When somebody with these appointments can be booked: pieces of 30 minutes within the next five working days.

    Where the team has no working hours, those of weekdays from nine to five count, in the default zone. Nobody works
    on days that are `closed`.
    """
    taken = list(busy)
    return [
        start
        for start in _slots(now, policy, closed)
        if not any(start < one.ends_at and one.starts_at < start + SLOT for one in taken)
    ]


def _slots(now: datetime, policy: Policy, closed: Collection[date]) -> Iterator[datetime]:
    hours = policy.working_hours or WorkingHours()
    zone = zone_or_default(None, policy.default_zone)
    day, offered = now.astimezone(zone).date(), 0
    for _ in range(60):
        if day.isoweekday() in hours.weekdays and day not in closed:
            opening, closing = (instant_at(on_day(day, minute), zone) for minute in hours.between)
            start, any_left = opening, False
            while start + SLOT <= closing:
                if start >= now + AHEAD:
                    any_left = True
                    yield start
                start += SLOT
            offered += any_left
        if offered == OFFERED_DAYS:
            return
        day += _DAY


def _backwards(
    moment: datetime, hours: WorkingHours, default_zone: str
) -> Iterator[tuple[datetime, datetime]]:
    """The team's days of work before `moment`, the latest first, for ten years at most."""
    zone = zone_or_default(None, default_zone)
    day = moment.astimezone(zone).date()
    for back in range(3660):
        on = day - _DAY * back
        if on.isoweekday() in hours.weekdays:
            opening, closing = (instant_at(on_day(on, minute), zone) for minute in hours.between)
            yield opening, closing
