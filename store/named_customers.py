"""Customers by what other systems call them."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def find_by_trait(connection: AsyncConnection, trait: str, value: str) -> str | None:
    """The external id of the one customer whose `trait` is `value`; None where nobody has it, or several have."""
    rows = await connection.execute(
        text(
            "SELECT external_id FROM customers "
            "WHERE traits @> jsonb_build_object(CAST(:trait AS text), CAST(:value AS text)) LIMIT 2"
        ),
        {"trait": trait, "value": value},
    )
    found = [str(row.external_id) for row in rows]
    return found[0] if len(found) == 1 else None
