"""Whole columns out of and into PostgreSQL: as its arrays, in binary, which are NumPy's arrays but for the byte order.

A statement gives one row of `array_agg`s, and takes arrays that it `unnest`s; a million values cost a few
milliseconds here. Elements have a fixed width and are never NULL: a missing number is NaN, a missing instant or date
`-infinity`, which are the least numbers of their kind (see docs/decisions/0008). Texts come as lists, None where missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import AsyncCursor
from psycopg.abc import Buffer, PyFormat
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from sqlalchemy.ext.asyncio import AsyncConnection

Array = npt.NDArray[Any]

# What PostgreSQL counts instants and dates from, 2000-01-01, in microseconds and days since 1970-01-01.
EPOCH_MICROSECONDS = 946_684_800_000_000
EPOCH_DAYS = 10_957
NO_INSTANT = int(np.iinfo(np.int64).min)
NO_DAY = int(np.iinfo(np.int32).min)
# The end of the year 9999, which is the last that Python and the single path know; as PostgreSQL counts.
LAST_INSTANT = 252_455_615_999_999_999
LAST_DAY = 2_921_939

# By the array's oid: the element's oid and its form on the wire.
_WIRES: Mapping[int, tuple[int, str]] = {
    1000: (16, "?"), 1005: (21, ">i2"), 1007: (23, ">i4"), 1016: (20, ">i8"), 1021: (700, ">f4"), 1022: (701, ">f8"),
    2951: (2950, "V16"), 1185: (1184, ">i8"), 1182: (1082, ">i4"),
}  # fmt: skip
# What an array of this type becomes; instants and days travel as the whole numbers that they are.
_ARRAYS = {"?": 1000, "i2": 1005, "i4": 1007, "i8": 1016, "f4": 1021, "f8": 1022, "V16": 2951}
_HEADER = np.dtype(
    [("dimensions", ">i4"), ("nulls", ">i4"), ("element", ">i4"), ("n", ">i4"), ("first", ">i4")]
)


async def fetch_arrays(
    connection: AsyncConnection, sql: str, given: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """The one row of a statement in psycopg's style: an array, or a list of texts, for each column.

    Raises ValueError for an array with NULLs in it. `array_agg` of no row at all is NULL, and None here.
    """
    async with await _cursor(connection) as cursor:
        await cursor.execute(sql.encode(), given)
        row = await cursor.fetchone()
        assert row is not None
        return tuple(row)


async def execute_arrays(connection: AsyncConnection, sql: str, given: Mapping[str, Any]) -> int:
    """Carry out a statement that is given arrays; how many rows it concerned."""
    async with await _cursor(connection) as cursor:
        await cursor.execute(sql.encode(), given)
        return cursor.rowcount


async def _cursor(connection: AsyncConnection) -> AsyncCursor[Any]:
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    cursor: AsyncCursor[Any] = driver.cursor(binary=True)
    for oid in _WIRES:
        cursor.adapters.register_loader(oid, _ArrayLoader)
    cursor.adapters.register_dumper(np.ndarray, _ArrayDumper)
    return cursor


class _ArrayLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Array:
        return read_array(bytes(data))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def get_key(self, obj: Any, format: PyFormat) -> Any:  # noqa: A002 - psycopg's name
        return (self.cls, obj.dtype.str)

    def upgrade(self, obj: Any, format: PyFormat) -> Dumper:  # noqa: A002 - psycopg's name
        dumper = _ArrayDumper(self.cls, self.connection)
        dumper.oid = _array_oid(obj.dtype)
        return dumper

    def dump(self, obj: Any) -> bytes:
        return write_array(obj)


def read_array(data: bytes) -> Array:
    """A one-dimensional array in PostgreSQL's binary form, in the machine's byte order. Raises ValueError for NULLs."""
    dimensions, nulls, element = np.frombuffer(data, ">i4", 3).tolist()
    wire = next(form for kind, form in _WIRES.values() if kind == element)
    if nulls:
        raise ValueError("an array that is read in bulk must not have NULLs in it")
    cells = (
        np.frombuffer(data, _cell(wire), offset=_HEADER.itemsize) if dimensions else np.zeros(0, _cell(wire))
    )
    values = cells["value"]
    values = values.astype(values.dtype.newbyteorder("="))
    if element == 1184:
        if len(values) and values.max() > LAST_INSTANT:
            raise ValueError("there is an instant beyond all calendars")
        values[values != NO_INSTANT] += EPOCH_MICROSECONDS
    elif element == 1082:
        if len(values) and values.max() > LAST_DAY:
            raise ValueError("there is a date beyond all calendars")
        values[values != NO_DAY] += EPOCH_DAYS
    return values


def write_array(values: Array) -> bytes:
    """The same the other way round; instants and days go as the whole numbers that they are (see `Rows`)."""
    element, wire = _WIRES[_array_oid(values.dtype)]
    cells = np.empty(len(values), _cell(wire))
    cells["length"] = np.dtype(wire).itemsize
    cells["value"] = values
    header = np.array([(1, 0, element, len(values), 1)], _HEADER)
    return header.tobytes() + cells.tobytes()


@lru_cache(maxsize=32)
def _cell(wire: str) -> np.dtype[Any]:
    return np.dtype([("length", ">i4"), ("value", wire)])


def _array_oid(dtype: np.dtype[Any]) -> int:
    return _ARRAYS[dtype.str.lstrip("<>=|b") if dtype.kind != "b" else "?"]


class Rows:
    """Rows to be written, gathered column by column: the arrays that go to PostgreSQL and the SQL that reads them there.

    `sources` is what to select from (AS v), `values` the expression of each column. What is missing (nan, NO_INSTANT,
    NO_DAY, a code or count of -1) becomes NULL. Each column keeps the rows `chosen`, all if None.
    """

    def __init__(self, chosen: Array | None = None) -> None:
        self._chosen = chosen
        self.given: dict[str, Any] = {}
        self.values: dict[str, str] = {}
        self._columns: list[str] = []

    @property
    def sources(self) -> str:
        """What to select from."""
        arrays = ", ".join(f"%({name})s{_cast(self.given[name])}" for name in self._columns)
        return f"unnest({arrays}) AS v({', '.join(self._columns)})"

    def ids(self, name: str, values: Array) -> None:
        """Raw UUIDs, or whole numbers and flags as they are: what is never missing."""
        self._add(name, values)
        self.values[name] = f"v.{name}"

    def numbers(self, name: str, values: Array) -> None:
        """Numbers, nan where missing."""
        self._add(name, values)
        self.values[name] = f"nullif(v.{name}, 'NaN')"

    def counts(self, name: str, values: Array) -> None:
        """Whole numbers, -1 where missing."""
        self._add(name, np.asarray(values, np.int16))
        self.values[name] = f"nullif(v.{name}, -1)"

    def flags(self, name: str, values: Array) -> None:
        """Booleans as 0 and 1, nan where missing."""
        self._add(name, np.where(np.isnan(values), -1, values).astype(np.int16))
        self.values[name] = f"CASE v.{name} WHEN 1 THEN true WHEN 0 THEN false END"

    def codes(self, name: str, values: Array, texts: Sequence[str]) -> None:
        """Texts by their place in `texts`, -1 where missing."""
        self._add(name, np.asarray(values, np.int16))
        self.given[f"{name}_texts"] = list(texts)
        self.values[name] = f"(%({name}_texts)s::text[])[v.{name} + 1]"

    def texts(self, name: str, values: Sequence[str | None]) -> None:
        """Texts, None where missing."""
        chosen = values if self._chosen is None else [values[row] for row in self._chosen.tolist()]
        self._columns.append(name)
        self.given[name] = list(chosen)
        self.values[name] = f"v.{name}"

    def instants(self, name: str, values: Array) -> None:
        """Microseconds since 1970."""
        self._add(name, np.asarray(values, np.int64))
        self.values[name] = (
            f"CASE WHEN v.{name} > '{NO_INSTANT}'::int8 THEN timestamptz 'epoch' + v.{name} * interval '1 microsecond' END"
        )

    def days(self, name: str, values: Array) -> None:
        """Days since 1970."""
        self._add(name, np.asarray(values, np.int32))
        self.values[name] = f"CASE WHEN v.{name} > {NO_DAY} THEN date 'epoch' + v.{name} END"

    def lists(self, name: str, values: Sequence[Sequence[str] | None]) -> None:
        """Lists of texts, None where missing."""
        longest = max((len(one) for one in values if one is not None), default=0)
        for place in range(longest):
            self.texts(
                f"{name}_{place}",
                [one[place] if one is not None and len(one) > place else None for one in values],
            )
        self.ids(f"{name}_there", np.array([one is not None for one in values], np.bool_))
        parts = ", ".join(f"v.{name}_{place}" for place in range(longest))
        self.values[name] = f"CASE WHEN v.{name}_there THEN array_remove(ARRAY[{parts}]::text[], NULL) END"
        for place in range(longest):
            del self.values[f"{name}_{place}"]
        del self.values[f"{name}_there"]

    def _add(self, name: str, values: Array) -> None:
        self._columns.append(name)
        self.given[name] = values if self._chosen is None else values[self._chosen]


def _cast(given: Any) -> str:
    return "" if isinstance(given, np.ndarray) else "::text[]"
