"""When a wait ends and when work is due, by the calendar of the customer or of the team."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rules.instants import later, span
from rules.zones import instant_at, zone_or_default
from schemas.plan import BeforeDate, CalendarDays, Elapsed, UntilWeekday, WaitSpec
from schemas.policy import Policy

_DAY = timedelta(days=1)
_WEEKEND = (6, 7)


def wait_ends(
    spec: WaitSpec,
    *,
    since: datetime,
    zone: str | None,
    default_zone: str,
    signal_value: object = None,
    holidays: Collection[date] = (),
) -> datetime | None:
    """The instant (UTC) at which a wait that began at `since` is over; it may lie in the past.

    None: the date that it counts from (`signal_value`, a date or an aware datetime) is missing, no date, or at the
    end of the calendar.
    Calendar waits go by the clocks of `zone`, or of `default_zone` where that is missing or unknown; without
    `at` they keep the local time of day. Business days are Monday to Friday without `holidays`, which the
    caller looks up (`rules.holidays`). OverflowError past the year 9999.
    """
    local_zone = zone_or_default(zone, default_zone)
    local = since.astimezone(local_zone).replace(tzinfo=None, fold=0)
    match spec:
        case Elapsed():
            return since + span(spec.seconds)
        case CalendarDays():
            day = _business_day(local.date(), spec.days, holidays) if spec.business else None
            target = day or local.date() + _DAY * spec.days
            return instant_at(_at(target, spec.at_minute, local), local_zone)
        case UntilWeekday():
            day = local.date() + _DAY * ((spec.weekday - local.isoweekday()) % 7)
            end = instant_at(_at(day, spec.at_minute, local), local_zone)
            return end if since < end else instant_at(_at(day + 7 * _DAY, spec.at_minute, local), local_zone)
        case BeforeDate():
            # Of a date at the end of the calendar (0001-01-01 stands for none here and there) nothing can be counted.
            with suppress(OverflowError):
                return _before(spec, signal_value, local_zone) if isinstance(signal_value, date) else None
            return None


def working_due(start: datetime, seconds: int, policy: Policy) -> datetime:
    """`seconds` after `start`, moved to the next opening of the team's working hours if that lies outside
    them.

    Opening belongs to the working hours, closing doesn't. Without working hours nothing is moved.
    """
    due = start + span(seconds)
    hours = policy.working_hours
    if hours is None or not hours.weekdays or hours.between[0] >= hours.between[1]:
        return due
    zone = zone_or_default(None, policy.default_zone)
    today = due.astimezone(zone).date()
    for ahead in range(15):
        day = today + _DAY * ahead
        if day.isoweekday() in hours.weekdays:
            opening, closing = (instant_at(on_day(day, minute), zone) for minute in hours.between)
            if due < closing:
                return max(due, opening)
    return due


def midnight_before(now: datetime, default_zone: str) -> datetime:
    """The first instant (UTC) of the present day in the default zone."""
    zone = zone_or_default(None, default_zone)
    return instant_at(on_day(now.astimezone(zone).date(), 0), zone)


def next_midnight(now: datetime, default_zone: str) -> datetime:
    """The first instant (UTC) of the next day in the default zone."""
    zone = zone_or_default(None, default_zone)
    return instant_at(on_day(now.astimezone(zone).date() + _DAY, 0), zone)


def on_day(day: date, minute: int) -> datetime:
    """The naive local time at `minute` of `day`; minute 1440 is the next midnight."""
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _at(day: date, minute: int | None, local: datetime) -> datetime:
    return datetime.combine(day, local.time()) if minute is None else on_day(day, minute)


def _business_day(day: date, count: int, holidays: Collection[date]) -> date:
    while count > 0:
        day += _DAY
        if day.isoweekday() not in _WEEKEND and day not in holidays:
            count -= 1
    return day


def _before(spec: BeforeDate, value: datetime | date, zone: ZoneInfo) -> datetime | None:
    """Whole days are days of the customer's calendar, so that a change to summer time moves no hour."""
    by = span(spec.seconds)
    if isinstance(value, datetime):
        if spec.at_minute is None:
            return later(value, -by)
        shown = value.astimezone(zone).replace(tzinfo=None, fold=0)
        return instant_at(on_day((shown - by).date(), spec.at_minute), zone)
    return instant_at(on_day(value, spec.at_minute or 0) - by, zone)
