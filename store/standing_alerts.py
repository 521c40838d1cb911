"""Alerts of which one at a time is enough: the same trouble doesn't fill the list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.alerts import severity_of, tell_watchers
from store.database import encode


async def raise_standing(
    connection: AsyncConnection, kind: str, message: str, detail: Mapping[str, Any], at: datetime
) -> bool:
    """Open an alert unless one of this kind is open; whether it was opened."""
    # Two at once would both see none: one waits for the other.
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:kind))"), {"kind": f"alert/{kind}"})
    done = await connection.execute(
        text(
            "INSERT INTO alerts (kind, severity, message, detail, at) "
            "SELECT :kind, :severity, :message, CAST(:detail AS jsonb), :at "
            "WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE kind = :kind AND resolved_at IS NULL)"
        ),
        {
            "kind": kind,
            "severity": severity_of(kind),
            "message": message,
            "detail": encode(dict(detail)),
            "at": at,
        },
    )
    if done.rowcount:
        await tell_watchers(connection)
    return bool(done.rowcount)


def parking_kind(channel: str) -> str:
    """What the alert that parks marketing on a channel is filed under; closing it lets marketing go on."""
    return f"marketing_parked:{channel}"


async def load_parked_channels(connection: AsyncConnection) -> dict[str, datetime]:
    """The channels on which marketing is parked, and since when."""
    rows = await connection.execute(
        text(
            "SELECT kind, min(at) AS since FROM alerts WHERE resolved_at IS NULL AND starts_with(kind, :parking) "
            "GROUP BY kind"
        ),
        {"parking": parking_kind("")},
    )
    return {row.kind.removeprefix(parking_kind("")): row.since for row in rows}


async def lift_parking(connection: AsyncConnection, channel: str, by: str, at: datetime) -> bool:
    """Let marketing go on by this channel; False where it wasn't parked. Complaints count afresh from then on."""
    done = await connection.execute(
        text(
            "UPDATE alerts SET resolved_at = :at, detail = detail || jsonb_build_object('lifted_by', CAST(:by AS text)) "
            "WHERE kind = :kind AND resolved_at IS NULL"
        ),
        {"kind": parking_kind(channel), "by": by, "at": at},
    )
    if done.rowcount:
        await tell_watchers(connection)
    return bool(done.rowcount)


async def last_lifted_at(connection: AsyncConnection, channel: str) -> datetime | None:
    """When somebody last let marketing go on by this channel."""
    found = await connection.execute(
        text("SELECT max(resolved_at) FROM alerts WHERE kind = :kind"), {"kind": parking_kind(channel)}
    )
    at: datetime | None = found.scalar()
    return at
