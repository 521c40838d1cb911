"""Entries that somebody asks for many customers at once: asked in one transaction, decided one by one by the evaluator."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.customers import lock_customers
from store.entry_requests import is_published
from store.overview_rows import NAME


@dataclass(frozen=True)
class EntryPreview:
    """What would become of one customer who was asked into a playbook now; `reason` as in decisions."""

    user_id: str
    enters: bool
    held_out: bool
    reason: str
    detail: str


@dataclass(frozen=True)
class BulkEntry:
    """What became of one customer; `decision` is None until the evaluator has looked."""

    user_id: str
    name: str
    decision: str | None
    detail: str
    run_id: str | None


@dataclass(frozen=True)
class BulkResult:
    """What was asked for together, and what became of each, by name."""

    playbook: str
    reason: str
    asked_by: str
    asked_at: datetime
    entries: Sequence[BulkEntry]

    @property
    def undecided(self) -> int:
        """How many nobody has decided on yet."""
        return sum(entry.decision is None for entry in self.entries)


async def name_customers(connection: AsyncConnection, external_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(the caller's id, name) of those of these customers who are there, by name."""
    rows = await connection.execute(
        text(
            f"SELECT c.external_id, {NAME} AS name FROM customers c WHERE c.external_id = ANY(:names) "
            f"ORDER BY lower({NAME}), c.id"
        ),
        {"names": list(external_ids)},
    )
    return [(row.external_id, row.name) for row in rows]


async def ask_entries(
    connection: AsyncConnection,
    batch: str,
    playbook: str,
    external_ids: Sequence[str],
    reason: str,
    asked_by: str,
    now: datetime,
) -> int:
    """Have the evaluator decide on the entry of all of these; returns how many of them are new to the batch.

    The same batch once more asks for nobody twice. Ring the evaluator's bell after the commit. Raises NotFoundError for an
    unknown playbook; unknown customers are left out.
    """
    if not await is_published(connection, playbook):
        raise NotFoundError(
            f"There is no playbook {playbook[:200]!r}.", remedy="Choose one of those that are published."
        )
    found = await connection.execute(
        text("SELECT id::text FROM customers WHERE external_id = ANY(:names)"), {"names": list(external_ids)}
    )
    ids = sorted(found.scalars())
    await lock_customers(connection, ids)
    space = uuid.UUID(batch)
    asked = await connection.execute(
        text(
            "INSERT INTO entry_requests (id, customer_id, playbook, reason, requested_at, asked_by, batch) "
            "SELECT a.id, a.customer_id, :playbook, :reason, :now, :asked_by, CAST(:batch AS uuid) "
            "FROM unnest(CAST(:requests AS uuid[]), CAST(:ids AS uuid[])) AS a(id, customer_id) "
            "ON CONFLICT (id) DO NOTHING RETURNING customer_id::text"
        ),
        {
            "requests": [str(uuid.uuid5(space, f"{playbook}/{id_}")) for id_ in ids],
            "ids": ids,
            "playbook": playbook,
            "reason": reason,
            "asked_by": asked_by,
            "batch": batch,
            "now": now,
        },
    )
    new = list(asked.scalars())
    await connection.execute(
        text(
            "INSERT INTO evaluations (customer_id, since, changed) "
            "SELECT id, :now, '{}' FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id ON CONFLICT DO NOTHING"
        ),
        {"ids": new, "now": now},
    )
    return len(new)


async def count_undecided(connection: AsyncConnection, batch: str) -> int:
    """How many of a batch nobody has decided on yet."""
    rows = await connection.execute(
        text("SELECT count(*) FROM entry_requests WHERE batch = CAST(:batch AS uuid) AND decided_at IS NULL"),
        {"batch": batch},
    )
    return int(rows.scalar_one())


async def read_batch(connection: AsyncConnection, batch: str) -> BulkResult:
    """A batch with what became of everybody. Raises NotFoundError."""
    try:
        known = str(uuid.UUID(batch))
    except ValueError:
        raise _missing() from None
    rows = (
        await connection.execute(
            text(
                "SELECT e.playbook, e.reason, e.asked_by, e.requested_at, e.decision, e.detail, e.run_id::text, "
                f"c.external_id, {NAME} AS name "
                "FROM entry_requests e JOIN customers c ON c.id = e.customer_id WHERE e.batch = CAST(:batch AS uuid) "
                f"ORDER BY e.decision IS DISTINCT FROM 'entered', e.decision, lower({NAME}), c.id"
            ),
            {"batch": known},
        )
    ).all()
    if not rows:
        raise _missing()
    first = rows[0]
    return BulkResult(
        first.playbook,
        first.reason,
        first.asked_by,
        min(row.requested_at for row in rows),
        [BulkEntry(row.external_id, row.name, row.decision, row.detail, row.run_id) for row in rows],
    )


def _missing() -> NotFoundError:
    return NotFoundError("There is no such bulk start.", remedy="Start one from the list of customers.")
