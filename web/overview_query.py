"""What a list of customers is asked for: filters, order, columns and place, as a query says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from schemas.errors import InputError
from store.keyset import Place
from store.reading_overview import CURRENT, DIMENSIONS, NONE, SORTS, OverviewFilter
from web.cursors import read_place_cursor

# The columns that may be shown, with their headers; the business's name always is.
COLUMNS: Mapping[str, str] = {
    "health": "Health", "change": "Change", "week": "7 days", "risk": "Risk", "churn": "Churn", "urgent": "Urgent",
    "revenue": "Revenue", "plan": "Plan", "login": "Last login", "interaction": "Last contact", "ltv": "LTV at risk",
    "renewal": "Renewal", "csm": "CSM", "segment": "Segment", "runs": "Open runs",
}  # fmt: skip
SHOWN = ("health", "risk", "churn", "urgent", "revenue", "plan", "login", "interaction")
LONGEST = 200
MOST_VALUES = 50
# The status of everybody, whoever has cancelled included.
ALL = "all"
_KEPT = ("search", "sort", "columns", *DIMENSIONS)


@dataclass(frozen=True)
class OverviewQuery:
    """One list: which customers, in which order, with which columns, from where on."""

    wanted: OverviewFilter
    sort: str = "health"
    descending: bool = False
    columns: Sequence[str] = SHOWN
    after: Place | None = None

    @property
    def sorted_by(self) -> str:
        """The order as a query says it."""
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def filtered(self) -> bool:
        """Whether not everybody is asked for; leaving out who has cancelled is usual."""
        asked = {name for name, values in self.wanted.values.items() if values}
        return bool(self.wanted.search) or bool(asked - ({"status"} if self.current else set()))

    @property
    def current(self) -> bool:
        """Whether who has cancelled is left out, and nobody else for their status."""
        return self.wanted.values.get("status") == (CURRENT,)

    def pairs(self) -> dict[str, list[str]]:
        """The query that asks for this list from its beginning, without what is usual."""
        pairs = {name: list(values) for name, values in self.wanted.values.items() if values}
        if self.current:
            del pairs["status"]
        elif "status" not in pairs:
            pairs["status"] = [ALL]
        if self.wanted.search:
            pairs["search"] = [self.wanted.search]
        if self.sorted_by != "health":
            pairs["sort"] = [self.sorted_by]
        if tuple(self.columns) != SHOWN:
            pairs["columns"] = list(self.columns)
        return pairs

    def encoded(self) -> str:
        """The same as a query string."""
        return urlencode(self.pairs(), doseq=True)


def read_query(
    given: QueryParams | Mapping[str, Any], *, cursor: str | None = None, usual_status: str = CURRENT
) -> OverviewQuery:
    """The list that a query asks for; what is empty is as if it weren't there. Raises InputError.

    Where no status is named, that is `usual_status`: pages leave out who has cancelled, until they are asked for ALL.

    Names are those of DIMENSIONS, `search`, `sort` (see SORTS, with a minus for descending), `columns` (several, or one
    with commas) and `cursor`, unless it is given.
    """
    values: dict[str, tuple[str, ...]] = {}
    for name in DIMENSIONS:
        # "unscored" is what links from elsewhere call a risk that isn't known.
        chosen = [NONE if (name, one) == ("risk", "unscored") else one for one in _all(given, name) if one]
        if chosen:
            values[name] = tuple(dict.fromkeys(chosen))[:MOST_VALUES]
    values.setdefault("status", (usual_status,))
    if ALL in values["status"]:
        del values["status"]
    written = next(iter(_all(given, "sort")), "") or "health"
    sort = written.removeprefix("-")
    if sort not in SORTS:
        raise InputError(f"There is no order {sort!r}.", remedy=f"Use one of {', '.join(SORTS)}.")
    columns = [one for part in _all(given, "columns") for one in part.split(",") if one]
    if unknown := next((one for one in columns if one not in COLUMNS), None):
        raise InputError(f"There is no column {unknown!r}.", remedy=f"Use some of {', '.join(COLUMNS)}.")
    query = OverviewQuery(
        OverviewFilter(values, next(iter(_all(given, "search")), "").strip()),
        sort,
        written.startswith("-"),
        tuple(name for name in COLUMNS if name in columns) or SHOWN,
    )
    if cursor is None:
        cursor = next(iter(_all(given, "cursor", longest=1000)), "")
    if not cursor:
        return query
    after = read_place_cursor(
        cursor, query.sorted_by, SORTS[sort][1],
        remedy="Use nextCursor of the page before as it is, with the same sort, or leave cursor out.",
    )  # fmt: skip
    return replace(query, after=after)


def kept_pairs(given: QueryParams | Mapping[str, Any]) -> dict[str, list[str]]:
    """What a saved view keeps of a query."""
    return {name: found for name in _KEPT if (found := [one for one in _all(given, name) if one])}


def _all(given: QueryParams | Mapping[str, Any], name: str, longest: int = LONGEST) -> list[str]:
    if isinstance(given, QueryParams):
        found = given.getlist(name)
    else:
        value: Any = given.get(name, [])
        found = [value] if isinstance(value, str) else list(value)
    for one in found:
        if not isinstance(one, str) or len(one) > longest or "\x00" in one:
            raise InputError(
                f"{name} can't be read.", remedy=f"At most {longest} characters, none of them NUL."
            )
    return found
