"""Who is to be evaluated, and when: the queue between intake, time and the evaluator."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.asking import fetch
from store.database import encode


@dataclass(frozen=True, slots=True)
class Request:
    """One customer to look at: names of the events and signals that changed, or everything (the daily pass).

    traceparent: the trace that asked for it last (W3C Trace Context), where there is one.
    """

    customer_id: str
    since: datetime
    changed: frozenset[str]
    everything: bool
    traceparent: str | None = None


# Of whom so many times as are taken are looked at, as some are locked.
LOOKED = 10
# Asked under the locks: for whom is to be erased nothing is decided any more.
_TAKE = text(
    "WITH taken AS (DELETE FROM evaluations WHERE customer_id = ANY(CAST(:ids AS uuid[])) "
    "RETURNING customer_id, since, changed, everything, traceparent) "
    "SELECT customer_id::text, since, changed, everything, traceparent FROM taken t "
    "WHERE NOT EXISTS (SELECT FROM erasures e WHERE e.customer_id = t.customer_id)"
)


async def take_requests(connection: AsyncConnection, limit: int) -> list[Request]:
    """Take up to `limit` requests, those who wait longest first; their customers are locked before, without waiting: no
    deadlock with intake is possible.
    """
    # Whoever is locked at this moment is passed over, and doesn't count: else few would be left of those who waited
    # longest while intake is busy with the same, and the two would take turns instead of working at once.
    rows = await fetch(
        connection,
        "SELECT l.id::text FROM "
        f"(SELECT customer_id FROM evaluations ORDER BY since LIMIT {limit * LOOKED}) e CROSS JOIN LATERAL "
        f"(SELECT id FROM customers WHERE id = e.customer_id FOR NO KEY UPDATE SKIP LOCKED) l LIMIT {limit:d}",
        {},
    )
    ids = [id_ for (id_,) in rows]
    if not ids:
        return []
    taken = await connection.execute(_TAKE, {"ids": ids})
    requests = [
        Request(customer_id, since, frozenset(changed), everything, trace)
        for customer_id, since, changed, everything, trace in taken
    ]
    return sorted(requests, key=lambda request: (request.since, request.customer_id))


async def put_behind(connection: AsyncConnection, customer_id: str, now: datetime) -> None:
    """Have all who wait now be looked at before this customer."""
    await connection.execute(
        text("UPDATE evaluations SET since = :now WHERE customer_id = CAST(:customer AS uuid)"),
        {"customer": customer_id, "now": now},
    )


async def request_everything(
    connection: AsyncConnection, now: datetime, *, customer_id: str | None = None
) -> int:
    """Ask for a look at everybody (or one customer), whatever changed; returns how many."""
    done = await connection.execute(
        text(
            "INSERT INTO evaluations (customer_id, since, changed, everything) "
            "SELECT id, :now, '{}', true FROM customers WHERE CAST(:customer AS uuid) IS NULL OR id = :customer "
            "ORDER BY id ON CONFLICT (customer_id) DO UPDATE SET everything = true"
        ),
        {"now": now, "customer": customer_id},
    )
    return int(done.rowcount)


async def request_one(connection: AsyncConnection, now: datetime, customer_id: str) -> None:
    """Ask for a look at what may have changed of one customer."""
    await connection.execute(
        text(
            "INSERT INTO evaluations (customer_id, since, changed) VALUES (CAST(:customer AS uuid), :now, '{}') "
            "ON CONFLICT (customer_id) DO NOTHING"
        ),
        {"now": now, "customer": customer_id},
    )


async def request_some(connection: AsyncConnection, now: datetime, after: str, limit: int) -> str | None:
    """Ask for a look at the next `limit` customers by id after `after`; returns the last of them, None at the end."""
    rows = await connection.execute(
        text(
            "WITH page AS (SELECT id FROM customers WHERE id > CAST(:after AS uuid) ORDER BY id LIMIT :limit), "
            "asked AS (INSERT INTO evaluations (customer_id, since, changed, everything) "
            "SELECT id, :now, '{}', true FROM page ORDER BY id "
            "ON CONFLICT (customer_id) DO UPDATE SET everything = true) "
            "SELECT count(*) AS n, (SELECT id::text FROM page ORDER BY id DESC LIMIT 1) AS last FROM page"
        ),
        {"after": after, "limit": limit, "now": now},
    )
    row = rows.one()
    return row.last if row.n == limit else None


async def request_kept_out(connection: AsyncConnection, now: datetime, playbooks: Sequence[str]) -> int:
    """Ask for a look at those whom a rule other than the condition keeps out of `playbooks`; returns how many."""
    done = await connection.execute(
        text(
            "INSERT INTO evaluations (customer_id, since, changed, everything) "
            "SELECT customer_id, coalesce(min(at) FILTER (WHERE reason = 'waiting'), :now), '{}', true "
            "FROM standings WHERE playbook = ANY(:playbooks) "
            "AND reason IN ('waiting', 'again_rule', 'entries', 'group', 'no_consent') "
            "GROUP BY customer_id ORDER BY customer_id "
            "ON CONFLICT (customer_id) DO UPDATE SET everything = true, "
            "since = least(evaluations.since, excluded.since)"
        ),
        {"playbooks": list(playbooks), "now": now},
    )
    return int(done.rowcount)


async def set_due(
    connection: AsyncConnection, moments: Mapping[str, datetime | None], *, partly: Collection[str] = ()
) -> None:
    """When each of these customers is to be looked at again because of time alone (None: not).

    For the customers in `partly` an earlier moment that is set already stays: it may be another playbook's.
    """
    never = [customer for customer, at in moments.items() if at is None and customer not in partly]
    if never:
        await connection.execute(_NEVER_DUE, {"ids": never})
    rows = [
        {"customer_id": customer, "at": at, "partly": customer in partly}
        for customer, at in moments.items()
        if at is not None
    ]
    if rows:
        await connection.execute(_SET_DUE, {"rows": encode(rows)})


_NEVER_DUE = text("DELETE FROM due WHERE customer_id = ANY(CAST(:ids AS uuid[]))")
# Rows that say so already aren't written again.
_SET_DUE = text(
    "WITH given AS (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
    "AS r(customer_id uuid, at timestamptz, partly boolean)) "
    "INSERT INTO due AS d (customer_id, at) SELECT g.customer_id, g.at FROM given g LEFT JOIN due k USING (customer_id) "
    "WHERE k.at IS NULL OR g.at < k.at OR (g.at > k.at AND NOT g.partly) "
    "ON CONFLICT (customer_id) DO UPDATE SET at = excluded.at"
)


async def queue_due(connection: AsyncConnection, now: datetime, limit: int) -> int:
    """Move customers whose moment has come into the queue; returns how many.

    Who waits for a place under an entry limit is queued as of when that began: first come, first served.
    """
    rows = await connection.execute(
        text(
            "WITH come AS (DELETE FROM due WHERE customer_id IN (SELECT customer_id FROM due WHERE at <= :now "
            "ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING customer_id) "
            "INSERT INTO evaluations (customer_id, since, changed, everything) "
            "SELECT customer_id, coalesce((SELECT min(at) FROM standings s WHERE s.customer_id = come.customer_id "
            "AND s.reason = 'waiting'), :now), '{}', true FROM come ORDER BY customer_id "
            "ON CONFLICT (customer_id) DO UPDATE SET everything = true, "
            "since = least(evaluations.since, excluded.since) RETURNING 1"
        ),
        {"now": now, "limit": limit},
    )
    return len(rows.all())


async def next_due(connection: AsyncConnection) -> datetime | None:
    """The earliest moment that somebody is due at."""
    return (await connection.execute(text("SELECT min(at) FROM due"))).scalar()


async def count_waiting(connection: AsyncConnection) -> int:
    """How many requests wait."""
    return int((await connection.execute(text("SELECT count(*) FROM evaluations"))).scalar_one())


async def mark_upkeep(connection: AsyncConnection, name: str, at: datetime, day_start: datetime) -> bool:
    """Be the one who does `name` for the day that began at `day_start`; False if somebody did."""
    done = await connection.execute(
        text(
            "INSERT INTO upkeep (name, at) VALUES (:name, :at) "
            "ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE upkeep.at < :start"
        ),
        {"name": name, "at": at, "start": day_start},
    )
    return bool(done.rowcount)


# What has been looked at for the present state of a playbook's entry rules is remembered among the upkeep.
_LOOKED = "looked"


async def load_looked(connection: AsyncConnection) -> set[tuple[str, str, str]]:
    """(what, playbook, digest) of all that customers have been looked at for."""
    rows = await connection.execute(
        text("SELECT name FROM upkeep WHERE name LIKE :pattern"), {"pattern": f"{_LOOKED}/%"}
    )
    parts = (row.name.split("/") for row in rows)
    return {(what, playbook, digest) for _, what, playbook, digest in parts}


async def mark_looked(
    connection: AsyncConnection, looked: Collection[tuple[str, str, str]], now: datetime
) -> None:
    """Customers have been looked at for these (what, playbook, digest); what was before is forgotten."""
    for what, playbook, digest in sorted(looked):
        prefix = f"{_LOOKED}/{what}/{playbook}/"
        await connection.execute(
            text("DELETE FROM upkeep WHERE starts_with(name, :prefix)"), {"prefix": prefix}
        )
        await connection.execute(
            text("INSERT INTO upkeep (name, at) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING"),
            {"name": prefix + digest, "now": now},
        )
