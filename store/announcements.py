"""Telling all runs inside a playbook at once what a change of it means for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.plan import CompiledPlaybook
from schemas.run import Interruption

# Held-out customers have no workflow that could be told anything.
_CARRIED_OUT = ["treated", "shadow"]
_OPEN = "playbook = :playbook AND ended_at IS NULL AND interruption IS NULL AND arm = ANY(:arms) AND version <> :but"
# Rows are taken in one order, whoever takes them.
_RING = (
    "INSERT INTO doorbells AS d (run_id, next_at) SELECT id, :at FROM told ORDER BY id "
    "ON CONFLICT (run_id) DO UPDATE SET rings = d.rings + 1, next_at = least(d.next_at, excluded.next_at)"
)
_POST = (
    "posted AS (INSERT INTO run_inbox (run_id, kind, outcome, reason, at) "
    "SELECT id, :kind, :outcome, :reason, :at FROM told) "
)
_TELL = text(f"WITH told AS (SELECT id FROM runs WHERE {_OPEN} ORDER BY id), {_POST}{_RING}")
_INTERRUPT = text(
    f"WITH chosen AS (SELECT id FROM runs WHERE {_OPEN} ORDER BY id FOR NO KEY UPDATE), "
    "told AS (UPDATE runs SET interruption = CAST(:interruption AS jsonb) WHERE id IN (SELECT id FROM chosen) "
    f"AND ended_at IS NULL AND interruption IS NULL RETURNING id), {_POST}{_RING}"
)


async def announce(
    connection: AsyncConnection, before: CompiledPlaybook | None, after: CompiledPlaybook, now: datetime
) -> None:
    """Tell the runs inside of a change from `before` to `after`: its pause, its end, and what `on_change` says.

    Runs of which a goal, an exit or a stop is known already are left to that.
    """
    paused = before is not None and before.status == "paused"
    if after.status == "paused" and not paused:
        await _tell(connection, after.name, "pause", now, reason="the playbook is paused")
    elif paused and after.status != "paused":
        await _tell(connection, after.name, "resume", now, reason=f"the playbook is {after.status}")
    if after.status == "live":
        await _stop(connection, after.name, "the playbook went live", now, arms=["shadow"])
    if before is not None and before.version != after.version:
        if after.on_change == "stop":
            await _stop(connection, after.name, "the playbook changed", now, but=after.version)
        elif after.on_change == "migrate":
            await _tell(
                connection, after.name, "migrate", now, outcome=after.version, reason="the playbook changed",
                but=after.version,
            )  # fmt: skip


async def _tell(
    connection: AsyncConnection,
    playbook: str,
    kind: str,
    now: datetime,
    *,
    outcome: str = "",
    reason: str = "",
    but: str = "",
) -> None:
    """Put an entry into the inbox of every run inside, except those of version `but`."""
    told: dict[str, Any] = {"kind": kind, "outcome": outcome, "reason": reason, "at": now}
    await connection.execute(_TELL, {"playbook": playbook, "arms": _CARRIED_OUT, "but": but, **told})


async def _stop(
    connection: AsyncConnection,
    playbook: str,
    reason: str,
    now: datetime,
    *,
    arms: list[str] = _CARRIED_OUT,
    but: str = "",
) -> None:
    """End every run inside, except those of version `but`: nothing more leaves from now on."""
    interruption = Interruption(kind="stop", outcome="stopped", reason=reason, at=now)
    told: dict[str, Any] = {"kind": "stop", "outcome": "stopped", "reason": reason, "at": now}
    await connection.execute(
        _INTERRUPT,
        {
            "playbook": playbook, "arms": arms, "but": but,
            "interruption": interruption.model_dump_json(), **told,
        },
    )  # fmt: skip
