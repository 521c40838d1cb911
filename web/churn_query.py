"""What a list of predictions is asked for: filters, order and place, as a query says them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from schemas.errors import InputError
from store.keyset import Place
from store.reading_churn import DIMENSIONS, SORTS, ChurnFilter
from web.cursors import read_place_cursor

LONGEST = 200
# Probabilities that a list may begin at: where bands begin.
LEASTS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class ChurnQuery:
    """One list: whose predictions, in which order, from where on."""

    wanted: ChurnFilter
    sort: str = "ltv"
    descending: bool = True
    after: Place | None = None

    @property
    def sorted_by(self) -> str:
        """The order as a query says it."""
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def filtered(self) -> bool:
        """Whether not everybody is asked for."""
        return bool(self.wanted.values) or self.wanted.least > 0

    def encoded(self) -> str:
        """The query that asks for this list from its beginning."""
        pairs = dict(self.wanted.values)
        if self.wanted.least:
            pairs["least"] = f"{self.wanted.least:g}"
        if self.sorted_by != "-ltv":
            pairs["sort"] = self.sorted_by
        return urlencode(pairs)


def read_query(given: QueryParams) -> ChurnQuery:
    """The list that a query asks for; what is empty is as if it weren't there. Raises InputError.

    Names are those of DIMENSIONS, `least` (one of LEASTS), `sort` (see SORTS, with a minus for descending), `cursor`.
    """
    values: dict[str, str] = {}
    for name in DIMENSIONS:
        value = given.get(name, "")
        if len(value) > LONGEST or "\x00" in value:
            raise InputError(f"{name} can't be read.", remedy=f"At most {LONGEST} characters.")
        if value:
            values[name] = value
    least = 0.0
    if written := given.get("least", ""):
        try:
            least = next(one for one in LEASTS if written == f"{one:g}")
        except StopIteration:
            shown = ", ".join(f"{one:g}" for one in LEASTS)
            raise InputError("No list begins at that probability.", remedy=f"Use one of {shown}.") from None
    sort = given.get("sort", "") or "-ltv"
    if sort.removeprefix("-") not in SORTS:
        raise InputError(f"There is no order {sort[:50]!r}.", remedy=f"Use one of {', '.join(SORTS)}.")
    cursor = given.get("cursor", "")
    column = sort.removeprefix("-")
    after = None
    if cursor:
        after = read_place_cursor(
            cursor[:1000], sort, SORTS[column][1], remedy="Open the list from its beginning."
        )
    return ChurnQuery(ChurnFilter(values, least), column, sort.startswith("-"), after)
