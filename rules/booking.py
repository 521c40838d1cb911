"""Who a customer can book a call with, and who of several it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rules.assigning import present, team_of
from rules.working_hours import SLOT, Busy
from schemas.policy import Policy


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
