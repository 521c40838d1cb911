"""What bodies of requests have in common: a field that isn't known is told, with the one that may be meant.

A field that was passed over would look as if it had been taken, until somebody misses what it should have done.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from annotated_types import MaxLen
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
        fields, longest = _fields_by_name(cls), _longest_by_field(cls)
        wrong: list[InitErrorDetails] = []
        by_field: dict[str, str] = {}
        for name, value in given.items():
            if len(wrong) == MOST_TOLD:
                # To find what may be meant takes a while, and a body may hold a hundred thousand names.
                break
            field = fields.get(name)
            if isinstance(value, dict | list) and len(value) > (most := longest.get(field or "", len(value))):
                # Told before each of them is looked at: of each that is wrong several things may be told.
                wrong.append(_fault(name, f"It has {len(value):,} entries; there may be {most}."))
            elif field is None:
                wrong.append(_fault(name, _unknown(name, fields)))
            elif field in by_field:
                wrong.append(_fault(name, f"It is the same as `{by_field[field]}`: give one of both."))
            else:
                by_field[field] = name
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
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


@functools.cache
def _longest_by_field(body: type[Asked]) -> Mapping[str, int]:
    """How many entries a field may have, where that is bounded."""
    return {
        field: bound.max_length
        for field, told in body.__pydantic_fields__.items()
        for bound in told.metadata
        if isinstance(bound, MaxLen)
    }


def _unknown(name: str, fields: Mapping[str, str]) -> str:
    # Ours are taken as well, as the program writes them, and not advertised.
    known = [one for one, field in fields.items() if one != field or "_" not in one]
    return f"There is no such field. {tell_known(name, known)}"


def _fault(name: str, told: str) -> InitErrorDetails:
    return {"type": PydanticCustomError("field", told), "loc": (name[:100],), "input": None}
