"""The team page: what everybody did in a period, what came of it, and how much they have on their list now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from rules.calendar import next_midnight
from schemas.errors import NotFoundError
from store.performance import TeamRow, read_performance, read_team
from store.playbooks import load_policy
from store.reading_work import WorkCount, count_accounts, read_loads
from web.api_runs import Word
from web.bars import BarChart, bar_chart
from web.edge import EdgeHere, Reader
from web.rendering import render

router = APIRouter(include_in_schema=False)
PERIODS: Mapping[str, tuple[int, str]] = {
    "7d": (7, "7 days"), "30d": (30, "30 days"), "90d": (90, "90 days"), "365d": (365, "a year"),
}  # fmt: skip
# So many people have a colour of their own in the chart.
MOST_SERIES = 5


@dataclass(frozen=True)
class TeamMember:
    """One person: what they did, what they have now, and the work done on each day of the period."""

    agent: str
    accounts: int
    load: WorkCount
    done: TeamRow
    daily: Sequence[float]


_COLUMNS: Mapping[str, tuple[str, Callable[[TeamMember], float | None]]] = {
    "accounts": ("Accounts", lambda one: one.accounts),
    "load": ("Open now", lambda one: one.load.open),
    "overdue": ("Overdue", lambda one: one.load.overdue),
    "done": ("Interactions", lambda one: one.done.interactions_completed),
    "rating": ("Avg rating", lambda one: one.done.avg_satisfaction_rating),
    "hours": ("Hours to resolution", lambda one: one.done.avg_time_to_resolution_hours),
    "improved": ("Health improved", lambda one: one.done.health_score_improvements),
    "prevented": ("Stayed though at risk", lambda one: one.done.churn_prevented),
    "upgraded": ("Upgrades", lambda one: one.done.accounts_upgraded),
    "ltv": ("LTV impact", lambda one: one.done.total_ltv_impact),
}


@router.get("/team")
async def team(
    request: Request,
    edge: EdgeHere,
    me: Reader,
    period: Literal["7d", "30d", "90d", "365d"] = "30d",
    sort: Word = None,
    team: Word = None,
) -> HTMLResponse:
    """Everybody with accounts, open work or anything done in the period; of one team where it is named."""
    days = PERIODS[period][0]
    async with edge.database.transaction() as connection:
        now = await edge.database.clock.read(connection)
        last = now.date()
        first = last - timedelta(days=days - 1)
        policy = await load_policy(connection)
        if team and team not in policy.teams:
            raise NotFoundError(f"There is no team {team!r}.", remedy="Take a team of policy.yaml.")
        daily = await read_performance(connection, first, last)
        done = await read_team(connection, first, last)
        loads = await read_loads(connection, now, next_midnight(now, policy.default_zone))
        accounts = await count_accounts(connection)
    everybody = {member for one in policy.teams.values() for member in one.members}
    people = (
        set(policy.teams[team].members) if team else everybody | {*done, *loads, *accounts} - {*policy.teams}
    )
    counted: dict[str, dict[str, int]] = {}
    for row in daily:
        if row.agent in people:
            counted.setdefault(row.agent, {})[row.metric_date.isoformat()] = row.interactions_completed
    dates = [(first + timedelta(days=number)).isoformat() for number in range(days)]
    members = [
        TeamMember(
            agent,
            accounts.get(agent, 0),
            loads.get(agent, WorkCount()),
            done.get(agent, TeamRow(agent=agent)),
            [float(counted.get(agent, {}).get(day, 0)) for day in dates],
        )
        for agent in sorted(people)
    ]
    order = sort if (sort or "").removeprefix("-") in (*_COLUMNS, "name") else "-done"
    waiting = {name: loads[name] for name in policy.teams if name in loads and (not team or name == team)}
    return render(
        request,
        "team.html",
        members=_sorted(members, order or "-done"),
        columns={key: name for key, (name, _) in _COLUMNS.items()},
        sort=order,
        period=period,
        periods=PERIODS,
        teams=policy.teams,
        team=team or "",
        waiting=waiting,
        chart=_chart(counted, first, last),
        first=first,
        last=last,
        most_open=max((one.load.open for one in members), default=0),
        at=now,
    )


def _sorted(members: Sequence[TeamMember], order: str) -> list[TeamMember]:
    """What isn't known comes last, whichever way."""
    descending, key = order.startswith("-"), order.removeprefix("-")
    if key == "name":
        return sorted(members, key=lambda one: one.agent, reverse=descending)
    value = _COLUMNS[key][1]

    def place(one: TeamMember) -> tuple[bool, float]:
        found = value(one)
        return found is None, -(found or 0) if descending else (found or 0)

    return sorted(members, key=place)


def _chart(counted: Mapping[str, Mapping[str, int]], first: date, last: date) -> BarChart | None:
    """Work done a day, of those who did most by name, and the others together."""
    busiest = sorted(counted, key=lambda agent: (-sum(counted[agent].values()), agent))
    shown: dict[str, dict[str, int]] = {agent: dict(counted[agent]) for agent in busiest[: MOST_SERIES - 1]}
    for agent in busiest[MOST_SERIES - 1 :]:
        others = shown.setdefault("others", {})
        for day, count in counted[agent].items():
            others[day] = others.get(day, 0) + count
    return bar_chart(shown, first, last) if shown else None
