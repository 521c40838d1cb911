"""Alerts of which one at a time is enough: the same trouble doesn't fill the list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode


async def raise_standing(
    connection: AsyncConnection, kind: str, message: str, detail: Mapping[str, Any], at: datetime
) -> bool:
    """Open an alert unless one of this kind is open; whether it was opened."""
    # Two at once would both see none: one waits for the other.
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:kind))"), {"kind": f"alert/{kind}"})
    done = await connection.execute(
        text(
            "INSERT INTO alerts (kind, message, detail, at) SELECT :kind, :message, CAST(:detail AS jsonb), :at "
            "WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE kind = :kind AND resolved_at IS NULL)"
        ),
        {"kind": kind, "message": message, "detail": encode(dict(detail)), "at": at},
    )
    return bool(done.rowcount)


async def is_open(connection: AsyncConnection, kind: str) -> bool:
    """Whether there is an open alert of this kind."""
    row = await connection.execute(
        text("SELECT 1 FROM alerts WHERE kind = :kind AND resolved_at IS NULL LIMIT 1"), {"kind": kind}
    )
    return row.first() is not None


def parking_kind(channel: str) -> str:
    """What the alert that parks marketing on a channel is filed under; closing it lets marketing go on."""
    return f"marketing_parked:{channel}"


async def is_marketing_parked(connection: AsyncConnection, channel: str) -> bool:
    """Whether too many complained: nothing that isn't critical is to leave on this channel."""
    return await is_open(connection, parking_kind(channel))
