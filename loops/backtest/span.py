"""The stretch of the past that a backtest plays, and where its UTC days begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from scoring.training import midnight


@dataclass(frozen=True)
class Span:
    """The stretch of time that is played: `start` included, `end` not."""

    start: datetime
    end: datetime


def utc_midnight_before(moment: datetime) -> datetime:
    """The instant at which the UTC day of this moment began."""
    return midnight(moment.astimezone(UTC).date())
