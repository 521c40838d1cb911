"""Current signals (one row per customer, the core in typed columns) and their history by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from store.database import encode
from store.tables import SIGNAL_COLUMNS


@dataclass(frozen=True, slots=True)
class StoredSignals:
    """One customer's stored signals; `stamps` says for some when the event that set them happened."""

    customer_id: str
    values: Mapping[str, Value] = field(default_factory=dict)
    stamps: Mapping[str, datetime] = field(default_factory=dict)


_COLUMNS = (*SIGNAL_COLUMNS, "custom", "stamps", "changed_at")
_SAVE = text(
    f"INSERT INTO signals (customer_id, {', '.join(_COLUMNS)}) "  # noqa: S608 - our own column names
    f"SELECT customer_id, {', '.join(_COLUMNS)} FROM jsonb_populate_recordset(NULL::signals, CAST(:rows AS jsonb)) "
    f"ON CONFLICT (customer_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)


async def load(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, StoredSignals]:
    """Stored signals by customer id; customers without any are left out."""
    rows = await connection.execute(
        text("SELECT * FROM signals WHERE customer_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    )
    found: dict[str, StoredSignals] = {}
    for row in rows.mappings():
        values: dict[str, Value] = dict(row["custom"])
        for name, kind in SIGNAL_COLUMNS.items():
            value = row[name]
            if value is None:
                continue
            if kind == "number" and value == int(value):
                value = int(value)
            elif kind == "list":
                value = tuple(value)
            values[name] = value
        stamps = {name: datetime.fromisoformat(at) for name, at in row["stamps"].items()}
        customer_id = str(row["customer_id"])
        found[customer_id] = StoredSignals(customer_id, values, stamps)
    return found


async def save(connection: AsyncConnection, rows: Sequence[StoredSignals], at: datetime) -> None:
    """Write whole rows (the customers are locked by the caller)."""
    if not rows:
        return
    records = []
    for row in rows:
        record: dict[str, Any] = {"customer_id": row.customer_id, "changed_at": at, "stamps": row.stamps}
        custom: dict[str, Any] = {}
        for name, value in row.values.items():
            if name in SIGNAL_COLUMNS:
                record[name] = value
            else:
                custom[name] = value
        record["custom"] = custom
        records.append(record)
    await connection.execute(_SAVE, {"rows": encode(records)})


async def load_tallies(
    connection: AsyncConnection, ids: Sequence[str], since: date
) -> dict[str, list[tuple[str, str, date, int, float]]]:
    """(name, detail, day, count, total) per customer, from day `since` on."""
    rows = await connection.execute(
        text(
            "SELECT customer_id, name, detail, day, count, total FROM tallies "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since"
        ),
        {"ids": list(ids), "since": since},
    )
    found: dict[str, list[tuple[str, str, date, int, float]]] = defaultdict(list)
    for row in rows:
        found[str(row[0])].append((row[1], row[2], row[3], row[4], row[5]))
    return found


async def load_history(
    connection: AsyncConnection, ids: Sequence[str], names: Collection[str], since: date
) -> dict[str, dict[str, list[tuple[date, Value]]]]:
    """The daily values of `names` per customer, in order of day, from day `since` on."""
    if not names:
        return {}
    wanted = sorted(names)
    # Picked and gathered in the database: a day's row holds every signal, and only these are read.
    picked = ", ".join(f"jsonb_agg(values -> :name{i} ORDER BY day) AS values{i}" for i in range(len(wanted)))
    rows = await connection.execute(
        text(
            f"SELECT customer_id, array_agg(day ORDER BY day) AS days, {picked} FROM signal_history "  # noqa: S608
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since GROUP BY customer_id"
        ),
        {"ids": list(ids), "since": since} | {f"name{i}": name for i, name in enumerate(wanted)},
    )
    return {
        str(row.customer_id): {
            name: [(day, value) for day, value in zip(row.days, series, strict=True) if value is not None]
            for name, series in zip(wanted, row[2:], strict=True)
        }
        for row in rows
    }


async def record_day(
    connection: AsyncConnection, day: date, values: Mapping[str, Mapping[str, Value]], known_at: datetime
) -> None:
    """Write (or correct) these customers' values for `day`."""
    if not values:
        return
    await connection.execute(
        text(
            "INSERT INTO signal_history (customer_id, day, values, known_at) "
            "SELECT customer_id, :day, values, :known_at "
            "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id uuid, values jsonb) "
            "ON CONFLICT (customer_id, day) DO UPDATE SET values = excluded.values, known_at = excluded.known_at"
        ),
        {
            "day": day,
            "known_at": known_at.astimezone(UTC),
            "rows": encode([{"customer_id": id_, "values": dict(v)} for id_, v in values.items()]),
        },
    )
