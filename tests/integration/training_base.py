"""Customers with years behind them whose leaving follows a known law, in a real database."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import text

from scoring.training import training_days
from store.database import Database, PlayedClock, encode

# The moment as of which is trained, and how many months of four weeks lie before it.
UNTIL = datetime(2026, 6, 3, 4, 0, tzinfo=UTC)
MONTHS = 30

# Weekly log-odds of leaving from health (0–100), tickets, sessions and the day.
Law = Callable[[float, int, int, date], float]


def by_health(health: float, tickets: int, sessions: int, day: date) -> float:
    """Health says all that there is to say."""
    return -0.9 - 0.07 * health


def by_more(health: float, tickets: int, sessions: int, day: date) -> float:
    """Tickets and sessions say much that the health score doesn't."""
    return -1.9 - 0.03 * health + 1.2 * min(tickets, 4) - 0.3 * min(sessions, 16)


@dataclass(frozen=True)
class Base:
    """Rows for the tables; `customers` are external ids."""

    customers: list[dict[str, Any]]
    events: list[dict[str, Any]]
    days: list[dict[str, Any]]


def make_base(
    law: Law, *, customers: int = 300, seed: int = 5, until: datetime = UNTIL, every_days: int = 28
) -> Base:
    """Customers who came over the first year and a half; each moves on every four weeks until they leave."""
    rng = np.random.default_rng(seed)
    made = Base([], [], [])
    end = until.date()
    first = training_days(until, end - timedelta(days=28 * MONTHS))[0]
    for number in range(customers):
        name = f"c{number:04d}"
        start = first + timedelta(days=28 * int(rng.integers(0, 20)))
        came = datetime.combine(start, datetime.min.time(), UTC) - timedelta(days=int(rng.integers(9, 60)))
        id_ = f"{rng.integers(0, 2**32):08x}-0000-4000-8000-{number:012x}"
        made.customers.append({"id": id_, "external_id": name, "created_at": came})
        plan = str(rng.choice(["starter", "pro", "business"]))
        usual, trouble, habit = rng.normal(58, 18), rng.gamma(0.7, 1.0), rng.uniform(2, 16)
        level = float(usual)
        day, left = start, False
        while day <= end and not left:
            midnight = datetime.combine(day, datetime.min.time(), UTC)
            level += float(rng.normal(0, 5) + 0.1 * (usual - level))
            health = round(min(100.0, max(0.0, level)))
            tickets = int(rng.poisson(trouble))
            sessions = int(rng.poisson(habit))
            made.days.append(
                {
                    "customer_id": id_, "day": day, "revision": 0, "known_at": midnight, "custom": {}, "plan": plan,
                    "subscription_status": "active", "monthly_price": 49, "team_size": int(rng.integers(1, 5)),
                    "signed_up_at": came, "last_login": midnight - timedelta(days=float(rng.exponential(4))),
                    "session_count_30d": sessions, "active_days_30d": min(30, sessions),
                    "support_tickets_30d": tickets, "health_score": health, "avg_health_30d": health,
                    "health_trend": "stable", "unique_features_used": int(rng.integers(1, 8)),
                    "country": "SE" if number % 2 else "DE", "vendor_type": "venue",
                }
            )  # fmt: skip
            _note(made, id_, name, "login", midnight - timedelta(hours=5))
            for week in range(every_days // 7):
                if rng.random() < 1 / (1 + math.exp(-law(health, tickets, sessions, day))):
                    at = midnight + timedelta(days=7 * week + float(rng.uniform(0.1, 6.9)))
                    if at < until:
                        _note(made, id_, name, "subscription_cancelled", at)
                    left = True
                    break
            day += timedelta(days=every_days)
    return made


def _note(base: Base, id_: str, name: str, event: str, at: datetime) -> None:
    base.events.append(
        {
            "day": at.date(), "source": "test", "message_id": f"{name}/{len(base.events)}", "customer_id": id_,
            "name": event, "at": at, "received_at": at, "properties": {},
        }
    )  # fmt: skip


async def load_base(database: Database, base: Base) -> None:
    """Write it."""
    async with database.transaction() as connection:
        for table, rows in (
            ("customers", [{"traits": {}, "demo": False, **row} for row in base.customers]),
            ("events", base.events),
            ("signal_history", base.days),
        ):
            for start in range(0, len(rows), 5000):
                columns = ", ".join(rows[0])
                await connection.execute(
                    text(
                        f"INSERT INTO {table} ({columns}) SELECT {columns} "
                        f"FROM jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))"
                    ),
                    {"rows": encode(rows[start : start + 5000])},
                )


def open_database(url: str, now: datetime = UNTIL) -> Database:
    """A database whose clock stands still."""
    return Database(url, connections=3, clock=PlayedClock(now))
