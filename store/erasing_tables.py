"""What of a customer lies in which table, and taking it away.

Every table is in exactly one group; a test compares them with all the tables there are, so that a new one can't be
forgotten: those with a `customer_id` or a `run_id` find themselves in their group, the others are named here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.addresses import ADDRESS_TRAITS
from store.customers import load_customers
from store.erasing import count_rows, load_erasure
from store.erasing_names import Names, names_of
from store.tables import metadata

# The tombstones themselves.
TOMBSTONES = "erasures"
# Outlive their customer under an id that is nobody's, after this change: what people may have written goes.
KEPT: Mapping[str, str] = {
    "exposures": "",
    "intervention_executions": ", trigger_reason = '', outcome_notes = '', improvement_metrics = ("
    "SELECT coalesce(jsonb_object_agg(key, value), '{}'::jsonb) FROM jsonb_each(improvement_metrics) "
    "WHERE jsonb_typeof(value) IN ('number', 'boolean', 'null'))",
}
# Their words that aren't people's: names of what is declared.
KEPT_WORDS = frozenset({"experiment", "variant", "playbook", "version", "arm", "outcome"})
# Rows of anybody's that may name a customer, and what becomes of those that do; `{x}` is where the name may stand.
DROP, BLANK = "drop", "blank"
NAMING: Mapping[str, tuple[str, str]] = {
    "alerts": (DROP, "message || ' ' || detail::text"),
    "audit_log": (
        BLANK,
        "object_id || ' ' || coalesce(before::text, '') || ' ' || coalesce(after::text, '')",
    ),
    "comparisons": (BLANK, "differences::text"),
    "dead_letters": (DROP, "body || ' ' || reason"),
    "hook_requests": (DROP, "encode(body, 'escape') || ' ' || query || ' ' || coalesce(error, '')"),
    "providers": (BLANK, "reason"),
    "saved_views": (DROP, "name || ' ' || query::text"),
}
_BLANKED: Mapping[str, str] = {
    "audit_log": "object_id = CASE WHEN object_id ~* :names THEN 'erased' ELSE object_id END, before = NULL, after = NULL",
    "comparisons": "differences = '[]'::jsonb",
    "providers": "reason = ''",
}
# Found by way of a customer's other rows.
BY_OTHERS = ("event_ids", "delivery_reports")
# Of the customer's own table; suppressed hashes outlive it (docs/decisions/0011).
OWN = "customers"
# Hold nothing of customers: what is declared, counted over all, of people who work here, or of the machinery.
NOTHING = frozenset(
    {
        "api_keys", "churn_models", "decision_counts", "file_problems", "governance", "model_reports", "people",
        "playbook_versions", "playbooks", "population_runs", "population_shards", "publications", "sessions",
        "sign_in_failures", "sign_in_links", "suppression_lifts", "suppressions", "team_turns", "upkeep",
    }
)  # fmt: skip
# Grow without end: emptied in pieces before the rest goes at once. Each with its key.
LONG: Mapping[str, tuple[str, ...]] = {
    "events": ("day", "source", "message_id"),
    "tallies": ("customer_id", "day", "name", "detail"),
    "signal_history": ("customer_id", "day", "revision"),
    "customer_health": ("customer_id", "day"),
    "churn_predictions": ("customer_id", "prediction_date"),
    "decisions": ("id", "at"),
}
AT_ONCE = 20_000


def tables_of_customers() -> list[Table]:
    """Tables with a `customer_id` that are emptied of a customer, those that others point to last."""
    return [
        table
        for table in reversed(metadata.sorted_tables)
        if "customer_id" in table.c and table.name not in KEPT and table.name != TOMBSTONES
    ]


def tables_of_runs() -> list[Table]:
    """Tables that know a customer by their run alone."""
    return [
        table
        for table in reversed(metadata.sorted_tables)
        if "run_id" in table.c and "customer_id" not in table.c and table.name not in BY_OTHERS
    ]


def _lasting_tables() -> list[Table]:
    """Those of them whose rows don't go with the customer's own row: somebody may have written one afterwards."""
    return [
        table
        for table in tables_of_customers()
        if not any(key.column.table.name == OWN for key in table.c.customer_id.foreign_keys)
    ]


async def purge_names(connection: AsyncConnection, erasure_id: str) -> None:
    """Take the customer out of rows of anybody's, while it can still be said what they are called, and once were."""
    erasure = await load_erasure(connection, erasure_id)
    id_ = erasure.customer_id
    customer = (await load_customers(connection, [id_])).get(id_)
    if customer is None:
        return
    written = await connection.execute(
        text(
            "SELECT DISTINCT address_hash FROM deliveries WHERE customer_id = CAST(:id AS uuid) AND address_hash IS NOT NULL"
        ),
        {"id": id_},
    )
    once = await connection.execute(
        text(_ONCE), {"id": id_, "traits": sorted(set(ADDRESS_TRAITS.values()) - {"push_token"})}
    )
    # Whatever is too short to be an address would take others' rows along.
    earlier = [row.value for row in once if row.value and len(row.value) >= 6]
    names = names_of(customer, earlier, [row.address_hash for row in written])
    await count_rows(connection, erasure_id, await _purge_names(connection, erasure_id, names))


_ONCE = (
    "SELECT DISTINCT value FROM (SELECT properties -> 'traits' ->> trait AS value FROM events, unnest(CAST(:traits AS text[])) trait "
    "WHERE customer_id = CAST(:id AS uuid) AND name IN ('identify', 'group') UNION ALL "
    "SELECT properties ->> trait FROM events, unnest(CAST(:traits AS text[])) trait "
    "WHERE customer_id = CAST(:id AS uuid) AND name IN ('identify', 'group')) said"
)


async def purge_piece(connection: AsyncConnection, erasure_id: str, customer_id: str, table: str) -> bool:
    """Take a piece of the customer's rows out of a long table; whether there may be more."""
    if table == "events":
        # Their ids go with them: what remembers an id without its event remembers that somebody did something.
        found = await connection.execute(
            text(
                "WITH picked AS (SELECT day, source, message_id FROM events WHERE customer_id = CAST(:id AS uuid) LIMIT :n), "
                "gone AS (DELETE FROM events e USING picked p WHERE (e.day, e.source, e.message_id) = "
                "(p.day, p.source, p.message_id) RETURNING e.source, e.message_id), "
                "ids AS (DELETE FROM event_ids i USING gone g WHERE (i.source, i.message_id) = (g.source, g.message_id) "
                "RETURNING 1) SELECT (SELECT count(*) FROM gone) AS rows, (SELECT count(*) FROM ids) AS ids"
            ),
            {"id": customer_id, "n": AT_ONCE},
        )
        row = found.one()
        await count_rows(connection, erasure_id, {"events": row.rows, "event_ids": row.ids})
        return bool(row.rows == AT_ONCE)
    key = ", ".join(LONG[table])
    done = await connection.execute(
        text(
            f"DELETE FROM {table} WHERE customer_id = CAST(:id AS uuid) AND ({key}) IN "
            f"(SELECT {key} FROM {table} WHERE customer_id = CAST(:id AS uuid) LIMIT :n)"
        ),
        {"id": customer_id, "n": AT_ONCE},
    )
    await count_rows(connection, erasure_id, {table: done.rowcount})
    return done.rowcount == AT_ONCE


async def purge_rest(connection: AsyncConnection, erasure_id: str) -> bool:
    """Everything that is left of the customer, their own row included, at once; the erasure is done. False if it was."""
    erasure = await load_erasure(connection, erasure_id, lock=True)
    if erasure.state != "erasing":
        return False
    id_ = erasure.customer_id
    # As deleting the row does: it waits for whoever is at it, and whoever comes after finds nothing.
    await connection.execute(
        text("SELECT 1 FROM customers WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": id_}
    )
    counts: dict[str, int] = {}
    counts["delivery_reports"] = await _change(
        connection,
        "DELETE FROM delivery_reports p USING deliveries d WHERE d.customer_id = CAST(:id AS uuid) AND "
        "(p.delivery_id = d.id OR (p.provider = d.provider AND p.provider_id = d.provider_id))",
        {"id": id_},
    )
    customer = (await load_customers(connection, [id_])).get(id_)
    if customer is not None:
        names = names_of(customer)
        for name, changed in (await _purge_names(connection, erasure_id, names)).items():
            counts[name] = counts.get(name, 0) + changed
    await _keep_counts(connection, id_)
    for table in tables_of_runs():
        counts[table.name] = await _change(
            connection,
            f"DELETE FROM {table.name} WHERE run_id IN (SELECT id FROM runs WHERE customer_id = CAST(:id AS uuid))",
            {"id": id_},
        )
    for table in tables_of_customers():
        counts[table.name] = counts.get(table.name, 0) + await _change(
            connection, f"DELETE FROM {table.name} WHERE customer_id = CAST(:id AS uuid)", {"id": id_}
        )
    counts[OWN] = await _change(connection, "DELETE FROM customers WHERE id = CAST(:id AS uuid)", {"id": id_})
    await count_rows(connection, erasure_id, counts)
    await connection.execute(
        text(
            "UPDATE erasures SET state = 'done', finished_at = clock_timestamp(), detail = detail - 'left' - 'not_before' "
            "WHERE id = :id"
        ),
        {"id": erasure_id},
    )
    return True


async def _purge_names(connection: AsyncConnection, erasure_id: str, names: Names) -> dict[str, int]:
    counts = {}
    for table, (what, where) in NAMING.items():
        order = f"DELETE FROM {table}" if what == DROP else f"UPDATE {table} SET {_BLANKED[table]}"
        # Under our id alone it stays on record what was done with them: it says of nobody who they are.
        ours = "" if table == "audit_log" else f" OR strpos({where}, :id) > 0"
        counts[table] = await _change(
            connection,
            f"{order} WHERE ({where}) ~* :names{ours}",
            {"names": names.pattern} | ({"id": names.customer_id} if ours else {}),
        )
    counts["inbound_messages"] = await _change(
        connection,
        "DELETE FROM inbound_messages WHERE customer_id IS NULL AND address_hash = ANY(:hashes)",
        {"hashes": list(names.hashes)},
    )
    await connection.execute(
        text("UPDATE erasures SET reason = '' WHERE id = :id AND reason ~* :names"),
        {"id": erasure_id, "names": names.pattern},
    )
    return counts


async def _keep_counts(connection: AsyncConnection, customer_id: str) -> None:
    """Give what the counts are made of an id that nobody has; it is written down nowhere."""
    nobody = str(uuid.uuid4())
    for table, change in KEPT.items():
        await connection.execute(
            text(f"UPDATE {table} SET customer_id = :nobody{change} WHERE customer_id = CAST(:id AS uuid)"),
            {"nobody": nobody, "id": customer_id},
        )


async def sweep(connection: AsyncConnection, customer_ids: Iterable[str]) -> int:
    """Rows of customers who are gone, written by whoever had read them before; how many there were."""
    ids = list(customer_ids)
    total = 0
    for table in _lasting_tables():
        total += await _change(
            connection,
            f"DELETE FROM {table.name} t WHERE t.customer_id = ANY(CAST(:ids AS uuid[])) "
            "AND NOT EXISTS (SELECT FROM customers c WHERE c.id = t.customer_id)",
            {"ids": ids},
        )
    return total


async def _change(connection: AsyncConnection, sql: str, given: Mapping[str, object]) -> int:
    done = await connection.execute(text(sql), given)
    return int(done.rowcount)


async def count_customer(connection: AsyncConnection, customer_id: str) -> dict[str, int]:
    """How many rows of each table are the customer's, those with none left out."""
    counts = {}
    for table in sorted(tables_of_customers(), key=lambda one: one.name):
        found = await connection.execute(
            text(f"SELECT count(*) FROM {table.name} WHERE customer_id = CAST(:id AS uuid)"),
            {"id": customer_id},
        )
        if count := int(found.scalar_one()):
            counts[table.name] = count
    return counts
