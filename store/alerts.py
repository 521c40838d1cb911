"""Alerts: what somebody must look at, open until it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode
from store.reading_changes import CHANNEL

# Kinds, or how they begin, that somebody must look at today; others can wait for a while.
CRITICAL = ("model_critical", "runs:stuck", "runs:version_gone", "marketing_parked:", "channel_down:")


def severity_of(kind: str) -> str:
    """How grave alerts of this kind are, where whoever raises them doesn't say."""
    return "critical" if kind.startswith(CRITICAL) else "warning"


@dataclass(frozen=True, slots=True)
class Alert:
    """One open alert; `kind` says what it is about, `message` what happened."""

    id: int
    kind: str
    message: str
    detail: Mapping[str, Any]
    at: datetime


async def raise_alert(
    connection: AsyncConnection, kind: str, message: str, detail: Mapping[str, Any], at: datetime
) -> None:
    """Open an alert."""
    await connection.execute(
        text(
            "INSERT INTO alerts (kind, severity, message, detail, at) "
            "VALUES (:kind, :severity, :message, CAST(:detail AS jsonb), :at)"
        ),
        {
            "kind": kind,
            "severity": severity_of(kind),
            "message": message,
            "detail": encode(dict(detail)),
            "at": at,
        },
    )
    await tell_watchers(connection)


async def resolve_alerts(connection: AsyncConnection, kind: str, at: datetime) -> int:
    """Close every open alert of a kind; returns how many."""
    done = await connection.execute(
        text("UPDATE alerts SET resolved_at = :at WHERE kind = :kind AND resolved_at IS NULL"),
        {"kind": kind, "at": at},
    )
    if done.rowcount:
        await tell_watchers(connection)
    return int(done.rowcount)


async def tell_watchers(connection: AsyncConnection) -> None:
    """Have pages look once this commits; alerts are few, so that each may ring."""
    await connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


async def load_open_alerts(connection: AsyncConnection, limit: int = 100) -> list[Alert]:
    """The open alerts, newest first."""
    rows = await connection.execute(
        text(
            "SELECT id, kind, message, detail, at FROM alerts WHERE resolved_at IS NULL ORDER BY at DESC, id DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [Alert(row.id, row.kind, row.message, row.detail, row.at) for row in rows]
