"""The hour at which a customer answers best, from when they were there before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# How far back activity tells something, and how much of it is needed to tell anything.
ACTIVITY_DAYS = 90
LEAST_VISITS = 5
# How late `best_time` may make a message where the author sets no bound.
LATE_SECONDS = 86_400

_HOUR = timedelta(hours=1)
# Weekdays and caps may keep a message for some days; past a week the hours only come again.
_SLOTS = 8 * 24


@dataclass(frozen=True, slots=True)
class BestTime:
    """The instant to send at, and the local hour that it lies in with how many of all visits were around it."""

    at: datetime
    hour: int
    visits: int
    of: int


def count_visits(instants: Iterable[datetime], zone: ZoneInfo) -> tuple[int, ...]:
    """24 numbers: on how many days the customer was there in that hour by the clocks of `zone`.

    An hour of a day counts once, however much was done in it.
    """
    seen = {(local.date(), local.hour) for local in (instant.astimezone(zone) for instant in instants)}
    counts = [0] * 24
    for _, hour in seen:
        counts[hour] += 1
    return tuple(counts)


def find_best_time(
    visits: Sequence[int],
    free_from: Callable[[datetime], datetime | None],
    *,
    earliest: datetime,
    latest: datetime,
    zone: ZoneInfo,
) -> BestTime | None:
    """The instant from `earliest` to `latest` in the hour with most visits; of equal ones the first.

    visits: as `count_visits` gives them. free_from: from an instant on, when the message is allowed to leave
    (None: never), by send window, quiet hours and caps. Hours are smoothed with their neighbours (weights
    1, 2, 1), so that one visit at night doesn't outweigh a morning's habit.
    None: there are fewer than 5 visits, or no instant that is allowed.
    """
    total = sum(visits)
    if len(visits) != 24 or total < LEAST_VISITS:
        return None
    around = [visits[hour - 1] + 2 * visits[hour] + visits[(hour + 1) % 24] for hour in range(24)]
    best: BestTime | None = None
    start = earliest
    for _ in range(_SLOTS):
        at = free_from(start)
        if at is None or at > latest:
            break
        hour = at.astimezone(zone).hour
        if best is None or around[hour] > around[best.hour]:
            nearby = visits[hour - 1] + visits[hour] + visits[(hour + 1) % 24]
            best = BestTime(at, hour, nearby, total)
        start = _next_hour(at, zone)
    return best


def _next_hour(at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    gone = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at + (_HOUR - gone)
