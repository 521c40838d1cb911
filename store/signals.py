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
from store.asking import fetch, perform
from store.database import encode
from store.tables import SIGNAL_COLUMNS
from store.tables.customers import DATE, NUMBER, TIME


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
_SAVE = (
    f"INSERT INTO signals (customer_id, {', '.join(_COLUMNS)}) "
    f"SELECT customer_id, {', '.join(_COLUMNS)} FROM jsonb_populate_recordset(NULL::signals, CAST(%(rows)s AS jsonb)) "
    f"ON CONFLICT (customer_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)


_LOAD = (
    f"SELECT customer_id::text, custom::text, stamps::text, {', '.join(SIGNAL_COLUMNS)} FROM signals "
    "WHERE customer_id = ANY(CAST(%(ids)s AS uuid[]))"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_stamps = msgspec.json.Decoder(dict[str, datetime]).decode
_decode_value = msgspec.json.Decoder().decode
_KINDS = tuple(SIGNAL_COLUMNS.items())


async def load(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, StoredSignals]:
    """Stored signals by customer id; customers without any are left out."""
    rows = await fetch(connection, _LOAD, {"ids": list(ids)})
    return {customer_id: read_stored(customer_id, *columns) for customer_id, *columns in rows}


# What `read_stored` reads, in its order.
STORED_COLUMNS = ("custom::text", "stamps::text", *SIGNAL_COLUMNS)


def read_stored(customer_id: str, custom: str, stamps: str, *columns: Any) -> StoredSignals:
    """The stored signals in a row of `STORED_COLUMNS`."""
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
    return StoredSignals(customer_id, values, _decode_stamps(stamps))


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
    await perform(connection, _SAVE, {"rows": encode(records)})


def _bounded(raw: Any) -> Any:
    """What was given where another type belongs, no longer than an explanation needs; nothing compares it."""
    if isinstance(raw, bool) or (isinstance(raw, int | float) and -LARGEST_NUMBER <= raw <= LARGEST_NUMBER):
        return raw
    return (raw if isinstance(raw, str) else repr(raw))[:LONGEST_WRONG]


# A customer has hundreds of tallies: one text of them reaches Python for a tenth of the price of a row each. The
# detail, the caller's own text, comes last, so that it may hold a field's separator; a record's is taken out of it.
_FIELD, _RECORD = "\x1f", "\x1e"
# The separators are written into it, as statements of other modules use it, too.
WRITTEN_TALLIES = (
    "string_agg(concat_ws(E'\\x1f', day, count, total, name, replace(detail, E'\\x1e', E'\\x1f')), E'\\x1e')"
)
_LOAD_TALLIES = text(
    f"SELECT customer_id::text, {WRITTEN_TALLIES} "
    "FROM tallies WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since GROUP BY customer_id"
)


async def load_tallies(
    connection: AsyncConnection, ids: Sequence[str], since: date
) -> dict[str, list[tuple[str, str, date, int, float]]]:
    """(name, detail, day, count, total) per customer, from day `since` on, in no order."""
    rows = await connection.execute(_LOAD_TALLIES, {"ids": list(ids), "since": since})
    return {customer_id: read_tallies(tallies) for customer_id, tallies in rows}


def read_tallies(written: str | None) -> list[tuple[str, str, date, int, float]]:
    """One customer's tallies out of `WRITTEN_TALLIES`."""
    return [_read_tally(one) for one in written.split(_RECORD)] if written else []


# Customers do the same things on the same days: most of what is read has been read before.
@lru_cache(maxsize=50_000)
def _read_tally(written: str) -> tuple[str, str, date, int, float]:
    day, count, total, name, detail = written.split(_FIELD, 4)
    return name, detail, date.fromisoformat(day), int(count), float(total)


async def load_history(
    connection: AsyncConnection,
    ids: Sequence[str],
    names: Collection[str],
    since: date,
    *,
    known_by: datetime | None = None,
    as_first_known: bool = False,
) -> dict[str, dict[str, list[tuple[date, Value]]]]:
    """The daily values of `names` per customer, in order of day, from day `since` on, as they are known now.

    `known_by` leaves out what became known after that moment, `as_first_known` every repair.
    """
    if not names:
        return {}
    wanted = sorted(names)
    # Gathered in the database: one text per signal reaches Python for a fraction of the price of a row per day. A
    # repair can take a value away, so its empty days are read, too.
    picked: list[str] = []
    given: dict[str, str] = {}
    for i, name in enumerate(wanted):
        value = pick_day(name, f"name{i}")
        given |= {f"name{i}": name} if name not in SIGNAL_COLUMNS else {}
        picked.append(
            f"array_agg(concat(day, CAST(:field AS text), revision, CAST(:field AS text), {value})) "
            f"FILTER (WHERE {value} IS NOT NULL OR revision > 0)"
        )
    rows = await connection.execute(
        text(
            f"SELECT customer_id::text, {', '.join(picked)} FROM signal_history "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day >= :since "
            + ("AND known_at <= :known_by " if known_by else "")
            + ("AND revision = 0 " if as_first_known else "")
            + "GROUP BY customer_id"
        ),
        {"ids": list(ids), "since": since, "field": _FIELD}
        | ({"known_by": known_by} if known_by else {})
        | given,
    )
    return {
        customer_id: {
            name: _read_days(days, SIGNAL_COLUMNS.get(name, "")) if days else []
            for name, days in zip(wanted, series, strict=True)
        }
        for customer_id, *series in rows
    }


def pick_day(name: str, parameter: str) -> str:
    """SQL for one signal's value in a row of signal_history, as JSON; `parameter` gives a custom one's name."""
    if name not in SIGNAL_COLUMNS:
        return f"(custom -> CAST(:{parameter} AS text))"
    return name if SIGNAL_COLUMNS[name] == NUMBER else f"to_jsonb({name})"


def read_value(written: Any, kind: str) -> Value:
    """A value as JSON has it, as one of a column of this `kind` (empty: of a custom signal)."""
    if kind == NUMBER:
        whole = int(written)
        return whole if whole == written else cast("Value", written)
    if kind == TIME:
        return datetime.fromisoformat(written).astimezone(UTC)
    if kind == DATE:
        return date.fromisoformat(written)
    return cast("Value", tuple(written) if isinstance(written, list) else written)


def _read_days(days: Sequence[str], kind: str) -> list[tuple[date, Value]]:
    # In order of revision within a day, so that the highest stands.
    found = {
        day: value for day, _, value in sorted((_read_day(one, kind) for one in days), key=itemgetter(0, 1))
    }
    return [(day, value) for day, value in found.items() if value is not None]


@lru_cache(maxsize=50_000)
def _read_day(written: str, kind: str) -> tuple[date, int, Value | None]:
    day, revision, value = written.split(_FIELD, 2)
    return (
        date.fromisoformat(day),
        int(revision),
        read_value(_decode_value(value), kind) if value else None,
    )


# A day's row has the columns of the current ones.
DAY_COLUMNS = ("customer_id", "day", "revision", "known_at", "custom", *SIGNAL_COLUMNS)
_RECORD_DAY = text(
    f"INSERT INTO signal_history ({', '.join(DAY_COLUMNS)}) SELECT {', '.join(f'r.{name}' for name in DAY_COLUMNS)} "
    "FROM jsonb_populate_recordset(NULL::signal_history, CAST(:rows AS jsonb)) r "
    "JOIN customers c ON c.id = r.customer_id AND c.created_at <= CAST(:day AS timestamp) AT TIME ZONE 'UTC' "
    "ON CONFLICT DO NOTHING"
)


def day_record(
    customer_id: str, day: date, values: Mapping[str, Value], known_at: datetime, revision: int = 0
) -> dict[str, Any]:
    """A row of signal_history. Values of the wrong type are left out: such a day is a gap."""
    record: dict[str, Any] = {
        "customer_id": customer_id,
        "day": day,
        "revision": revision,
        "known_at": known_at.astimezone(UTC),
    }
    custom: dict[str, Value] = {}
    for name, value in values.items():
        if not isinstance(value, WrongType):
            (record if name in SIGNAL_COLUMNS else custom)[name] = value
    record["custom"] = custom
    return record


async def record_day(
    connection: AsyncConnection, day: date, values: Mapping[str, Mapping[str, Value]], known_at: datetime
) -> None:
    """Write these customers' values for `day`, unless the day has some.

    A day's value stands at the day's midnight (UTC), so the first that is known of it is the nearest, and of a
    customer who came during the day there is none.
    """
    if values:
        records = [day_record(id_, day, given, known_at) for id_, given in values.items()]
        await connection.execute(_RECORD_DAY, {"day": day, "rows": encode(records)})
