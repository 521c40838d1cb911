"""What bodies of requests have in common: a field that isn't known is told, with the one that may be meant.

A field that was passed over would look as if it had been taken, until somebody misses what it should have done.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from store.reading_rows import Row
from web.known_names import tell_known

# So many wrong ones are told of at once.
MOST_TOLD = 10


class Asked(Row):
    """A part of a body: no fields but these, each of its type as JSON writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = _fields_by_name(cls)
        wrong: list[InitErrorDetails] = []
        by_field: dict[str, str] = {}
        for name in given:
            field = fields.get(name)
            if field is None:
                wrong.append(_fault(name, _unknown(name, fields)))
            elif field in by_field:
                wrong.append(_fault(name, f"It is the same as `{by_field[field]}`: give one of both."))
            else:
                by_field[field] = name
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong[:MOST_TOLD])
        return given


@functools.cache
def _fields_by_name(body: type[Asked]) -> Mapping[str, str]:
    """The fields by each name that they are taken under, those of the wire first."""
    wire: dict[str, str] = {}
    for field, told in body.__pydantic_fields__.items():
        aliases = told.validation_alias
        names = aliases.choices if isinstance(aliases, AliasChoices) else [aliases or field]
        wire |= {str(name): field for name in names}
    return wire | {field: field for field in body.__pydantic_fields__}


def _unknown(name: str, fields: Mapping[str, str]) -> str:
    # Ours are taken as well, as the program writes them, and not advertised.
    known = [one for one, field in fields.items() if one != field or "_" not in one]
    return f"There is no such field. {tell_known(name, known)}"


def _fault(name: str, told: str) -> InitErrorDetails:
    return {"type": PydanticCustomError("field", told), "loc": (name[:100],), "input": None}
