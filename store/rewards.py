"""Features that runs unlocked: granted once per run, step and occurrence, taken back when their time is over."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.runs import NAMESPACE


@dataclass(frozen=True, slots=True)
class Reward:
    """One grant; `until` None: for good. `revoked_at`: when it was taken back, which is `until`."""

    id: str
    run_id: str
    customer_id: str
    step: str
    occurrence: int
    feature: str
    granted_at: datetime
    until: datetime | None
    revoked_at: datetime | None = None


_FIELDS = ", ".join(Reward.__dataclass_fields__)


def reward_id(run_id: str, step: str, occurrence: int) -> str:
    """The same for every attempt at the same step of the same run."""
    return str(uuid.uuid5(NAMESPACE, f"reward/{run_id}/{step}/{occurrence}"))


def _reward(row: Any) -> Reward:
    fields = dict(row._mapping)
    for name in ("id", "run_id", "customer_id"):
        fields[name] = str(fields[name])
    for name in ("granted_at", "until", "revoked_at"):
        fields[name] = fields[name].astimezone(UTC) if fields[name] else None
    return Reward(**fields)


async def grant(connection: AsyncConnection, reward: Reward) -> bool:
    """Write a grant (its customer is locked by the caller); False if it is there already."""
    done = await connection.execute(
        text(
            f"INSERT INTO rewards ({_FIELDS}) VALUES ({', '.join(f':{name}' for name in Reward.__dataclass_fields__)}) "
            "ON CONFLICT DO NOTHING"
        ),
        {name: getattr(reward, name) for name in Reward.__dataclass_fields__},
    )
    return bool(done.rowcount)


async def next_end(connection: AsyncConnection) -> datetime | None:
    """The earliest moment at which a reward is to be taken back."""
    found = (
        await connection.execute(text("SELECT min(until) FROM rewards WHERE revoked_at IS NULL"))
    ).scalar()
    return found.astimezone(UTC) if found else None


async def load_over(connection: AsyncConnection, now: datetime, limit: int) -> list[str]:
    """Ids of customers with rewards whose time is over, those that ended first."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text FROM rewards WHERE revoked_at IS NULL AND until <= :now "
            "GROUP BY customer_id ORDER BY min(until) LIMIT :limit"
        ),
        {"now": now, "limit": limit},
    )
    return [row.customer_id for row in rows]


async def take_back(connection: AsyncConnection, customer_id: str, now: datetime) -> list[Reward]:
    """Take back what of this customer's rewards is over at `now` (locked by the caller), in order of their ends."""
    rows = await connection.execute(
        text(
            "UPDATE rewards SET revoked_at = until WHERE customer_id = :customer AND revoked_at IS NULL "
            f"AND until <= :now RETURNING {_FIELDS}"
        ),
        {"customer": customer_id, "now": now},
    )
    return sorted((_reward(row) for row in rows), key=lambda reward: (reward.until or now, reward.id))


async def load_rewards(connection: AsyncConnection, customer_id: str, limit: int = 500) -> list[Reward]:
    """A customer's rewards, newest first."""
    rows = await connection.execute(
        text(
            f"SELECT {_FIELDS} FROM rewards WHERE customer_id = :customer ORDER BY granted_at DESC, id LIMIT :limit"
        ),
        {"customer": customer_id, "limit": limit},
    )
    return [_reward(row) for row in rows]
