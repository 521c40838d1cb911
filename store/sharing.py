"""Sharing work in teams: whose turn it is, who has how much open, and taking, handing on and moving single tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import ConflictError
from store.tasks import Task, load_task

# Who has a task now, as `Task.holder` says it.
HOLDER = "coalesce(taken_by, escalated_to, assignee)"


async def read_share(
    connection: AsyncConnection, team: str, members: Sequence[str]
) -> tuple[str, dict[str, int]]:
    """Who of `team` got work last, and how much open work each of `members` has, of whatever team it is.

    The team is locked until the transaction ends: whoever gives out work next counts what was given out here.
    """
    await connection.execute(
        text("INSERT INTO team_turns (team) VALUES (:team) ON CONFLICT DO NOTHING"), {"team": team}
    )
    last = await connection.execute(
        text("SELECT last_member FROM team_turns WHERE team = :team FOR UPDATE"), {"team": team}
    )
    member = str(last.scalar_one())
    # A statement of its own, so that it sees what was committed while this waited for the lock.
    rows = await connection.execute(
        text(
            f"SELECT {HOLDER} AS holder, count(*) AS open FROM tasks "
            f"WHERE state = 'open' AND {HOLDER} = ANY(:members) GROUP BY 1"
        ),
        {"members": list(members)},
    )
    return member, {row.holder: row.open for row in rows}


async def note_turn(connection: AsyncConnection, team: str, member: str) -> None:
    """This member got work; `read_share` locked the team before."""
    await connection.execute(
        text("UPDATE team_turns SET last_member = :member, turns = turns + 1 WHERE team = :team"),
        {"team": team, "member": member},
    )


async def take_task(connection: AsyncConnection, task: str, by: str, now: datetime) -> Task:
    """Somebody takes work from a team's list. Taking what one has already changes nothing.

    Raises NotFoundError; ConflictError where somebody else has it, or where it is closed.
    """
    found = _still_open(await load_task(connection, task))
    if found.taken_by == by or (found.taken_by is None and found.holder == by):
        return found
    if found.taken_by is not None or found.assignee != found.team or found.escalated_to:
        raise ConflictError(f"{found.holder} has it.", remedy="Reassign it, if they agree.")
    return await _hand(connection, task, by, now)


async def release_task(connection: AsyncConnection, task: str, now: datetime) -> Task:
    """Give work back to where it was taken from: the team's list, or whoever it was given to.

    Raises NotFoundError, or ConflictError where it is closed or nobody took it.
    """
    found = _still_open(await load_task(connection, task))
    if found.taken_by is None:
        raise ConflictError(f"{found.holder} was given it; nobody took it.", remedy="Reassign it.")
    return await _hand(connection, task, None, now)


async def reassign_task(connection: AsyncConnection, task: str, to: str, by: str, now: datetime) -> Task:
    """Hand work to somebody else, whoever has it. Raises NotFoundError, or ConflictError where it is closed."""
    found = _still_open(await load_task(connection, task))
    if found.holder == to:
        return found
    await connection.execute(
        text("UPDATE tasks SET assigned_because = :why, reminded_at = NULL WHERE id = :id"),
        {"id": task, "why": f"{by} handed it on from {found.holder}"},
    )
    return await _hand(connection, task, to, now)


async def move_task(
    connection: AsyncConnection,
    task: Task,
    *,
    starts_at: datetime | None,
    due_at: datetime,
    remind_at: datetime | None,
    escalate_at: datetime | None,
    give_up_at: datetime,
) -> Task:
    """Set when open work is due, and when it begins; calendars are told anew. Lock it before (`load_task`).

    Raises ConflictError where it is closed.
    """
    _still_open(task)
    await connection.execute(
        text(
            "UPDATE tasks SET starts_at = :starts_at, due_at = :due_at, remind_at = :remind_at, reminded_at = NULL, "
            "escalate_at = :escalate_at, give_up_at = :give_up_at, calendar_sequence = calendar_sequence + "
            "CASE WHEN starts_at IS DISTINCT FROM :starts_at THEN 1 ELSE 0 END WHERE id = :id"
        ),
        {
            "id": task.id,
            "starts_at": starts_at,
            "due_at": due_at,
            "remind_at": remind_at,
            "escalate_at": escalate_at,
            "give_up_at": give_up_at,
        },
    )
    return await load_task(connection, task.id)


def _still_open(task: Task) -> Task:
    if task.state != "open":
        raise ConflictError(
            f"This {task.kind} is closed ({task.outcome or task.state}).", remedy="Look at the list anew."
        )
    return task


async def _hand(connection: AsyncConnection, task: str, to: str | None, now: datetime) -> Task:
    await connection.execute(
        text("UPDATE tasks SET taken_by = :to, taken_at = :at WHERE id = :id"),
        {"id": task, "to": to, "at": now if to else None},
    )
    return await load_task(connection, task)
