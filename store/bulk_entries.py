"""Entries that somebody asks for many customers at once: asked in one transaction, decided one by one by the evaluator."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.errors import NotFoundError
from store.customers import lock_customers
from store.entry_requests import is_published
from store.overview_rows import NAME

# A decision, as the evaluator's are named.
ENTERED = "entered"
# What keeps those out of a bulk start who were in its preview and aren't among the chosen any more.
GONE = "no_match"


@dataclass(frozen=True)
class EntryPreview:
    """What would become of one customer who was asked into a playbook now; `reason` as in decisions."""

    customer_id: str
    user_id: str
    enters: bool
    held_out: bool
    reason: str
    detail: str


@dataclass(frozen=True)
class BulkEntry:
    """What became of one customer; `decision` is None until the evaluator has looked, `expected` is what the preview
    said (None: it wasn't kept).
    """

    user_id: str
    name: str
    decision: str | None
    detail: str
    run_id: str | None
    expected: str | None

    @property
    def is_surprise(self) -> bool:
        """Whether it came to a start that wasn't to be expected, or to none where one was."""
        decided = self.decision is not None and self.expected is not None
        return decided and (self.decision == ENTERED) != (self.expected == ENTERED)


@dataclass(frozen=True)
class BulkStart:
    """What was asked for together; by how many of how many it led to a run, and how many nobody decided on yet."""

    batch: str
    playbook: str
    title: str
    reason: str
    asked_by: str
    asked_at: datetime
    customers: int
    entered: int
    undecided: int


@dataclass(frozen=True)
class BulkResult:
    """What was asked for together, and what became of each: who didn't enter first, by reason, then by name."""

    playbook: str
    title: str
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


async def name_by_id(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(the caller's id, name) of those of these customers who are there, by our id, in order of names."""
    rows = await connection.execute(
        text(
            f"SELECT c.id::text, c.external_id, {NAME} AS name FROM customers c "
            f"WHERE c.id = ANY(CAST(:ids AS uuid[])) ORDER BY lower({NAME}), c.id"
        ),
        {"ids": list(ids)},
    )
    return {row.id: (row.external_id, row.name) for row in rows}


async def ask_entries(
    connection: AsyncConnection,
    batch: str,
    playbook: str,
    expected: Mapping[str, str],
    reason: str,
    asked_by: str,
    now: datetime,
    *,
    gone: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Have the evaluator decide on the entry of all of these; returns how many of them are new to the batch.

    `expected` is what a preview said of each, by our ids of customers. `gone`, likewise, are those who were in the
    preview and aren't chosen any more: that is noted, and nothing decided. The same batch once more asks for nobody
    twice. Ring the evaluator's bell after the commit. Raises NotFoundError for an unknown playbook; unknown customers
    are left out.
    """
    if not await is_published(connection, playbook):
        raise NotFoundError(
            f"There is no playbook {playbook[:200]!r}.", remedy="Choose one of those that are published."
        )
    found = await connection.execute(
        text("SELECT id::text FROM customers WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [*expected, *gone]},
    )
    ids = sorted(found.scalars())
    await lock_customers(connection, ids)
    space = uuid.UUID(batch)
    asked = await connection.execute(
        text(
            "INSERT INTO entry_requests (id, customer_id, playbook, reason, requested_at, asked_by, batch, expected, "
            "decided_at, decision, detail) "
            "SELECT a.id, a.customer_id, :playbook, :reason, :now, :asked_by, CAST(:batch AS uuid), a.expected, "
            "CASE WHEN a.gone THEN CAST(:now AS timestamptz) END, CASE WHEN a.gone THEN :no_match END, "
            "CASE WHEN a.gone THEN 'was in the preview' ELSE '' END "
            "FROM unnest(CAST(:requests AS uuid[]), CAST(:ids AS uuid[]), CAST(:expected AS text[]), "
            "CAST(:gone AS boolean[])) AS a(id, customer_id, expected, gone) "
            "ON CONFLICT (id) DO NOTHING RETURNING customer_id::text"
        ),
        {
            "requests": [str(uuid.uuid5(space, f"{playbook}/{id_}")) for id_ in ids],
            "ids": ids,
            "expected": [expected.get(id_, gone.get(id_)) for id_ in ids],
            "gone": [id_ not in expected for id_ in ids],
            "no_match": GONE,
            "playbook": playbook,
            "reason": reason,
            "asked_by": asked_by,
            "batch": batch,
            "now": now,
        },
    )
    new = [id_ for id_ in asked.scalars() if id_ in expected]
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
                "SELECT e.playbook, coalesce(p.compiled ->> 'title', e.playbook) AS title, e.reason, e.asked_by, e.requested_at, "
                f"e.decision, e.detail, e.run_id::text, e.expected, c.external_id, {NAME} AS name "
                "FROM entry_requests e JOIN customers c ON c.id = e.customer_id "
                "LEFT JOIN playbooks p ON p.name = e.playbook WHERE e.batch = CAST(:batch AS uuid) "
                f"ORDER BY e.decision IS NOT DISTINCT FROM 'entered', e.decision, lower({NAME}), c.id"
            ),
            {"batch": known},
        )
    ).all()
    if not rows:
        raise _missing()
    first = rows[0]
    return BulkResult(
        first.playbook,
        first.title,
        first.reason,
        first.asked_by,
        min(row.requested_at for row in rows),
        [
            BulkEntry(row.external_id, row.name, row.decision, row.detail, row.run_id, row.expected)
            for row in rows
        ],
    )


async def list_starts(connection: AsyncConnection, *, limit: int) -> list[BulkStart]:
    """What was asked for together, the latest first."""
    rows = await connection.execute(
        text(
            "SELECT e.batch::text, min(e.playbook) AS playbook, coalesce(min(p.compiled ->> 'title'), min(e.playbook)) AS title, "
            "min(e.reason) AS reason, min(e.asked_by) AS asked_by, min(e.requested_at) AS asked_at, "
            "count(*) AS customers, count(*) FILTER (WHERE e.decision = 'entered') AS entered, "
            "count(*) FILTER (WHERE e.decided_at IS NULL) AS undecided "
            "FROM entry_requests e LEFT JOIN playbooks p ON p.name = e.playbook WHERE e.batch IS NOT NULL "
            "GROUP BY e.batch ORDER BY asked_at DESC, e.batch LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [BulkStart(**row) for row in rows.mappings()]


async def is_started(connection: AsyncConnection, batch: str) -> bool:
    """Whether anybody was asked in by this batch already."""
    found = await connection.execute(
        text("SELECT 1 FROM entry_requests WHERE batch = CAST(:batch AS uuid) LIMIT 1"), {"batch": batch}
    )
    return found.first() is not None


def _missing() -> NotFoundError:
    return NotFoundError("There is no such bulk start.", remedy="Start one from the list of customers.")
