"""Marks of what a page about one customer or one run shows: where a mark is another, the page is another.

A mark is made of the row versions (xmin) of everything that the page reads, part by part, so that nothing that writes
has to tell of it, and nothing that does can be forgotten. What it costs hangs on who is watched, not on what happens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.addresses import hashes_by_channel
from store.customers import load_customers

# Beyond so many of a day, one more event isn't told; what is known of the customer moves with it all the same.
MOST_EVENTS = 1000


class Watched(NamedTuple):
    """A customer (by the id that callers know) or a run that somebody looks at."""

    kind: Literal["customer", "run"]
    id: str


class Mark(NamedTuple):
    """`parts` by name; `id` is ours, `user_id` the caller's, `run_id` and `playbook` those of a run."""

    id: str
    user_id: str
    run_id: str
    playbook: str
    parts: Mapping[str, str]


def _versions(rows: str) -> str:
    """Of so many rows: one that comes, changes or goes makes another text."""
    return f"(SELECT concat(count(*), '/', sum(x.xmin::text::bigint)) FROM {rows})"


def _own(table: str) -> str:
    return _versions(f"{table} x WHERE x.customer_id = c.id")


def _of_run(table: str) -> str:
    return _versions(f"{table} x WHERE x.run_id = r.id")


_OF_CUSTOMERS: Mapping[str, str] = {
    "profile": "c.xmin::text",
    "signals": _own("signals"),
    # Levels are written by day; those before yesterday's stay as they are.
    "scores": _versions("customer_health x WHERE x.customer_id = c.id AND x.day >= :yesterday"),
    "predictions": _versions("churn_predictions x WHERE x.customer_id = c.id AND x.prediction_date >= :yesterday"),
    "events": "(SELECT count(*)::text FROM (SELECT FROM events x WHERE x.customer_id = c.id AND x.day >= :yesterday "
    f"LIMIT {MOST_EVENTS}) counted)",
    "consent": f"concat({_own('consents')}, ' ', {_own('consent_events')})",
    "messages": _own("deliveries"),
    "replies": _own("inbound_messages"),
    "runs": _own("runs"),
    "steps": _versions("runs r JOIN run_steps x ON x.run_id = r.id WHERE r.customer_id = c.id"),
    "tasks": _own("tasks"),
    "rewards": _own("rewards"),
    "milestones": _own("success_milestones"),
    "erasure": _own("erasures"),
}  # fmt: skip
_OF_RUNS: Mapping[str, str] = {
    "run": "r.xmin::text",
    "steps": _of_run("run_steps"),
    "waits": _of_run("waits"),
    "messages": _of_run("deliveries"),
    "tasks": _of_run("tasks"),
    "rewards": _of_run("rewards"),
    "inbox": _of_run("run_inbox"),
}


def _object(parts: Mapping[str, str]) -> str:
    listed = ", ".join(f"'{name}', {sql}" for name, sql in parts.items())
    return f"jsonb_build_object({listed})"


_READ_CUSTOMERS = text(
    f"SELECT c.id::text AS id, c.external_id, {_object(_OF_CUSTOMERS)} AS parts FROM customers c "
    "WHERE c.external_id = ANY(:names)"
)
_READ_RUNS = text(
    f"SELECT r.id::text AS id, r.playbook, c.external_id, {_object(_OF_RUNS)} AS parts FROM runs r "
    "JOIN customers c ON c.id = r.customer_id WHERE r.id = ANY(CAST(:ids AS uuid[]))"
)
_READ_SUPPRESSIONS = text(
    "SELECT address_hash, string_agg(concat(channel, '/', reason, '/', xmin), ' ' ORDER BY channel, reason) AS mark "
    "FROM suppressions WHERE address_hash = ANY(:hashes) GROUP BY address_hash"
)


class PageMarks:
    """Reads marks; the hashes of addresses are kept from one reading to the next, as far as profiles stay."""

    def __init__(self) -> None:
        self._hashes: dict[str, tuple[str, frozenset[str]]] = {}

    async def read(
        self, connection: AsyncConnection, watched: Collection[Watched], today: date
    ) -> dict[Watched, Mark]:
        """The marks of all of these; who or what isn't there has none."""
        found: dict[Watched, Mark] = {}
        names = sorted({one.id for one in watched if one.kind == "customer"})
        yesterday = today - timedelta(days=1)
        if names:
            rows = await connection.execute(_READ_CUSTOMERS, {"names": names, "yesterday": yesterday})
            marks = {row.external_id: Mark(row.id, row.external_id, "", "", row.parts) for row in rows}
            suppressed = await self._read_suppressions(connection, marks)
            for name, mark in marks.items():
                parts = {**mark.parts, "suppressions": suppressed[mark.id]}
                found[Watched("customer", name)] = mark._replace(parts=parts)
        ids = sorted({one.id for one in watched if one.kind == "run"})
        if ids:
            for row in await connection.execute(_READ_RUNS, {"ids": ids}):
                mark = Mark(row.id, row.external_id, row.id, row.playbook, row.parts)
                found[Watched("run", row.id)] = mark
        return found

    async def _read_suppressions(
        self, connection: AsyncConnection, marks: Mapping[str, Mark]
    ) -> dict[str, str]:
        versions = {mark.id: mark.parts["profile"] for mark in marks.values()}
        known = {
            id_: kept for id_, kept in self._hashes.items() if id_ in versions and kept[0] == versions[id_]
        }
        for id_, customer in (
            await load_customers(connection, sorted(versions.keys() - known.keys()))
        ).items():
            hashes = frozenset(hashed for _, hashed in hashes_by_channel(customer.profile))
            known[id_] = (versions[id_], hashes)
        self._hashes = known
        wanted = sorted({hashed for _, theirs in known.values() for hashed in theirs})
        rows = await connection.execute(_READ_SUPPRESSIONS, {"hashes": wanted}) if wanted else ()
        standing = {row.address_hash: row.mark for row in rows}
        return {
            id_: " ".join(standing[hashed] for hashed in sorted(known[id_][1]) if hashed in standing)
            if id_ in known
            else ""
            for id_ in versions
        }
