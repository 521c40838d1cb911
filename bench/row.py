"""A line of the table of measurements: beside what was measured what is wanted of it, or what a rival takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch


@dataclass(frozen=True)
class Row:
    """One line of the table; a ratio is measured to wanted, `holds` is None where nothing is wanted."""

    what: str
    measured: str
    wanted: str = ""
    ratio: float | None = None
    holds: bool | None = None


@singledispatch
def rows_of(found: object) -> list[Row]:
    """One row per figure of a measurement."""
    raise TypeError(f"nothing is told of {type(found).__name__}")
