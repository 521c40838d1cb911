"""Moments and days as the API takes them: written out, with a zone, and of this time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

# Customers were born, and plans are made, within these; a year that was mistyped, or an end of all calendars, isn't.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _written(value: Any) -> Any:
    # Else a number would do, as seconds since 1970: 5 hours, or 5 days, were meant.
    if isinstance(value, datetime) or (isinstance(value, str) and _DAY.match(value)):
        return value
    raise PydanticCustomError("moment", "Write a moment with its zone, as in 2026-03-02T09:00:00Z")


def _within(value: datetime) -> datetime:
    if EARLIEST <= value < LATEST:
        return value
    raise PydanticCustomError("moment", "Moments lie between 1970-01-01 and 2199-12-31; check the year")


def _day(value: Any) -> Any:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise PydanticCustomError("day", "Write a day as in 2026-03-02")
    return value


def _day_within(value: date) -> date:
    if EARLIEST.date() <= value < LATEST.date():
        return value
    raise PydanticCustomError("day", "Days lie between 1970-01-01 and 2199-12-31; check the year")


# For what may also be meant in the customer's own zone.
LocalMoment = Annotated[datetime, Field(strict=False), BeforeValidator(_written)]
# Where a handler has a bound of its own, and tells it.
WrittenMoment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written)]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written), AfterValidator(_within)]
Day = Annotated[date, Field(strict=False), BeforeValidator(_day), AfterValidator(_day_within)]
