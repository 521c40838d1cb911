"""When messages may leave by the clock: quiet hours, send windows, and rolling caps.

Each question is "from `t` on, when is it allowed next?", answered by an instant not before `t`, or None for
never.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rules.calendar import on_day
from rules.instants import later, span
from rules.zones import instant_at, second_instant_at
from schemas.plan import SendWindow
from schemas.policy import Cap

_DAY = timedelta(days=1)
# A day in every zone either comes round within a day or two or never.
_SEARCH = timedelta(days=3)


def quiet_ends(quiet: tuple[int, int] | None, at: datetime, zones: Collection[ZoneInfo]) -> datetime | None:
    """The first instant from `at` on that lies outside the quiet hours of every one of `zones`.

    `quiet` is in minutes of the day, may cross midnight, includes its start and not its end.
    """
    found = at
    while quiet is not None:
        ends = [_next_time(quiet[1], found, zone) for zone in zones if _is_quiet(quiet, found, zone)]
        if not ends:
            break
        found = max(ends)
        if found - at > _SEARCH:
            return None
    return found


def quiet_begins(quiet: tuple[int, int] | None, at: datetime, zones: Collection[ZoneInfo]) -> datetime | None:
    """The first instant after `at` at which the quiet hours begin in any of `zones`; None where there are none."""
    if quiet is None or quiet[0] == quiet[1]:
        return None
    return min((_next_time(quiet[0], at, zone) for zone in zones), default=None)


def window_opens(window: SendWindow | None, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant from `at` on at which `window` is open in the customer's zone.

    Opening belongs to it, closing doesn't. A window that crosses midnight belongs to the day it opens on.
    """
    if window is None or (window.between is None and not window.weekdays):
        return at
    start, end = window.between or (0, 24 * 60)
    end = end if end > start else end + 24 * 60
    yesterday = at.astimezone(zone).date() - _DAY
    for ahead in range(10):
        day = yesterday + _DAY * ahead
        if window.weekdays and day.isoweekday() not in window.weekdays:
            continue
        opens, closes = instant_at(on_day(day, start), zone), instant_at(on_day(day, end), zone)
        if at < closes and opens < closes:
            return max(at, opens)
    return None


def cap_frees(cap: Cap, uses: Sequence[datetime], at: datetime) -> datetime | None:
    """The first instant from `at` on at which one more use keeps to `cap`; None if it allows none at all.

    The window rolls and is half open: a use leaves it exactly `cap.seconds` after it.
    """
    if cap.times <= 0:
        return None
    length = span(cap.seconds)
    counted = sorted(use for use in uses if at - use < length)
    return at if len(counted) < cap.times else later(counted[-cap.times], length)


def _is_quiet(quiet: tuple[int, int], at: datetime, zone: ZoneInfo) -> bool:
    start, end = quiet
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return start <= minute < end if start <= end else minute >= start or minute < end


def _next_time(minute: int, at: datetime, zone: ZoneInfo) -> datetime:
    """The next time clocks in `zone` show that minute of the day, of one that comes twice also the second."""
    today = at.astimezone(zone).date()
    for ahead in range(3):
        local = on_day(today + _DAY * ahead, minute)
        times = (instant_at(local, zone), second_instant_at(local, zone))
        found = next((time for time in times if time is not None and time > at), None)
        if found is not None:
            return found
    return at + _DAY
