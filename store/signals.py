"""Current signals (one row per customer, the core in typed columns) and their history by day."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.condition import Value
from schemas.signal_value import LARGEST_NUMBER, WrongType
from store.database import encode
from store.tables import SIGNAL_COLUMNS


@dataclass(frozen=True, slots=True)
class StoredSignals:
    """One customer's stored signals; `stamps` says for some when the event that set them happened."""

    customer_id: str
    values: Mapping[str, Value] = field(default_factory=dict)
    stamps: Mapping[str, datetime] = field(default_factory=dict)


# Values of the wrong type, core ones too, stand in `custom` under this key; a signal's own value is never an object.
_WRONG = "wrong_type"
LONGEST_WRONG = 100

_COLUMNS = (*SIGNAL_COLUMNS, "custom", "stamps", "changed_at")
_SAVE = text(
    f"INSERT INTO signals (customer_id, {', '.join(_COLUMNS)}) "
    f"SELECT customer_id, {', '.join(_COLUMNS)} FROM jsonb_populate_recordset(NULL::signals, CAST(:rows AS jsonb)) "
    f"ON CONFLICT (customer_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)


_LOAD = text(
    f"SELECT customer_id::text, custom::text, stamps::text, {', '.join(SIGNAL_COLUMNS)} FROM signals "
    "WHERE customer_id = ANY(CAST(:ids AS uuid[]))"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_stamps = msgspec.json.Decoder(dict[str, datetime]).decode
_decode_value = msgspec.json.Decoder().decode
_KINDS = tuple(SIGNAL_COLUMNS.items())


async def load(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, StoredSignals]:
    """Stored signals by customer id; customers without any are left out."""
    rows = await connection.execute(_LOAD, {"ids": list(ids)})
    found: dict[str, StoredSignals] = {}
    for customer_id, custom, stamps, *columns in rows:
        values: dict[str, Value] = _decode(custom)
        for name, given in values.items():
            if isinstance(given, dict):
                values[name] = cast("Value", WrongType(given[_WRONG]))
        for (name, kind), value in zip(_KINDS, columns, strict=True):
            if value is None:
                continue
            if kind == "number":
                whole = int(value)
                values[name] = whole if whole == value else value
            else:
                values[name] = tuple(value) if kind == "list" else value
        found[customer_id] = StoredSignals(customer_id, values, _decode_stamps(stamps))
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
            if isinstance(value, WrongType):
                custom[name] = {_WRONG: _bounded(value.raw)}
            elif name in SIGNAL_COLUMNS:
                record[name] = value
            else:
                custom[name] = value
        record["custom"] = custom
        records.append(record)
    await connection.execute(_SAVE, {"rows": encode(records)})


def _bounded(raw: Any) -> Any:
    """What was given where another type belongs, no longer than an explanation needs; nothing compares it."""
    if isinstance(raw, bool) or (isinstance(raw, int | float) and -LARGEST_NUMBER <= raw <= LARGEST_NUMBER):
        return raw
    return (raw if isinstance(raw, str) else repr(raw))[:LONGEST_WRONG]


# A customer has hundreds of tallies: one text of them reaches Python for a tenth of the price of a row each. The
# detail, the caller's own text, comes last, so that it may hold a field's separator; a record's is taken out of it.
_FIELD, _RECORD = "\x1f", "\x1e"
_LOAD_TALLIES = text(
    "SELECT customer_id::text, "
    "string_agg(concat_ws(:field, day, count, total, name, replace(detail, :record, :field)), :record) "
    "FROM tallies WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since GROUP BY customer_id"
)


async def load_tallies(
    connection: AsyncConnection, ids: Sequence[str], since: date
) -> dict[str, list[tuple[str, str, date, int, float]]]:
    """(name, detail, day, count, total) per customer, from day `since` on, in no order."""
    rows = await connection.execute(
        _LOAD_TALLIES, {"ids": list(ids), "since": since, "field": _FIELD, "record": _RECORD}
    )
    return {
        customer_id: [_read_tally(one) for one in tallies.split(_RECORD)] for customer_id, tallies in rows
    }


# Customers do the same things on the same days: most of what is read has been read before.
@lru_cache(maxsize=50_000)
def _read_tally(written: str) -> tuple[str, str, date, int, float]:
    day, count, total, name, detail = written.split(_FIELD, 4)
    return name, detail, date.fromisoformat(day), int(count), float(total)


async def load_history(
    connection: AsyncConnection, ids: Sequence[str], names: Collection[str], since: date
) -> dict[str, dict[str, list[tuple[date, Value]]]]:
    """The daily values of `names` per customer, in order of day, from day `since` on."""
    if not names:
        return {}
    wanted = sorted(names)
    # Picked and gathered in the database: a day's row holds every signal, and only these are read.
    picked = ", ".join(f"array_agg(day || :field || (values -> :name{i})::text)" for i in range(len(wanted)))
    rows = await connection.execute(
        text(
            f"SELECT customer_id::text, {picked} FROM signal_history "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since GROUP BY customer_id"
        ),
        {"ids": list(ids), "since": since, "field": _FIELD}
        | {f"name{i}": name for i, name in enumerate(wanted)},
    )
    return {
        customer_id: {
            name: sorted((_read_day(written) for written in days if written), key=itemgetter(0))
            for name, days in zip(wanted, series, strict=True)
        }
        for customer_id, *series in rows
    }


@lru_cache(maxsize=50_000)
def _read_day(written: str) -> tuple[date, Value]:
    day, _, value = written.partition(_FIELD)
    return date.fromisoformat(day), _decode_value(value)


async def record_day(
    connection: AsyncConnection, day: date, values: Mapping[str, Mapping[str, Value]], known_at: datetime
) -> None:
    """Write these customers' values for `day`, unless the day has some.

    A day's value stands at the day's midnight (UTC), so the first that is known of it is the nearest, and of a
    customer who came during the day there is none. Values of the wrong type are left out: such a day is a gap.
    """
    if not values:
        return
    await connection.execute(
        text(
            "INSERT INTO signal_history (customer_id, day, values, known_at) "
            "SELECT r.customer_id, :day, r.values, :known_at "
            "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(customer_id uuid, values jsonb) "
            "JOIN customers c ON c.id = r.customer_id AND c.created_at <= CAST(:day AS timestamp) AT TIME ZONE 'UTC' "
            "ON CONFLICT (customer_id, day) DO NOTHING"
        ),
        {
            "day": day,
            "known_at": known_at.astimezone(UTC),
            "rows": encode(
                [
                    {
                        "customer_id": id_,
                        "values": {n: v for n, v in given.items() if not isinstance(v, WrongType)},
                    }
                    for id_, given in values.items()
                ]
            ),
        },
    )
