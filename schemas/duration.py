"""Durations as an argument of a step type: `3d` in the file, seconds everywhere after."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from schemas.form import DURATION, format_duration, parse_duration

__all__ = ["Duration", "format_duration", "parse_duration"]


def _seconds(value: Any) -> Any:
    # Seconds come back from a stored plan; in a file the JSON Schema has refused bare numbers before.
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_seconds), WithJsonSchema(DURATION.json_schema())]
