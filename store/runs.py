"""Runs: the row that is a run's identity, from entry to end. Starting and ringing go through leases on these rows."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from schemas.run import InboxEntry, Interruption
from store.database import encode

# How long a loop may take to start or signal a run before another tries again; both are harmless to repeat.
LEASE = timedelta(seconds=20)

# What a step's record says while the step goes on.
UNFINISHED = ("open", "waiting", "holding")

# Deliveries, tasks and runs derive their ids from this, so that a repetition finds the first one.
NAMESPACE = uuid.UUID("5f0f5c1e-6a1b-4d0e-9a55-70e8f1a9b0d3")


@dataclass(frozen=True, slots=True)
class Run:
    """One row of `runs`; state: starting, running, observed (held out), ended."""

    id: str
    playbook: str
    version: str
    customer_id: str
    key: str
    run_group: str | None
    arm: str
    state: str
    trigger: Mapping[str, Any]
    variants: Mapping[str, str]
    health_at_entry: float | None
    churn_at_entry: float | None
    entered_at: datetime
    goal_by: datetime | None
    workflow_id: str
    execution_id: str | None
    start_attempts: int
    step: str | None
    paused: bool
    interruption: Interruption | None
    outcome: str | None
    reason: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewRun:
    """An entry that was decided."""

    id: str
    playbook: str
    version: str
    customer_id: str
    key: str
    run_group: str | None
    arm: str
    trigger: Mapping[str, Any]
    variants: Mapping[str, str]
    health_at_entry: float | None
    churn_at_entry: float | None
    entered_at: datetime
    goal_by: datetime | None


# Temporal refuses ids of more than 1,000 characters; a longer key is told from others by its digest.
LONGEST_KEY = 200


def workflow_id(playbook: str, customer_id: str, key: str, *, shadow: bool = False) -> str:
    """`playbook/<name>/<customer>[/<key>]`, or `shadow/…`; the customer is our random UUID, never the caller's id."""
    if len(key) > LONGEST_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    return f"{'shadow' if shadow else 'playbook'}/{playbook}/{customer_id}" + (f"/{key}" if key else "")


def read_run(row: Any) -> Run:
    """The run in a row of `runs`."""
    fields = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    fields["id"], fields["customer_id"] = str(row.id), str(row.customer_id)
    if row.interruption:
        fields["interruption"] = Interruption.model_validate(row.interruption)
    return Run(**fields)


async def insert_runs(connection: AsyncConnection, entries: Sequence[NewRun]) -> None:
    """Write entries: treated and shadow ones wait to be started, held-out ones are only observed.

    Logs exposures, of the treated alone: a shadow exposes nobody.
    """
    if not entries:
        return
    rows = [
        {name: getattr(entry, name) for name in NewRun.__dataclass_fields__}
        | {
            "state": "observed" if entry.arm == "held_out" else "starting",
            "next_start_at": None if entry.arm == "held_out" else entry.entered_at,
            "workflow_id": workflow_id(
                entry.playbook, entry.customer_id, entry.key, shadow=entry.arm == "shadow"
            ),
        }
        for entry in entries
    ]
    columns = ", ".join(rows[0])
    await connection.execute(
        text(
            f"INSERT INTO runs ({columns}) SELECT {columns} "
            "FROM jsonb_populate_recordset(NULL::runs, CAST(:rows AS jsonb))"
        ),
        {"rows": encode(rows)},
    )
    exposures = [
        {
            "customer_id": e.customer_id,
            "experiment": f"{e.playbook}/{experiment}",
            "variant": v,
            "run_id": e.id,
            "at": e.entered_at,
        }
        for e in entries
        for experiment, v in e.variants.items()
        if e.arm == "treated"
    ]
    if exposures:
        await connection.execute(
            text(
                "INSERT INTO exposures (customer_id, experiment, variant, run_id, at) "
                "SELECT customer_id, experiment, variant, run_id, at "
                "FROM jsonb_populate_recordset(NULL::exposures, CAST(:rows AS jsonb)) ON CONFLICT DO NOTHING"
            ),
            {"rows": encode(exposures)},
        )


async def load_run(connection: AsyncConnection, run_id: str) -> Run:
    """One run. Raises NotFoundError."""
    try:
        uuid.UUID(run_id)
    except ValueError as error:
        raise NotFoundError(
            f"{run_id!r} is not a run id.", remedy="`holdfast runs` lists runs with their ids."
        ) from error
    row = (await connection.execute(text("SELECT * FROM runs WHERE id = :id"), {"id": run_id})).first()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}.", remedy="`holdfast runs` lists runs with their ids.")
    return read_run(row)


async def load_open_runs(connection: AsyncConnection, customer_ids: Sequence[str]) -> list[Run]:
    """Every open run of these customers, held-out ones and shadows included."""
    rows = await connection.execute(
        text("SELECT * FROM runs WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND ended_at IS NULL"),
        {"ids": list(customer_ids)},
    )
    return [read_run(row) for row in rows]


@dataclass(frozen=True, slots=True)
class PastEntry:
    """An entry that a customer once made, treated, held out or as a shadow."""

    customer_id: str
    playbook: str
    key: str
    arm: str
    entered_at: datetime


async def load_entries(connection: AsyncConnection, customer_ids: Sequence[str]) -> list[PastEntry]:
    """Every entry that these customers ever made, oldest first."""
    rows = await connection.execute(
        text(
            "SELECT customer_id, playbook, key, arm, entered_at FROM runs "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) ORDER BY entered_at"
        ),
        {"ids": list(customer_ids)},
    )
    return [PastEntry(str(row.customer_id), row.playbook, row.key, row.arm, row.entered_at) for row in rows]


async def lock_admission(connection: AsyncConnection, playbook: str) -> None:
    """Be the only one who admits to this playbook until the transaction ends."""
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": playbook}
    )


async def count_admitted(
    connection: AsyncConnection, playbook: str, since: datetime, *, shadow: bool = False
) -> int:
    """How many were admitted (treated) since then; with `shadow`, those who entered as shadows count, too."""
    row = await connection.execute(
        text(
            "SELECT count(*) FROM runs WHERE playbook = :playbook AND arm = ANY(:arms) AND entered_at >= :since"
        ),
        {
            "playbook": playbook,
            "arms": ["treated", "shadow"] if shadow else ["treated"],
            "since": since,
        },
    )
    return int(row.scalar_one())


async def bind(connection: AsyncConnection, run_id: str, execution_id: str, step: str | None) -> Run | None:
    """Claim the run's row for one execution chain and say where it is; None if another has it or it has ended."""
    row = (
        await connection.execute(
            text(
                "UPDATE runs SET execution_id = :execution, step = coalesce(:step, step), "
                "state = CASE WHEN state = 'starting' THEN 'running' ELSE state END, next_start_at = NULL "
                "WHERE id = :id AND ended_at IS NULL AND (execution_id IS NULL OR execution_id = :execution) RETURNING *"
            ),
            {"id": run_id, "execution": execution_id, "step": step},
        )
    ).first()
    return read_run(row) if row else None


async def interrupt(connection: AsyncConnection, run_id: str, interruption: Interruption) -> bool:
    """Mark that the run is to end, unless it is marked already (then the first mark stays); rings it."""
    done = await connection.execute(
        text(
            "UPDATE runs SET interruption = CAST(:value AS jsonb) "
            "WHERE id = :id AND ended_at IS NULL AND interruption IS NULL"
        ),
        {"id": run_id, "value": interruption.model_dump_json()},
    )
    if not done.rowcount:
        return False
    kind = interruption.kind if interruption.kind in ("goal", "exit") else "stop"
    await post(
        connection, run_id, kind, interruption.at, outcome=interruption.outcome, reason=interruption.reason
    )
    return True


async def post(
    connection: AsyncConnection,
    run_id: str,
    kind: str,
    at: datetime,
    *,
    step: str | None = None,
    occurrence: int = 0,
    outcome: str = "",
    reason: str = "",
) -> None:
    """Put an entry into the run's inbox and ring its doorbell."""
    await connection.execute(
        text(
            "INSERT INTO run_inbox (run_id, kind, step, occurrence, outcome, reason, at) "
            "VALUES (:run, :kind, :step, :occurrence, :outcome, :reason, :at)"
        ),
        {
            "run": run_id,
            "kind": kind,
            "step": step,
            "occurrence": occurrence,
            "outcome": outcome,
            "reason": reason,
            "at": at,
        },
    )
    await connection.execute(
        text(
            "INSERT INTO doorbells AS d (run_id, next_at) VALUES (:run, :at) "
            "ON CONFLICT (run_id) DO UPDATE SET rings = d.rings + 1, next_at = least(d.next_at, excluded.next_at)"
        ),
        {"run": run_id, "at": at},
    )


async def read_inbox(connection: AsyncConnection, run_id: str, after: int) -> list[InboxEntry]:
    """What came after entry `after`, in order."""
    rows = await connection.execute(
        text(
            "SELECT seq, kind, step, occurrence, outcome, reason, at FROM run_inbox "
            "WHERE run_id = :run AND seq > :after ORDER BY seq"
        ),
        {"run": run_id, "after": after},
    )
    return [InboxEntry(**row._mapping) for row in rows]


async def lease_doorbells(
    connection: AsyncConnection, now: datetime, limit: int
) -> list[tuple[str, int, str]]:
    """(run id, rings, workflow id) of runs to signal; leased like starts. Runs not started yet read their inbox anyway."""
    rows = await connection.execute(
        text(
            "UPDATE doorbells d SET next_at = :later FROM runs r WHERE r.id = d.run_id AND d.run_id IN ("
            "SELECT run_id FROM doorbells JOIN runs ON runs.id = run_id WHERE next_at <= :now "
            "AND runs.state <> 'starting' ORDER BY next_at LIMIT :limit FOR UPDATE OF doorbells SKIP LOCKED) "
            "RETURNING d.run_id, d.rings, r.workflow_id"
        ),
        {"now": now, "later": now + LEASE, "limit": limit},
    )
    return [(str(row.run_id), row.rings, row.workflow_id) for row in rows]


async def silence_doorbells(connection: AsyncConnection, rung: Sequence[tuple[str, int]]) -> None:
    """These were signalled; a doorbell that rang again meanwhile stays, due at once."""
    for run_id, rings in rung:
        await connection.execute(
            text("DELETE FROM doorbells WHERE run_id = :run AND rings = :rings"),
            {"run": run_id, "rings": rings},
        )
    await connection.execute(
        text("UPDATE doorbells SET next_at = '-infinity' WHERE run_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [run_id for run_id, _ in rung]},
    )


async def record_step(
    connection: AsyncConnection,
    run_id: str,
    step: str,
    occurrence: int,
    word: str,
    outcome: str,
    at: datetime,
    detail: str = "",
    output: Mapping[str, Any] | None = None,
) -> None:
    """Note what a step came to; a later outcome of the same occurrence replaces an earlier one.

    output: what later steps may use of it.
    """
    await connection.execute(
        text(
            "INSERT INTO run_steps (run_id, step, occurrence, word, outcome, at, detail, output) "
            "VALUES (:run, :step, :occurrence, :word, :outcome, :at, :detail, CAST(:output AS jsonb)) "
            "ON CONFLICT (run_id, step, occurrence) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, "
            "detail = excluded.detail, output = excluded.output"
        ),
        {
            "run": run_id,
            "step": step,
            "occurrence": occurrence,
            "word": word,
            "outcome": outcome,
            "at": at,
            "detail": detail,
            "output": encode(output or {}),
        },
    )


async def load_steps(connection: AsyncConnection, run_id: str) -> list[dict[str, Any]]:
    """What the run's steps came to, in order of time."""
    rows = await connection.execute(
        text(
            "SELECT step, occurrence, word, outcome, detail, at, output FROM run_steps "
            "WHERE run_id = :run ORDER BY at, step"
        ),
        {"run": run_id},
    )
    return [dict(row._mapping) for row in rows]


async def load_outcome(connection: AsyncConnection, run_id: str, step: str, occurrence: int) -> str | None:
    """What this step came to, or None when that isn't on record."""
    outcome = await load_word(connection, run_id, step, occurrence)
    return None if outcome in UNFINISHED else outcome


async def load_word(connection: AsyncConnection, run_id: str, step: str, occurrence: int) -> str | None:
    """What is on record of this step, UNFINISHED words among it, or None."""
    row = await connection.execute(
        text(
            "SELECT outcome FROM run_steps WHERE run_id = :run AND step = :step AND occurrence = :occurrence"
        ),
        {"run": run_id, "step": step, "occurrence": occurrence},
    )
    outcome: str | None = row.scalar()
    return outcome


async def end_run(connection: AsyncConnection, run_id: str, outcome: str, reason: str, at: datetime) -> bool:
    """Close an open run; False if it was closed already."""
    done = await connection.execute(
        text(
            "UPDATE runs SET state = 'ended', outcome = :outcome, reason = :reason, ended_at = :at, "
            "next_start_at = NULL, paused = false WHERE id = :id AND ended_at IS NULL"
        ),
        {"id": run_id, "outcome": outcome, "reason": reason, "at": at},
    )
    await connection.execute(text("DELETE FROM waits WHERE run_id = :id"), {"id": run_id})
    await connection.execute(text("DELETE FROM doorbells WHERE run_id = :id"), {"id": run_id})
    return bool(done.rowcount)


async def set_paused(connection: AsyncConnection, run_id: str, *, paused: bool) -> None:
    """Show that the run stands still, or no longer does."""
    await connection.execute(
        text("UPDATE runs SET paused = :paused WHERE id = :id AND ended_at IS NULL"),
        {"id": run_id, "paused": paused},
    )


async def load_overdue_observed(connection: AsyncConnection, now: datetime, limit: int) -> list[Run]:
    """Held-out runs whose window has closed."""
    rows = await connection.execute(
        text("SELECT * FROM runs WHERE state = 'observed' AND goal_by <= :now ORDER BY goal_by LIMIT :limit"),
        {"now": now, "limit": limit},
    )
    return [read_run(row) for row in rows]
