"""Verified requests of other systems: kept as they came, worked on afterwards, forgotten in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Rung after a request was stored.
BELL = "holdfast_hooks"
# Who takes a request up and isn't heard of again has left it.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One request; `attempts` counts how often it was taken up, this time included."""

    id: int
    source: str
    request_id: str
    body: bytes = field(repr=False)
    content_type: str
    query: str
    received_at: datetime
    attempts: int


async def store_request(
    connection: AsyncConnection,
    *,
    source: str,
    request_id: str,
    body: bytes,
    content_type: str,
    query: str,
    now: datetime,
) -> bool:
    """Keep a verified request; False if it came before."""
    done = await connection.execute(
        text(
            "INSERT INTO hook_requests (source, request_id, body, content_type, query, received_at, next_at) "
            "VALUES (:source, :request, :body, :content_type, :query, :now, :now) ON CONFLICT DO NOTHING"
        ),
        {
            "source": source, "request": request_id, "body": body, "content_type": content_type[:200],
            "query": query[:2000], "now": now,
        },
    )  # fmt: skip
    return bool(done.rowcount)


async def lease_requests(connection: AsyncConnection, now: datetime, limit: int) -> list[StoredRequest]:
    """Take up to `limit` requests that are due, oldest first; nobody else gets them while the lease lasts."""
    rows = await connection.execute(
        text(
            "UPDATE hook_requests SET next_at = :later, attempts = attempts + 1 WHERE id IN ("
            "SELECT id FROM hook_requests WHERE done_at IS NULL AND next_at <= :now ORDER BY id LIMIT :limit "
            "FOR UPDATE SKIP LOCKED) "
            "RETURNING id, source, request_id, body, content_type, query, received_at, attempts"
        ),
        {"now": now, "later": now + LEASE, "limit": limit},
    )
    found = [StoredRequest(**{**row._mapping, "body": bytes(row.body)}) for row in rows]
    return sorted(found, key=lambda request: request.id)


async def finish_request(
    connection: AsyncConnection, request: StoredRequest, now: datetime, *, error: str | None = None
) -> None:
    """It is done, or (with an `error`) given up. What was taken from it is kept elsewhere, so its body goes."""
    await connection.execute(
        text(
            "UPDATE hook_requests SET done_at = :now, next_at = NULL, error = :error, "
            "body = CASE WHEN CAST(:error AS text) IS NULL THEN ''::bytea ELSE body END WHERE id = :id"
        ),
        {"id": request.id, "now": now, "error": error},
    )


async def postpone_request(
    connection: AsyncConnection,
    request: StoredRequest,
    at: datetime,
    *,
    error: str | None = None,
    counted: bool = True,
) -> None:
    """Try again at `at`. counted: this attempt counts as one that failed."""
    await connection.execute(
        text(
            "UPDATE hook_requests SET next_at = :at, error = :error, attempts = attempts - :back "
            "WHERE id = :id AND done_at IS NULL"
        ),
        {"id": request.id, "at": at, "error": error, "back": 0 if counted else 1},
    )


async def forget_requests(connection: AsyncConnection, before: datetime) -> int:
    """Drop what was done, or given up, before `before`; returns how many."""
    done = await connection.execute(
        text("DELETE FROM hook_requests WHERE done_at < :before AND received_at < :before"),
        {"before": before},
    )
    return int(done.rowcount)
