"""Keyset pagination: where one page of a list ends, and the SQL by which the next begins there.

A list is ordered by a column, then by id, with NULLs last whichever way; so it is read in two stretches, each of which an
index can give in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a row stands in the order: its value (None: unknown, which comes last whichever way) and its id."""

    value: float | date | str | None
    id: str


class Stretch(NamedTuple):
    """What is wanted of the rows of one stretch (to be joined by AND), their order, and the parameters of both."""

    conditions: Sequence[str]
    order: str
    given: Mapping[str, Any]


def known_after(
    column: str, kind: str, id_column: str, after: Place | None, *, descending: bool
) -> Stretch | None:
    """The rows with a value in `column` (of the SQL type `kind`) that come after a place; None where none can."""
    way, beyond = _ways(descending)
    order = f"{column} {way}, {id_column} {way}"
    conditions = [f"{column} IS NOT NULL"]
    if after is None:
        return Stretch(conditions, order, {})
    if after.value is None:
        return None
    conditions.append(f"({column}, {id_column}) {beyond} (CAST(%(value)s AS {kind}), CAST(%(id)s AS uuid))")
    return Stretch(conditions, order, {"value": after.value, "id": after.id})


def unknown_after(column: str, id_column: str, after: Place | None, *, descending: bool) -> Stretch:
    """The rows without a value in `column` that come after a place."""
    way, beyond = _ways(descending)
    conditions, order = [f"{column} IS NULL"], f"{id_column} {way}"
    if after is None or after.value is not None:
        return Stretch(conditions, order, {})
    return Stretch([*conditions, f"{id_column} {beyond} CAST(%(id)s AS uuid)"], order, {"id": after.id})


def _ways(descending: bool) -> tuple[str, str]:
    return ("DESC", "<") if descending else ("ASC", ">")
