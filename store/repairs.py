"""Customers whose past is to be worked out again: who waits, and what becomes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.customers import lock_customers
from store.database import encode
from store.rollup import DAILY_DAYS

# What a customer's request for evaluation says of a past that was repaired: whoever remembers it reads it again.
REPAIRED = "history_repaired"


@dataclass(frozen=True, slots=True)
class Repair:
    """A customer whose days from `since` on are to be looked at; `whole`: signals and tallies, too, by the corrections
    from `requested_at` on.
    """

    customer_id: str
    since: date
    whole: bool
    requested_at: datetime


def first_midnight(at: datetime) -> date:
    """The UTC day of the first midnight that comes after `at`, or at that very moment."""
    return (at.astimezone(UTC) - timedelta(microseconds=1)).date() + timedelta(days=1)


def missing_days(
    since: date,
    now: datetime,
    first: datetime,
    created_at: datetime,
    recorded: Collection[date],
    *,
    daily_days: int = DAILY_DAYS,
) -> list[date]:
    """Days from `since` on that aren't `recorded`, though the customer was there by their midnight: since `first`.

    Today is recorded by the look at everybody, unless we heard of the customer after its midnight; days further back than
    `daily_days` aren't missed.
    """
    today = now.astimezone(UTC).date()
    begin = max(since, today - timedelta(days=daily_days), first_midnight(first))
    end = max(today, min(first_midnight(created_at), today + timedelta(days=1)))
    days = (begin + timedelta(days=number) for number in range(max(0, (end - begin).days)))
    return [day for day in days if day not in recorded]


_REQUEST = text(
    "INSERT INTO repairs AS r (customer_id, since, whole, reason, requested_at) "
    "SELECT customer_id, since, :whole, :reason, :now "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS g(customer_id uuid, since date) ORDER BY customer_id "
    "ON CONFLICT (customer_id) DO UPDATE SET since = least(r.since, excluded.since), "
    "whole = r.whole OR excluded.whole, "
    # Of a whole repair, this is the moment of the first correction that waits.
    "requested_at = CASE WHEN excluded.whole AND NOT r.whole THEN excluded.requested_at ELSE r.requested_at END, "
    "reason = CASE WHEN excluded.whole THEN excluded.reason ELSE r.reason END"
)


async def request_repairs(
    connection: AsyncConnection, since: Mapping[str, date], now: datetime, *, whole: bool, reason: str
) -> None:
    """Ask for the repair of these customers' days, each from its day on; the customers are locked by the caller."""
    if since:
        rows = [{"customer_id": id_, "since": day} for id_, day in sorted(since.items())]
        await connection.execute(
            _REQUEST, {"rows": encode(rows), "whole": whole, "reason": reason, "now": now}
        )


_LOCK = text(
    "SELECT c.id::text FROM customers c JOIN (SELECT customer_id FROM repairs "
    "WHERE customer_id <> ALL(CAST(:but AS uuid[])) ORDER BY requested_at LIMIT 20) r "
    "ON r.customer_id = c.id LIMIT 1 FOR NO KEY UPDATE OF c SKIP LOCKED"
)
_TAKE = text(
    "DELETE FROM repairs WHERE customer_id = CAST(:id AS uuid) "
    "RETURNING customer_id::text, since, whole, requested_at"
)


async def take_repair(connection: AsyncConnection, but: Collection[str] = ()) -> Repair | None:
    """Lock one of the customers who wait longest, other than those in `but`, and take its repair; None: nobody waits."""
    while (found := (await connection.execute(_LOCK, {"but": list(but)})).scalar()) is not None:
        # Another process may have been quicker before the lock was had.
        row = (await connection.execute(_TAKE, {"id": found})).first()
        if row is not None:
            return Repair(row[0], row[1], row[2], row[3].astimezone(UTC))
    return None


async def drop_needless(connection: AsyncConnection, today: date, limit: int) -> int:
    """Forget up to `limit` repairs of days that nobody has looked at yet; returns how many."""
    done = await connection.execute(
        text(
            "DELETE FROM repairs WHERE customer_id IN (SELECT customer_id FROM repairs r WHERE NOT whole "
            "AND since >= :today AND NOT EXISTS (SELECT FROM signal_history h WHERE h.customer_id = r.customer_id "
            "AND h.day >= :today) AND EXISTS (SELECT FROM customers c WHERE c.id = r.customer_id "
            "AND c.created_at <= CAST(:today AS timestamp) AT TIME ZONE 'UTC') LIMIT :limit FOR UPDATE OF r SKIP LOCKED)"
        ),
        {"today": today, "limit": limit},
    )
    return int(done.rowcount)


async def ask_again(connection: AsyncConnection, customer_id: str, now: datetime) -> None:
    """Ask for a look at everything of this customer, whose past is another now."""
    await connection.execute(
        text(
            "INSERT INTO evaluations AS e (customer_id, since, changed, everything) "
            "VALUES (CAST(:id AS uuid), :now, ARRAY[:word], true) ON CONFLICT (customer_id) DO UPDATE SET "
            "everything = true, changed = ARRAY(SELECT DISTINCT unnest(e.changed || excluded.changed))"
        ),
        {"id": customer_id, "now": now, "word": REPAIRED},
    )


async def give_up(
    connection: AsyncConnection, customer_id: str, day: date, code: str, error: str, now: datetime
) -> None:
    """Note that a customer's repair failed, and pass over it."""
    await lock_customers(connection, [customer_id])
    await connection.execute(
        text("DELETE FROM repairs WHERE customer_id = CAST(:id AS uuid)"), {"id": customer_id}
    )
    await connection.execute(
        text(
            "INSERT INTO scoring_failures (day, customer_id, code, error, at) "
            "VALUES (:day, CAST(:id AS uuid), :code, :error, :now) ON CONFLICT (day, customer_id) "
            "DO UPDATE SET code = excluded.code, error = excluded.error, at = excluded.at"
        ),
        {"id": customer_id, "day": day, "code": code, "error": error[:500], "now": now},
    )


async def count_waiting(connection: AsyncConnection) -> int:
    """How many customers wait for a repair."""
    return int((await connection.execute(text("SELECT count(*) FROM repairs"))).scalar_one())
