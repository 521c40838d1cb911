"""The churn models that were trained: which of them serves, which did, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import ConflictError, NotFoundError
from store.asking import Source, fetch
from store.audit import actor_called, record_change
from store.database import encode

# `model` is the churn model, `health` the health score alone, recalibrated.
Kind = Literal["model", "health"]
State = Literal["champion", "challenger", "retired", "refused"]
KINDS: tuple[Kind, ...] = ("model", "health")
SHORTEST_PREFIX = 4


class Champion(NamedTuple):
    """The model of a kind that serves: its version, its artifact (canonical JSON), and when it was trained."""

    version: str
    artifact: str
    trained_at: datetime


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model without its artifact. `reason` says in words why it is in its state."""

    version: str
    kind: Kind
    state: State
    trained_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    approved_by: str
    reason: str
    metrics: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The names that scripts read."""
        return {
            "version": self.version, "kind": self.kind, "state": self.state,
            "trained_at": self.trained_at.isoformat(),
            "promoted_at": self.promoted_at.isoformat() if self.promoted_at else None,
            "retired_at": self.retired_at.isoformat() if self.retired_at else None,
            "approved_by": self.approved_by, "reason": self.reason, "metrics": dict(self.metrics),
        }  # fmt: skip


async def load_champions(connection: AsyncConnection) -> dict[str, Champion]:
    """What serves, by kind; a kind without a champion is left out."""
    rows = await connection.execute(
        text("SELECT kind, version, artifact, trained_at FROM churn_models WHERE state = 'champion'")
    )
    return {row.kind: Champion(row.version, row.artifact, row.trained_at.astimezone(UTC)) for row in rows}


async def save_model(
    connection: AsyncConnection, kind: Kind, version: str, artifact: str, *, trained_at: datetime
) -> bool:
    """Keep a model as a challenger; False, changing nothing, where this version is there already."""
    done = await connection.execute(
        text(
            "INSERT INTO churn_models (version, kind, state, artifact, trained_at) "
            "VALUES (:version, :kind, 'challenger', :artifact, :trained_at) ON CONFLICT DO NOTHING"
        ),
        {"version": version, "kind": kind, "artifact": artifact, "trained_at": trained_at},
    )
    return done.rowcount == 1


async def load_artifact(source: Source, kind: Kind, version: str) -> str:
    """The artifact of a version. Raises NotFoundError."""
    rows = await fetch(
        source,
        "SELECT artifact FROM churn_models WHERE kind = %(kind)s AND version = %(version)s",
        {"kind": kind, "version": version},
    )
    if not rows:
        raise NotFoundError(f"There is no churn model of kind {kind} with version {version}.", remedy=_LIST)
    return str(rows[0][0])


async def promote(
    connection: AsyncConnection,
    kind: Kind,
    version: str,
    *,
    now: datetime,
    approved_by: str,
    reason: str,
    metrics: Mapping[str, Any] | None = None,
) -> bool:
    """Let a version serve and retire what served: both or neither, in the caller's transaction.

    False, changing nothing but metrics, where it serves already. Raises NotFoundError.
    """
    # Two promotions at once are carried out one after the other.
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('churn_models'))"))
    state = await connection.scalar(
        text("SELECT state FROM churn_models WHERE kind = :kind AND version = :version"),
        {"kind": kind, "version": version},
    )
    if state is None:
        raise NotFoundError(f"There is no churn model of kind {kind} with version {version}.", remedy=_LIST)
    if metrics is not None:
        await _set_metrics(connection, kind, version, metrics)
    if state == "champion":
        return False
    served = await connection.scalar(
        text("SELECT version FROM churn_models WHERE kind = :kind AND state = 'champion'"), {"kind": kind}
    )
    await connection.execute(
        text(
            "UPDATE churn_models SET state = 'retired', retired_at = :now WHERE kind = :kind AND state = 'champion'"
        ),
        {"kind": kind, "now": now},
    )
    await connection.execute(
        text(
            "UPDATE churn_models SET state = 'champion', promoted_at = :now, retired_at = NULL, "
            "approved_by = :approved_by, reason = :reason WHERE kind = :kind AND version = :version"
        ),
        {"kind": kind, "version": version, "now": now, "approved_by": approved_by, "reason": reason},
    )
    await record_change(
        connection, actor_called(approved_by), "model.promoted", object_kind="churn_model", object_id=kind,
        before={"version": served} if served else None, after={"version": version},
    )  # fmt: skip
    return True


async def refuse(
    connection: AsyncConnection,
    kind: Kind,
    version: str,
    *,
    reason: str,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Say why a challenger doesn't serve; what serves or served stays as it is."""
    await connection.execute(
        text(
            "UPDATE churn_models SET state = 'refused', reason = :reason "
            "WHERE kind = :kind AND version = :version AND state IN ('challenger', 'refused')"
        ),
        {"kind": kind, "version": version, "reason": reason},
    )
    if metrics is not None:
        await _set_metrics(connection, kind, version, metrics)


async def _set_metrics(
    connection: AsyncConnection, kind: Kind, version: str, metrics: Mapping[str, Any]
) -> None:
    await connection.execute(
        text(
            "UPDATE churn_models SET metrics = CAST(:metrics AS jsonb) WHERE kind = :kind AND version = :version"
        ),
        {"kind": kind, "version": version, "metrics": encode(dict(metrics))},
    )


async def list_models(connection: AsyncConnection, *, limit: int = 100) -> list[StoredModel]:
    """The models, the newest first, of each kind those that serve before all others."""
    rows = await connection.execute(
        text(
            "SELECT version, kind, state, trained_at, promoted_at, retired_at, approved_by, reason, metrics "
            "FROM churn_models ORDER BY kind DESC, state <> 'champion', trained_at DESC, version LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        StoredModel(
            row.version,
            row.kind,
            row.state,
            row.trained_at.astimezone(UTC),
            row.promoted_at.astimezone(UTC) if row.promoted_at else None,
            row.retired_at.astimezone(UTC) if row.retired_at else None,
            row.approved_by,
            row.reason,
            row.metrics,
        )
        for row in rows
    ]


async def find_version(connection: AsyncConnection, prefix: str) -> tuple[Kind, str]:
    """The kind and whole version that begins with `prefix`. Raises NotFoundError, ConflictError where several do."""
    if len(prefix) < SHORTEST_PREFIX:
        raise ConflictError(
            f"{prefix!r} is too short for a version.", remedy=f"Give at least {SHORTEST_PREFIX} digits of it."
        )
    rows = await connection.execute(
        text(
            "SELECT DISTINCT kind, version FROM churn_models WHERE starts_with(version, :prefix) ORDER BY 2, 1"
        ),
        {"prefix": prefix},
    )
    found: list[tuple[Kind, str]] = [(row.kind, row.version) for row in rows]
    if not found:
        raise NotFoundError(f"There is no churn model with version {prefix}.", remedy=_LIST)
    if len(found) > 1:
        shown = ", ".join(f"{version} ({kind})" for kind, version in found[:5])
        raise ConflictError(
            f"Several versions begin with {prefix}: {shown}.", remedy="Give more digits of it."
        )
    return found[0]


_LIST = "`holdfast train --list` lists the models that were trained."
