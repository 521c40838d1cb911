"""Who gets a call or a task: the customer's own CSM, somebody of a team in turns or by load, or whoever takes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.assignee import LEAD, OWN_CSM, Assignee
from schemas.policy import Policy, Team

UNASSIGNED = "unassigned"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose list work goes on, and why; on a team's own list (`assignee` is the team's name) anybody may take it."""

    assignee: str
    team: str | None
    because: str
    # Whose turn this was; None: nobody's turn was used.
    turn: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What a team has been given so far: who got work last, and how much of it each member has open."""

    last_member: str = ""
    open: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The choice that is to be made in a team: by turns, by load, or left to whoever takes it."""

    team: str
    by: str | None
    because: str


def team_asked(assign: Assignee, owner: str | None, policy: Policy) -> Assignment | Wanted:
    """Whose it is at once, or which team's share has to be looked at first.

    owner: the customer's CSM. A CSM who is away is stood in for by their team, a customer without one belongs to the
    team that the policy says `unowned` of.
    """
    if isinstance(assign, str):
        if assign != OWN_CSM:
            return Assignment(assign, None, f"the step says {assign}")
        return _for_owner(owner, policy)
    team = policy.teams.get(assign.team)
    if team is None:
        # The policy may have lost it since; the work isn't lost with it.
        return Assignment(assign.team, assign.team, f"the policy has no team {assign.team}: whoever takes it")
    if assign.by == "owner":
        if owner and owner in team.members and owner not in team.away:
            return Assignment(owner, assign.team, "the customer's own CSM")
        if owner is None:
            why = "the customer has no CSM"
        else:
            why = f"{owner} is away" if owner in team.members else f"{owner} isn't of {assign.team}"
        return Wanted(assign.team, "round_robin", why)
    return Wanted(assign.team, assign.by, "")


def choose_member(wanted: Wanted, team: Team, share: Share) -> Assignment:
    """The member of `team` who gets it; its lead where everybody is away, and the team's own list without one."""

    def told(why: str) -> str:
        return f"{wanted.because}: {why}" if wanted.because else why

    if wanted.by is None:
        return Assignment(wanted.team, wanted.team, told("whoever takes it"))
    there = present(team)
    if not there:
        if team.lead:
            return Assignment(team.lead, wanted.team, told(f"everybody of {wanted.team} is away: the lead"))
        why = f"everybody of {wanted.team} is away: whoever takes it"
        return Assignment(wanted.team, wanted.team, told(why))
    if wanted.by == "load":
        member = least_loaded(team.members, there, share)
        count = share.open.get(member, 0)
        why = f"least open work of {len(there)} of {wanted.team}: {count}"
        return Assignment(member, wanted.team, told(why), turn=member)
    member = next_in_turn(team.members, there, share.last_member)
    after = f" after {share.last_member}" if share.last_member in team.members else ""
    return Assignment(member, wanted.team, told(f"next in turn of {wanted.team}{after}"), turn=member)


def present(team: Team) -> tuple[str, ...]:
    """The members who are there, in the order in which they take turns."""
    return tuple(member for member in team.members if member not in team.away)


def next_in_turn(members: Sequence[str], there: Collection[str], last: str) -> str:
    """The first after `last`, round and round, who is there; the first of all where `last` is no member (any more)."""
    start = members.index(last) + 1 if last in members else 0
    return next(member for member in (*members[start:], *members[:start]) if member in there)


def least_loaded(members: Sequence[str], there: Collection[str], share: Share) -> str:
    """Who has the least open work; of several the next in turn."""
    least = min(share.open.get(member, 0) for member in there)
    return next_in_turn(
        members, [member for member in there if share.open.get(member, 0) == least], share.last_member
    )


def escalates_to(to: str | None, team: str | None, policy: Policy) -> str | None:
    """Who an escalation goes to: `lead` is the lead of the team that has the work, where it has one."""
    found = policy.teams.get(team or "") if to == LEAD else None
    return found.lead if found and found.lead else to


def team_of(person: str, policy: Policy) -> str | None:
    """The first team that a person is a member of."""
    return next((name for name, team in policy.teams.items() if person in team.members), None)


def _for_owner(owner: str | None, policy: Policy) -> Assignment | Wanted:
    if owner is None:
        unowned = next((name for name, team in policy.teams.items() if team.unowned), None)
        if unowned is None:
            return Assignment(UNASSIGNED, None, "the customer has no CSM")
        return Wanted(unowned, "round_robin", "the customer has no CSM")
    home = team_of(owner, policy)
    if home and all(owner in team.away for team in policy.teams.values() if owner in team.members):
        return Wanted(home, "round_robin", f"{owner} is away")
    return Assignment(owner, home, "the customer's own CSM")
