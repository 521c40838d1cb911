"""Scores and predictions that are others now, told from process to process: nothing is kept of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Literal

import msgspec
import psycopg

from store.database import Database

CHANNEL = "holdfast_scores"
# PostgreSQL takes 8,000 bytes at a time.
MOST_BYTES = 7500


class ScoreNews(msgspec.Struct, frozen=True, array_like=True):
    """`kind` is health_changed, churn_scored or milestone, `customer_id` our id, `user_id` the caller's; `state` the new
    level, or the type of the milestone.
    """

    kind: Literal["health_changed", "churn_scored", "milestone"]
    customer_id: str
    user_id: str
    state: str
    at: datetime


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(list[ScoreNews]).decode


def pack(news: Iterable[ScoreNews]) -> tuple[str, int]:
    """One text of as much as it holds, from the beginning, and how many that is."""
    parts: list[bytes] = []
    size = 0
    for one in news:
        written = _encode(one)
        size += len(written) + 1
        if parts and size > MOST_BYTES:
            break
        parts.append(written)
    return f"[{b','.join(parts).decode()}]", len(parts)


def unpack(text: str) -> list[ScoreNews]:
    """What `pack` wrote."""
    return _decode(text)


async def listen_for_scores(database: Database) -> AsyncIterator[list[ScoreNews]]:
    """News as it comes, until the connection breaks; first nothing, once it listens. Raises psycopg.OperationalError or
    OSError.
    """
    async with await database.connect_aside() as connection:
        await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(CHANNEL)))
        yield []
        async for notification in connection.notifies():
            yield unpack(notification.payload)
