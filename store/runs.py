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
from schemas.run import Interruption
from store.database import encode

# How long a loop may take to start or signal a run before another tries again; both are harmless to repeat.
LEASE = timedelta(seconds=20)

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
    # The trace that led to it (W3C Trace Context), where there is one.
    traceparent: str | None = None


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


async def set_paused(connection: AsyncConnection, run_id: str, *, paused: bool, now: datetime) -> None:
    """Show that the run stands still, or no longer does, since `now`."""
    await connection.execute(
        text(
            "UPDATE runs SET paused = :paused, pause_noted_at = :now "
            "WHERE id = :id AND ended_at IS NULL AND paused <> :paused"
        ),
        {"id": run_id, "paused": paused, "now": now},
    )


async def count_without_version(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """Open runs whose version of the playbook is gone: (playbook, version, how many)."""
    rows = await connection.execute(
        text(
            "SELECT r.playbook, r.version, r.open FROM (SELECT playbook, version, count(*) AS open FROM runs "
            "WHERE ended_at IS NULL GROUP BY playbook, version) r WHERE NOT EXISTS (SELECT FROM playbook_versions v "
            "WHERE v.playbook = r.playbook AND v.version = r.version) ORDER BY r.playbook, r.version"
        )
    )
    return [(row.playbook, row.version, row.open) for row in rows]


async def load_overdue_observed(connection: AsyncConnection, now: datetime, limit: int) -> list[Run]:
    """Held-out runs whose window has closed."""
    rows = await connection.execute(
        text("SELECT * FROM runs WHERE state = 'observed' AND goal_by <= :now ORDER BY goal_by LIMIT :limit"),
        {"now": now, "limit": limit},
    )
    return [read_run(row) for row in rows]


async def next_observed_end(connection: AsyncConnection) -> datetime | None:
    """When the window of a held-out run closes next."""
    return (await connection.execute(text("SELECT min(goal_by) FROM runs WHERE state = 'observed'"))).scalar()
