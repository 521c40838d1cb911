"""Reading dead letters: what came in and couldn't be taken."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import DeadLetterRow
from store.tables import dead_letters


async def list_dead_letters(
    connection: AsyncConnection, *, limit: int = 50, before: int | None = None
) -> list[DeadLetterRow]:
    """Dead letters, the latest first; `before` is the id of the last one seen."""
    columns = [dead_letters.c[name] for name in DeadLetterRow.model_fields]
    query = select(*columns).order_by(dead_letters.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(dead_letters.c.id < before)
    return [DeadLetterRow.model_validate(dict(row._mapping)) for row in await connection.execute(query)]
