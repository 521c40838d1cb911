"""What outlives an erasure: who came back with a backup, who may come again, and the list that is kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.access import Principal
from schemas.errors import NotFoundError
from store.audit import record_change
from store.database import encode
from store.erasing import Erasure
from store.erasing_fence import HASH_IN_SQL, hash_external_id


async def find_returned(connection: AsyncConnection) -> list[str]:
    """Erasures of those who are there all the same, under the id that they had: a backup brought them back."""
    rows = await connection.execute(
        text(
            "SELECT e.id::text AS id FROM erasures e JOIN customers c ON c.id = e.customer_id "
            "WHERE e.state = 'done' ORDER BY e.id"
        )
    )
    return [row.id for row in rows]


async def find_loaded_anew(connection: AsyncConnection) -> list[str]:
    """External ids of those who came back under another id of ours, and weren't allowed to: loaded past the intake."""
    hashed = HASH_IN_SQL.format(column="c.external_id")
    rows = await connection.execute(
        text(
            f"SELECT DISTINCT c.external_id FROM customers c JOIN erasures e ON e.external_id_hash = {hashed} "
            "WHERE e.allowed_again_at IS NULL AND NOT EXISTS (SELECT FROM erasures o WHERE o.customer_id = c.id) "
            "ORDER BY c.external_id"
        )
    )
    return [row.external_id for row in rows]


async def load_gone(connection: AsyncConnection, since: datetime) -> list[str]:
    """Our ids of those whose erasure was finished since then."""
    rows = await connection.execute(
        text(
            "SELECT DISTINCT customer_id::text AS id FROM erasures WHERE state = 'done' AND finished_at >= :since ORDER BY id"
        ),
        {"since": since},
    )
    return [row.id for row in rows]


async def allow_again(connection: AsyncConnection, external_id: str, actor: Principal, now: datetime) -> None:
    """Let new events of this id make a new customer; what is suppressed stays so.

    Raises NotFoundError where there is none, or one that isn't done.
    """
    rows = await connection.execute(
        text(
            "UPDATE erasures SET allowed_again_at = :now WHERE external_id_hash = :hash AND allowed_again_at IS NULL "
            "AND state = 'done' RETURNING id::text AS id, customer_id::text AS customer"
        ),
        {"hash": hash_external_id(external_id), "now": now},
    )
    allowed = rows.all()
    if not allowed:
        raise NotFoundError(
            f"There is no finished erasure of {external_id[:200]!r} that keeps them out.",
            remedy="`holdfast erase --list` shows those there are.",
        )
    for row in allowed:
        await record_change(
            connection, actor, "customer.allowed_again", object_kind="customer", object_id=row.customer,
            after={"erasure": row.id},
        )  # fmt: skip


async def import_tombstones(connection: AsyncConnection, tombstones: Sequence[Mapping[str, Any]]) -> int:
    """Take over erasures that were finished elsewhere, or before this backup was made; how many were new."""
    done = await connection.execute(
        text(
            "INSERT INTO erasures (id, customer_id, external_id_hash, requested_by, reason, requested_at, state, finished_at, "
            "allowed_again_at) SELECT id, customer_id, external_id_hash, requested_by, '', requested_at, 'done', "
            "coalesce(finished_at, requested_at), allowed_again_at FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, "
            "customer_id uuid, external_id_hash text, requested_by text, requested_at timestamptz, finished_at timestamptz, "
            "allowed_again_at timestamptz) ON CONFLICT (id) DO NOTHING"
        ),
        {"rows": encode(list(tombstones))},
    )
    return int(done.rowcount)


def tombstone(erasure: Erasure) -> dict[str, Any]:
    """What is kept of an erasure outside of the database, to be imported after a backup was restored."""
    kept = (
        "id",
        "customer_id",
        "external_id_hash",
        "requested_by",
        "requested_at",
        "finished_at",
        "allowed_again_at",
    )
    given = asdict(erasure)
    return {name: value.isoformat() if isinstance(value := given[name], datetime) else value for name in kept}
