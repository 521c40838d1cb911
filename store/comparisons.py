"""Comparisons of the evaluators on the customers there are: whom to look at, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import encode


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many customers and answers were compared at `at`, and the answers that differed (the first hundred)."""

    at: datetime
    customers: int
    answers: int
    differences: Sequence[Mapping[str, Any]]


async def sample_customers(connection: AsyncConnection, limit: int, seed: int) -> list[str]:
    """The ids of up to `limit` customers, drawn evenly; the same for the same seed."""
    rows = await connection.execute(
        text("SELECT id::text FROM customers ORDER BY hashtextextended(id::text, :seed) LIMIT :limit"),
        {"seed": seed, "limit": limit},
    )
    return [row[0] for row in rows]


async def record_comparison(connection: AsyncConnection, comparison: Comparison) -> None:
    """Keep what a comparison came to."""
    await connection.execute(
        text(
            "INSERT INTO comparisons (at, customers, answers, differences) "
            "VALUES (:at, :customers, :answers, CAST(:differences AS jsonb))"
        ),
        {
            "at": comparison.at,
            "customers": comparison.customers,
            "answers": comparison.answers,
            "differences": encode([dict(one) for one in comparison.differences]),
        },
    )


async def load_last_comparison(connection: AsyncConnection) -> Comparison | None:
    """The newest comparison; None before the first."""
    rows = await connection.execute(
        text("SELECT at, customers, answers, differences FROM comparisons ORDER BY at DESC LIMIT 1")
    )
    row = rows.one_or_none()
    return None if row is None else Comparison(row.at, row.customers, row.answers, row.differences)
