"""Public holidays by country, from the library `holidays`: worked out by rule, nothing is fetched."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache

import holidays

from schemas.plan import CalendarDays, WaitSpec

# ISO 3166-1 has codes of two letters and of three; names of countries aren't guessed.
_CODE_LENGTHS = (2, 3)


def holidays_for(country: str | None, region: str | None, from_date: date, to_date: date) -> frozenset[date]:
    """The public holidays of `country` from `from_date` to `to_date`, both included, substitute days among them.

    `country` is an ISO 3166-1 code, `region` an ISO 3166-2 subdivision (`BY` or `DE-BY`) whose own holidays are added.
    A country that is missing or unknown has none (see `has_holidays`); an unknown region is left out.
    """
    code = _code(country)
    if code is None:
        return frozenset()
    part = _part(code, region)
    years = range(from_date.year, to_date.year + 1)
    return frozenset(
        day for year in years for day in _of_year(code, part, year) if from_date <= day <= to_date
    )


def holidays_within(
    spec: WaitSpec, since: datetime, country: str | None, region: str | None
) -> frozenset[date]:
    """The holidays that may lengthen a wait that began at `since`; none where it doesn't count business days.

    So many days as it counts have passed after twice as many and two months: no country is closed for longer.
    """
    if not (isinstance(spec, CalendarDays) and spec.business):
        return frozenset()
    first = since.date() - timedelta(days=1)
    return holidays_for(country, region, first, first + timedelta(days=2 * spec.days + 60))


def has_holidays(country: str | None) -> bool:
    """Whether the holidays of `country` are known; if not, only weekends are free."""
    return _code(country) is not None


def _code(country: str | None) -> str | None:
    code = (country or "").strip().upper()
    return code if len(code) in _CODE_LENGTHS and code in _countries() else None


def _part(country: str, region: str | None) -> str | None:
    part = (region or "").strip()
    bare = part.upper().removeprefix(f"{country}-")
    return next((known for known in _countries()[country] if known.upper() == bare), None) if part else None


@lru_cache(maxsize=1)
def _countries() -> dict[str, list[str]]:
    return {code.upper(): parts for code, parts in holidays.list_supported_countries().items()}


@lru_cache(maxsize=4096)
def _of_year(country: str, part: str | None, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdiv=part, years=year, expand=False))
