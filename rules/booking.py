"""Who a customer can book a call with, and who of several it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from rules.assigning import present, team_of
from rules.holidays import holidays_for
from rules.working_hours import SLOT, Busy, open_slots
from rules.zones import country_of_zone, find_zone
from schemas.policy import Policy

# Nobody wants to be called earlier or later by their own clock.
DAY = (time(8), time(20))
# Slots lie within so many days.
_LOOKED_AHEAD = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Times:
    """When a call may begin, whoever is free. `unusual`: all of it is early, late or at night where the customer is."""

    starts: tuple[datetime, ...]
    unusual: bool = False


def bookable_times(
    now: datetime,
    policy: Policy,
    *,
    zone: str | None = None,
    country: str | None = None,
    region: str | None = None,
) -> Times:
    """The team's hours of the next five working days, as far as it is day where the customer is.

    Where it never is, all of them. On public holidays of the team, or of the customer's country, nobody is booked.
    zone: the customer's (None: unknown, which narrows nothing down).
    """
    starts = open_slots(now, (), policy, closed=_holidays(now, policy, country, region))
    clock = find_zone(zone)
    if clock is None:
        return Times(tuple(starts))
    by_day = [start for start in starts if _is_day(start.astimezone(clock))]
    return Times(tuple(by_day or starts), unusual=bool(starts) and not by_day)


def _is_day(local: datetime) -> bool:
    # The end is taken by the clock, so that nothing runs on into the next day.
    ends = local + SLOT
    return DAY[0] <= local.time() and ends.date() == local.date() and ends.time() <= DAY[1]


def _holidays(now: datetime, policy: Policy, country: str | None, region: str | None) -> frozenset[date]:
    named = policy.working_hours.holidays if policy.working_hours else None
    own, _, part = (named or country_of_zone(policy.default_zone) or "").partition("-")
    first, last = now.date() - timedelta(days=1), (now + _LOOKED_AHEAD).date()
    return holidays_for(own, part or None, first, last) | holidays_for(country, region, first, last)


def bookable_people(
    holder: str | None, team: str | None, owner: str | None, policy: Policy
) -> tuple[str, ...]:
    """Who may take the call: whoever has it (`holder`), where it waits on a team's list anybody of it who is there.

    Without a call that is open it is the customer's CSM (`owner`), else the team of those who have none. For whoever is
    away their team stands in. Empty: nobody can be booked.
    """
    teams = policy.teams
    if holder is not None and holder == team:
        return present(teams[team]) if team in teams else ()
    person = holder or owner
    if person is None:
        return next((present(one) for one in teams.values() if one.unowned), ())
    home = team_of(person, policy)
    if home and person in teams[home].away:
        return present(teams[home])
    return (person,)


def choose_free(people: Sequence[str], starts_at: datetime, busy: Mapping[str, Sequence[Busy]]) -> str | None:
    """Who of `people` is free then and has the fewest appointments; of several the first. None: nobody is free."""
    free = [person for person in people if is_free(starts_at, busy.get(person, ()))]
    return min(free, key=lambda person: len(busy.get(person, ())), default=None)


def is_free(starts_at: datetime, busy: Sequence[Busy]) -> bool:
    """Whether a call may begin then, beside these appointments."""
    return not any(starts_at < one.ends_at and one.starts_at < starts_at + SLOT for one in busy)
