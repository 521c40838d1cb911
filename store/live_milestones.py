"""The milestones that are live, and publishing others."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.milestones import Milestones
from schemas.milestones_file import shipped_milestones
from store.audit import Done, actor_called, record_changes
from store.database import encode

# The row of `governance`, and what its publications are called.
MILESTONES = "milestones"
_KEPT = 16
_read: OrderedDict[str, Milestones] = OrderedDict()


async def load_milestones(connection: AsyncConnection) -> Milestones:
    """The published milestones; without any those that ship."""
    digest = (
        await connection.execute(
            text("SELECT value->>'digest' FROM governance WHERE name = :name"), {"name": MILESTONES}
        )
    ).scalar()
    if digest is None:
        return shipped_milestones()
    found = _read.get(digest)
    if found is None:
        row = await connection.execute(
            text("SELECT value->>'digest', value->'milestones' FROM governance WHERE name = :name"),
            {"name": MILESTONES},
        )
        # Others may have been published meanwhile.
        digest, value = row.one()
        found = _read[digest] = Milestones.model_validate(value)
        while len(_read) > _KEPT:
            _read.popitem(last=False)
    return found


async def differs(connection: AsyncConnection, milestones: Milestones | None) -> bool:
    """Whether these (None: none of one's own) are others than what is live."""
    return (await load_milestones(connection)).digest != (milestones or shipped_milestones()).digest


async def publish_milestones(
    connection: AsyncConnection,
    milestones: Milestones | None,
    source: str,
    now: datetime,
    *,
    author: str,
    note: str = "",
) -> bool:
    """Make these live (None: their file is gone, and those that ship hold again); whether that changes anything.

    What customers have reached stays. Under the lock that publishing holds.
    """
    before = await load_milestones(connection)
    after = milestones or shipped_milestones()
    if before.digest == after.digest:
        return False
    if milestones is None:
        await connection.execute(text("DELETE FROM governance WHERE name = :name"), {"name": MILESTONES})
    else:
        value = {"digest": after.digest, "milestones": after.model_dump(mode="json")}
        await connection.execute(
            text(
                "INSERT INTO governance (name, value, updated_at) VALUES (:name, CAST(:value AS jsonb), :now) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
            ),
            {"name": MILESTONES, "value": encode(value), "now": now},
        )
    await connection.execute(
        text(
            "INSERT INTO publications (name, kind, version, source, author, note, at) "
            "VALUES (:name, :kind, :version, :source, :author, :note, :now)"
        ),
        {
            "name": MILESTONES,
            "kind": "retired" if milestones is None else MILESTONES,
            "version": after.digest,
            "source": source,
            "author": author,
            "note": note or ("retired: its file is gone" if milestones is None else ""),
            "now": now,
        },
    )
    await record_changes(
        connection,
        actor_called(author),
        [
            Done(
                "milestones.published" if milestones is not None else "milestones.retired",
                "milestones",
                MILESTONES,
                {"version": before.digest, "milestones": len(before.milestones)},
                {"version": after.digest, "milestones": len(after.milestones)},
            )
        ],
    )
    return True
