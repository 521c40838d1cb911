"""Alerts on their way to whoever is to be told: held open at a severity, leased to one teller, marked as told.

`told_as` is what was told last: nothing yet, a severity, or resolved. What was neither told nor tried before it was over
isn't told at all: where no webhook is set nothing piles up for the day that one is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.alerts import tell_watchers
from store.database import encode

Happening = Literal["opened", "critical", "resolved"]

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=15)
# Longer than one request takes; then somebody else tells it.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Untold:
    """What is to be told of an alert; `attempts` counts this one."""

    id: int
    happening: Happening
    kind: str
    severity: str
    message: str
    detail: Mapping[str, Any]
    at: datetime
    resolved_at: datetime | None
    attempts: int


async def load_held(connection: AsyncConnection) -> dict[str, str]:
    """The gravest severity of the open alerts of each kind."""
    rows = await connection.execute(
        text("SELECT kind, bool_or(severity = 'critical') AS critical FROM alerts WHERE resolved_at IS NULL GROUP BY kind")
    )  # fmt: skip
    return {row.kind: "critical" if row.critical else "warning" for row in rows}


async def hold_alert(
    connection: AsyncConnection,
    kind: str,
    severity: str,
    message: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> bool:
    """Have one alert of this kind open at this severity; whether that changed anything."""
    given = {"kind": kind, "severity": severity, "message": message, "detail": encode(dict(detail)), "at": at}
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:kind))"), {"kind": f"alert/{kind}"})
    found = await connection.execute(
        text(
            "UPDATE alerts SET severity = :severity, message = :message, detail = CAST(:detail AS jsonb), "
            "tell_attempts = 0, tell_next_at = NULL WHERE kind = :kind AND resolved_at IS NULL AND severity <> :severity"
        ),
        given,
    )
    if found.rowcount:
        await tell_watchers(connection)
        return True
    opened = await connection.execute(
        text(
            "INSERT INTO alerts (kind, severity, message, detail, at) "
            "SELECT :kind, :severity, :message, CAST(:detail AS jsonb), :at "
            "WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE kind = :kind AND resolved_at IS NULL)"
        ),
        given,
    )
    if opened.rowcount:
        await tell_watchers(connection)
    return bool(opened.rowcount)


_LEASE = text(
    "UPDATE alerts SET tell_next_at = :until, tell_attempts = tell_attempts + 1 WHERE id IN ("
    "SELECT id FROM alerts WHERE (tell_next_at IS NULL OR tell_next_at <= :now) AND ("
    "(resolved_at IS NULL AND (told_as = '' OR (severity = 'critical' AND told_as <> 'critical'))) "
    "OR (resolved_at IS NOT NULL AND (told_as IN ('info', 'warning', 'critical') OR (told_as = '' AND tell_attempts > 0)))"
    ") ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) "
    "RETURNING id, CASE WHEN resolved_at IS NOT NULL THEN 'resolved' WHEN told_as = '' THEN 'opened' "
    "ELSE 'critical' END AS happening, kind, severity, message, detail, at, resolved_at, tell_attempts AS attempts"
)


async def lease_untold(connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Untold]:
    """What is to be told now, by the caller alone for as long as the lease lasts; by id."""
    rows = await connection.execute(_LEASE, {"now": now, "until": now + LEASE, "limit": limit})
    return sorted((Untold(**row._mapping) for row in rows), key=lambda one: one.id)


async def mark_told(connection: AsyncConnection, untold: Untold, now: datetime) -> None:
    """It was taken; what has become of the alert meanwhile is told next."""
    told_as = "resolved" if untold.happening == "resolved" else untold.severity
    await connection.execute(
        text(
            "UPDATE alerts SET told_as = :told, told_at = :now, tell_attempts = 0, tell_next_at = NULL WHERE id = :id"
        ),
        {"id": untold.id, "told": told_as, "now": now},
    )


async def tell_later(
    connection: AsyncConnection, untold: Untold, now: datetime, at_least: timedelta | None = None
) -> None:
    """It wasn't taken: again after a pause that grows from 5 seconds to 15 minutes. at_least: what the receiver asked for."""
    pause = min(FIRST_PAUSE * 2 ** min(untold.attempts - 1, 20), LONGEST_PAUSE)
    if at_least is not None:
        pause = min(max(pause, at_least), timedelta(hours=1))
    await connection.execute(
        text("UPDATE alerts SET tell_next_at = :at WHERE id = :id AND tell_attempts > 0"),
        {"id": untold.id, "at": now + pause},
    )
