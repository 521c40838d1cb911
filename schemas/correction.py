"""A correction of an event, as somebody gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas.errors import InputError
from schemas.signal_value import LARGEST_NUMBER

LARGEST_PROPERTIES = 500
DEEPEST = 32
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Correction:
    """What is said of the event that `source` sent as `message_id`: other `properties` (all of them; of an identify
    call, its traits), another time, or that it never happened.
    """

    source: str
    message_id: str
    reason: str
    properties: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    retract: bool = False

    def check(self, now: datetime) -> None:
        """Raise InputError where this can't be recorded; `now` limits the time that it may say."""
        said = self.properties is not None or self.occurred_at is not None
        if said == self.retract:
            raise InputError(
                "A correction says what the event was like, or that it never happened: not both and not neither.",
                remedy="Give properties, a time, or both; or retract the event.",
            )
        if not self.reason.strip() or len(self.reason) > LONGEST_REASON:
            raise InputError(
                f"A correction needs a reason, of up to {LONGEST_REASON} characters.", remedy="Say why."
            )
        if self.occurred_at is not None:
            if self.occurred_at.utcoffset() is None:
                raise InputError(
                    "The corrected time has no zone.", remedy="Write it as 2026-03-01T09:00:00Z."
                )
            if self.occurred_at.astimezone(UTC) > now:
                raise InputError(
                    "The corrected time lies ahead of now.", remedy="Give a time that has passed."
                )
        if self.properties is not None:
            if len(self.properties) > LARGEST_PROPERTIES:
                raise InputError(f"More than {LARGEST_PROPERTIES} properties.", remedy="Send fewer.")
            _look_into(self.properties, 1)
        for word in (self.source, self.message_id, self.reason):
            _look_into(word, 0)


def _look_into(value: Any, depth: int) -> None:
    """Raise InputError for what the database can't hold."""
    if depth > DEEPEST:
        raise InputError(f"The properties are nested more than {DEEPEST} levels deep.")
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError("A text holds a character that can't be stored.", remedy="Remove it.")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _look_into(key, depth)
            _look_into(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _look_into(inner, depth + 1)
    elif (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        raise InputError("A number is not finite.", remedy="Leave it out.")
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER * LARGEST_NUMBER:
        raise InputError("A number is too large to be stored.", remedy="Write it as text.")
