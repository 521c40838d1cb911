"""Customers counted by what the health overview filters them by."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from store.asking import Source, fetch
from store.overview_rows import days_of
from store.reading_overview import (
    CHANGED,
    CHANGED_OF_FEW,
    DIMENSIONS,
    OF_FEW,
    OverviewFilter,
    find_few,
    read_conditions,
    search_condition,
)


class Group(NamedTuple):
    """How many customers share these values (in the order of DIMENSIONS; None: unknown), and what they come to."""

    values: tuple[str | None, ...]
    customers: int
    monthly_revenue: float
    ltv_at_risk: float


async def count_overview(source: Source, wanted: OverviewFilter, now: datetime) -> int:
    """How many customers the filter has."""
    given: dict[str, Any] = days_of(now)
    conditions = read_conditions(wanted, given)
    if wanted.search:
        conditions["search"] = search_condition(wanted.search, given)
    tables = "customers c "
    if conditions.keys() - {"csm", "search"}:
        tables += "LEFT JOIN signals s ON s.customer_id = c.id "
    if "change" in conditions:
        tables += CHANGED
    where = f"WHERE {' AND '.join(conditions.values())}" if conditions else ""
    [(count,)] = await fetch(source, f"SELECT count(*) FROM {tables}{where}", given)
    return int(count)


async def count_groups(source: Source, search: str, now: datetime) -> list[Group]:
    """All customers (with `search` in id, name or e-mail), counted by the values of all dimensions together."""
    given: dict[str, Any] = days_of(now)
    changed, where = CHANGED, ""
    if search:
        few = await find_few(source, search)
        if few is None:
            where = f"WHERE {search_condition(search, given)} "
        else:
            # Their own rows are soon found; going through everybody's would take longer than the search did.
            changed, where = CHANGED_OF_FEW.format("c.id"), f"WHERE {OF_FEW} "
            given["ids"] = few
    size = len(DIMENSIONS)
    rows = await fetch(
        source,
        f"SELECT {', '.join(DIMENSIONS.values())}, count(*), coalesce(sum(s.monthly_price), 0), "
        "coalesce(sum(s.ltv_at_risk), 0) FROM customers c LEFT JOIN signals s ON s.customer_id = c.id "
        f"{changed}{where}GROUP BY {', '.join(str(place + 1) for place in range(size))}",
        given,
    )
    return [Group(row[:size], row[size], row[size + 1], row[size + 2]) for row in rows]
