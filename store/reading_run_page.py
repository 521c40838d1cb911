"""Reading what only a run's own page tells: who did what to it, how its variants came about, what its version says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from schemas.plan import CompiledPlaybook
from store.audit import AuditRow, list_changes
from store.playbooks import load_version

MOST_CHANGES = 100


@dataclass(frozen=True, slots=True)
class Exposure:
    """The first time that this customer came to an experiment; what was drawn then holds for good."""

    variant: str
    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunPageReading:
    """`playbook` None: the version can't be read any more. `exposures` by the experiment's name in the playbook."""

    playbook: CompiledPlaybook | None
    exposures: Mapping[str, Exposure]
    changes: Sequence[AuditRow]
    interruption: Mapping[str, Any] | None


async def read_run_page(
    connection: AsyncConnection, run_id: str, playbook: str, version: str
) -> RunPageReading:
    """All of it, for one run."""
    rows = await connection.execute(
        text(
            "SELECT substr(e.experiment, strpos(e.experiment, '/') + 1) AS name, e.variant, e.run_id::text AS run, e.at "
            "FROM exposures e JOIN runs r ON r.customer_id = e.customer_id WHERE r.id = CAST(:run AS uuid) "
            "AND starts_with(e.experiment, r.playbook || '/')"
        ),
        {"run": run_id},
    )
    exposures = {row.name: Exposure(row.variant, row.run, row.at) for row in rows}
    interruption = (
        await connection.execute(
            text("SELECT interruption FROM runs WHERE id = CAST(:run AS uuid)"), {"run": run_id}
        )
    ).scalar()
    compiled: CompiledPlaybook | None
    try:
        compiled = await load_version(connection, playbook, version)
    except (NotFoundError, ValidationError):
        compiled = None
    changes = await list_changes(connection, object_kind="run", object_id=run_id, limit=MOST_CHANGES)
    return RunPageReading(compiled, exposures, list(reversed(changes)), interruption)
