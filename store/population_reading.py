"""One part of the population as it is stored: everything that scoring and triggers look at, in columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.bulk import NO_DAY, NO_INSTANT, Array, fetch_arrays
from store.customers import PROFILE_TRAITS
from store.tables import SIGNAL_COLUMNS
from store.tables.customers import BOOL, DATE, LIST, NUMBER, TEXT_, TIME

DAY_MICROSECONDS = 86_400_000_000
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Bounds:
    """The customers whose ids lie from `first` to `last`, both included."""

    first: str
    last: str

    @property
    def given(self) -> dict[str, str]:
        """As parameters of a statement."""
        return {"first": self.first, "last": self.last}


@dataclass(frozen=True)
class StoredPart:
    """`n` customers in order of their ids, as one snapshot of the database has them.

    `versions` is which version of the signals' row that was (its xmin; 0: there is none). Missing numbers (booleans are
    0 and 1) are nan, instants and dates (at midnight) microseconds since 1970 or NO_INSTANT, texts and lists None.
    `custom` holds what has no column, of those rows that have any.
    """

    ids: Array
    names: Sequence[str]
    versions: Array
    numbers: Mapping[str, Array]
    texts: Mapping[str, Sequence[str | None]]
    instants: Mapping[str, Array]
    lists: Mapping[str, Sequence[Sequence[str] | None]]
    custom: Mapping[int, Mapping[str, Any]]
    profile: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.ids)


async def begin_reading(connection: AsyncConnection) -> None:
    """Have all that this transaction reads be of one moment; to be said before anything else."""
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    # Another process on each query would take the processor from sends and events.
    await connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
    # Thousands of customers at a time: looking each of them up is never the way, whatever statistics say.
    await connection.execute(text("SET LOCAL enable_nestloop = off"))


async def load_part(
    connection: AsyncConnection, bounds: Bounds, *, profile: Collection[str] = ()
) -> StoredPart:
    """Signals of these customers; of the `profile` only the names given, where they aren't empty."""
    wanted = sorted(profile)
    kept = [(name, _profile_sql(name)) for name in wanted]
    columns = [_SIGNAL_SQL[kind].format(f"s.{name}") + f" AS {name}" for name, kind in SIGNAL_COLUMNS.items()]
    found = await fetch_arrays(
        connection,
        "SELECT array_agg(id), array_agg(external_id), array_agg(version), "
        "array_agg(CASE WHEN custom <> '{}' THEN custom::text END), "
        + ", ".join(f"array_agg({name})" for name in SIGNAL_COLUMNS)
        + "".join(f", array_agg(profile_{name})" for name, _ in kept)
        + " FROM (SELECT c.id, c.external_id, coalesce(s.xmin::text::int8, 0) AS version, s.custom, "
        + ", ".join(columns)
        + "".join(f", {sql} AS profile_{name}" for name, sql in kept)
        # The bounds twice: PostgreSQL doesn't carry a range over to the other side of a join, and would read all signals.
        + f" FROM customers c LEFT JOIN signals s ON s.customer_id = c.id AND s.{BETWEEN} "
        "WHERE c.id BETWEEN %(first)s::uuid AND %(last)s::uuid ORDER BY c.id) part",
        bounds.given,
    )
    ids, names, versions, custom, *rest = found
    if ids is None:
        ids, names, versions, custom = np.zeros(0, "V16"), [], np.zeros(0, np.int64), []
        rest = [[] for _ in rest]
    values = dict(zip(SIGNAL_COLUMNS, rest, strict=False))
    of_kind = {
        kind: {name: values[name] for name, its in SIGNAL_COLUMNS.items() if its == kind}
        for kind in _SIGNAL_SQL
    }
    numbers = {
        name: np.asarray(column, np.float64) for name, column in (of_kind[NUMBER] | of_kind[BOOL]).items()
    }
    for name, numbered in numbers.items():
        if np.isinf(numbered).any():
            raise ValueError(f"{name} is infinite")
    return StoredPart(
        ids,
        names,
        versions,
        numbers,
        of_kind[TEXT_],
        {name: np.asarray(column, np.int64) for name, column in of_kind[TIME].items()}
        | {name: _midnights(column) for name, column in of_kind[DATE].items()},
        {
            name: [None if one is None else _decode(one) for one in column]
            for name, column in of_kind[LIST].items()
        },
        {row: _decode(one) for row, one in enumerate(custom) if one is not None},
        {name: column for (name, _), column in zip(kept, rest[len(SIGNAL_COLUMNS) :], strict=True)},
    )


_SIGNAL_SQL = {
    NUMBER: "coalesce({}, 'NaN')",
    BOOL: "coalesce({}::int::float8, 'NaN')",
    TEXT_: "{}",
    TIME: "coalesce({}, '-infinity')",
    DATE: "coalesce({}, '-infinity')",
    LIST: "array_to_json({})::text",
}


def _profile_sql(name: str) -> str:
    if name in PROFILE_TRAITS:
        return f"nullif(c.{name}, '')"
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a signal")
    return (
        f"CASE WHEN jsonb_typeof(c.traits -> '{name}') = 'string' THEN nullif(c.traits ->> '{name}', '') END"
    )


def _midnights(days: Any) -> Array:
    given = np.asarray(days, np.int64)
    return np.where(given == NO_DAY, NO_INSTANT, given * DAY_MICROSECONDS)


# The place of each customer among those of the bounds, so that no ids travel.
PART = (
    "WITH part AS (SELECT id, (row_number() OVER (ORDER BY id) - 1)::int4 AS row FROM customers "
    "WHERE id BETWEEN %(first)s::uuid AND %(last)s::uuid) "
)
BETWEEN = "customer_id BETWEEN %(first)s::uuid AND %(last)s::uuid"


@dataclass(frozen=True)
class StoredTallies:
    """Daily counts, an entry of each array: row, place in the names asked for, hash of the detail (0: none, 1: `-`),
    days before today, count, total.
    """

    row: Array
    name: Array
    detail: Array
    age_days: Array
    count: Array
    total: Array


_TALLIES = (
    PART + "SELECT array_agg(p.row), array_agg((array_position(%(names)s, t.name) - 1)::int2), "
    "array_agg(CASE t.detail WHEN '' THEN 0 WHEN '-' THEN 1 ELSE hashtextextended(t.detail, 0) END), "
    "array_agg((%(today)s - t.day)::int2), array_agg(t.count), array_agg(t.total) "
    f"FROM tallies t JOIN part p ON p.id = t.customer_id WHERE t.{BETWEEN} AND t.day >= %(since)s "
    "AND t.name = ANY(%(names)s)"
)
_TEXTS = (
    "SELECT array_agg(hash), array_agg(detail) FROM (SELECT DISTINCT hashtextextended(detail, 0) AS hash, detail "
    f"FROM tallies WHERE {BETWEEN} AND day >= %(since)s AND name = ANY(%(names)s) "
    "AND hashtextextended(detail, 0) = ANY(%(hashes)s)) found"
)


async def load_tally_columns(
    connection: AsyncConnection, bounds: Bounds, names: Sequence[str], since: date, today: date
) -> StoredTallies:
    """The tallies of these events from day `since` on."""
    given = {**bounds.given, "names": list(names), "since": since, "today": today}
    found = await fetch_arrays(connection, _TALLIES, given)
    kinds = (np.int32, np.int16, np.int64, np.int16, np.int32, np.float64)
    return StoredTallies(*(or_none_at_all(one, kind) for one, kind in zip(found, kinds, strict=True)))


async def load_texts(
    connection: AsyncConnection, bounds: Bounds, names: Sequence[str], since: date, hashes: Array
) -> dict[int, str]:
    """What these hashes of details stand for."""
    if not len(hashes):
        return {}
    given = {**bounds.given, "names": list(names), "since": since, "hashes": hashes}
    found, texts = await fetch_arrays(connection, _TEXTS, given)
    return {} if found is None else dict(zip(found.tolist(), texts, strict=True))


_SCORES = (
    PART + "SELECT array_agg(p.row), array_agg((%(today)s - h.day)::int2), array_agg(h.midnight_score) "
    f"FROM customer_health h JOIN part p ON p.id = h.customer_id WHERE h.{BETWEEN} "
    "AND h.day >= %(since)s AND h.day < %(today)s AND h.midnight_score IS NOT NULL"
)


async def load_score_columns(
    connection: AsyncConnection, bounds: Bounds, n: int, days: int, today: date
) -> Array:
    """The scores at the midnights of the last `days` days, shape (n, days): column j is j days ago; -1 is none.

    Column 0, today's, isn't known yet.
    """
    given = {**bounds.given, "since": today - timedelta(days=days - 1), "today": today}
    row, ago, score = await fetch_arrays(connection, _SCORES, given)
    grid = np.full((n, days), -1, np.int16)
    if row is not None:
        grid[row, ago] = score
    return grid


def or_none_at_all(found: Any, kind: Any) -> Array:
    """The column, empty where there was no row."""
    return np.zeros(0, kind) if found is None else found
