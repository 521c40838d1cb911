"""What was, of one part of the population: daily values of signals, and events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from store.bulk import Array, fetch_arrays
from store.population_reading import BETWEEN, PART, Bounds
from store.tables import SIGNAL_COLUMNS
from store.tables.customers import NUMBER

_decode = msgspec.json.Decoder().decode


async def load_series(
    connection: AsyncConnection,
    bounds: Bounds,
    names: Sequence[str],
    n: int,
    days: range,
    today: date,
    *,
    only: tuple[Array, Array] | None = None,
) -> dict[str, Array]:
    """The daily numbers of these signals, shape (days, n) each, at those days' midnights (UTC); days count back from today.

    nan is a day without one; of several revisions of a day the highest stands. `only` are the rows, with their ids, of
    which anything is wanted.
    """
    if not names:
        return {}
    columns = ", ".join(f"array_agg(coalesce({_number_sql(name)}, 'NaN'))" for name in names)
    there = " OR ".join(f"{_number_sql(name)} IS NOT NULL" for name in names)
    given: dict[str, Any] = {
        **bounds.given, "today": today, "first": bounds.first,
        "since": today - timedelta(days=days.stop - 1), "until": today - timedelta(days=days.start),
    }  # fmt: skip
    part, whose = PART, f"h.{BETWEEN}"
    # Where most are wanted, the whole stretch of the index is read sooner than each of them.
    if only is not None and len(only[0]) <= n // 2:
        given |= {"ids": only[1], "rows": np.asarray(only[0], np.int32)}
        part = "WITH part AS (SELECT * FROM unnest(%(ids)s, %(rows)s) AS given(id, row)) "
        whose = "h.customer_id = ANY(%(ids)s)"
    # One number says row and day, which is a fifth of the work of telling each.
    place, revised, *values = await fetch_arrays(
        connection,
        part + f"SELECT array_agg((p.row << 10) + (%(today)s - h.day)), "
        f"array_agg(h.revision) FILTER (WHERE h.revision > 0), {columns} "
        f"FROM signal_history h JOIN part p ON p.id = h.customer_id WHERE {whose} "
        f"AND h.day >= %(since)s AND h.day <= %(until)s AND (h.revision > 0 OR {there})",
        given,
    )
    grids = {name: np.full((len(days), n), np.nan) for name in names}
    if place is None:
        return grids
    if revised is not None:
        return await _load_revised(connection, part, whose, given, names, grids, days)
    row, ago = place >> 10, (place & 1023) - days.start
    for name, column in zip(names, values, strict=True):
        grids[name][ago, row] = column
    return grids


async def _load_revised(
    connection: AsyncConnection,
    part: str,
    whose: str,
    given: Mapping[str, Any],
    names: Sequence[str],
    grids: dict[str, Array],
    days: range,
) -> dict[str, Array]:
    """The same where some day was repaired: in order of revision, so that the highest is what stays."""
    place, *values = await fetch_arrays(
        connection,
        part + f"SELECT array_agg(place), {', '.join(f'array_agg(value_{at})' for at in range(len(names)))} "
        "FROM (SELECT (p.row << 10) + (%(today)s - h.day) AS place, "
        + ", ".join(f"coalesce({_number_sql(name)}, 'NaN') AS value_{at}" for at, name in enumerate(names))
        + f" FROM signal_history h JOIN part p ON p.id = h.customer_id WHERE {whose} "
        "AND h.day >= %(since)s AND h.day <= %(until)s ORDER BY h.revision) ordered",
        given,
    )
    row, ago = place >> 10, (place & 1023) - days.start
    for name, column in zip(names, values, strict=True):
        grids[name][ago, row] = column
    return grids


def _number_sql(name: str) -> str:
    kind = SIGNAL_COLUMNS.get(name)
    if kind == NUMBER:
        return f"h.{name}"
    if kind is not None or not name.isidentifier():
        return "NULL::float8"
    return f"CASE WHEN jsonb_typeof(h.custom -> '{name}') = 'number' THEN (h.custom ->> '{name}')::float8 END"


@dataclass(frozen=True)
class StoredEvents:
    """What happened: row, place in the names asked for, when; `properties` as sent, of those events asked for."""

    row: Array
    name: Array
    at: Array
    properties: Sequence[Mapping[str, Any] | None]


async def load_event_columns(
    connection: AsyncConnection,
    bounds: Bounds,
    names: Sequence[str],
    with_properties: Collection[str],
    since: datetime | None,
    now: datetime,
) -> StoredEvents:
    """Events up to `now`, by name, row and time."""
    if not names:
        return StoredEvents(np.zeros(0, np.int32), np.zeros(0, np.int16), np.zeros(0, np.int64), [])
    row, name, at, properties = await fetch_arrays(
        connection,
        PART + "SELECT array_agg(row), array_agg(name), array_agg(at), array_agg(properties) FROM ("
        "SELECT p.row, (array_position(%(names)s, e.name) - 1)::int2 AS name, e.at, "
        "CASE WHEN e.name = ANY(%(told)s) THEN e.properties::text END AS properties "
        f"FROM events e JOIN part p ON p.id = e.customer_id WHERE e.{BETWEEN} AND e.name = ANY(%(names)s) "
        "AND e.at <= %(now)s"
        + (" AND e.at >= %(since)s AND e.day >= %(day)s" if since else "")
        + " ORDER BY 2, 1, 3, e.message_id) happened",
        {
            **bounds.given, "names": list(names), "told": sorted(with_properties), "now": now, "since": since,
            # The day is the client's own, which may be another than the instant's.
            "day": (since - timedelta(days=1)).astimezone(UTC).date() if since else None,
        },
    )  # fmt: skip
    if row is None:
        return await load_event_columns(connection, bounds, (), (), since, now)
    return StoredEvents(row, name, at, [None if one is None else _decode(one) for one in properties])
