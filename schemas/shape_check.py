"""Says quickly that data fits a JSON Schema, so that the thorough check looks only where something is wrong.

A schema is turned into nested closures once. They answer True only where jsonschema would find no error; where a
keyword isn't known here, or in doubt, they answer False and jsonschema decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from schemas.schema_part import Schema

# What was found of a container and a definition, by identity: good only while the data is being looked at.
_Memo = dict[tuple[int, str], bool]
_Check = Callable[[Any, _Memo], bool]

# Of each branch of an `anyOf`; nobody reads more of them.
BRANCH_ERRORS = 20

_REFERENCE = "#/$defs/"
_ANNOTATIONS = frozenset({
    "$schema", "$defs", "title", "description", "examples", "default", "deprecated", "format", "discriminator",
})  # fmt: skip
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip

_found: ContextVar[_Memo] = ContextVar("_found")


def make_validator(schema: Schema) -> Draft202012Validator:
    """A validator for `schema` that passes over what plainly fits; what it says of the rest is jsonschema's.

    Only of an `anyOf` it names at most BRANCH_ERRORS errors of each branch. Draft 2020-12, references into the
    schema's own `$defs` alone.
    """
    checker = _Checker(schema)

    def fits(instance: Any, part: Any) -> bool:
        return checker.check_for(part)(instance, _found.get())

    def check_items(validator: Any, part: Any, instance: Any, schema: Schema) -> Iterator[ValidationError]:
        if isinstance(instance, list) and "prefixItems" not in schema:
            for index, item in enumerate(instance):
                if not fits(item, part):
                    yield from validator.descend(item, part, path=index)
        else:
            yield from _PLAIN["items"](validator, part, instance, schema) or ()

    def check_properties(validator: Any, parts: Any, instance: Any, _: Schema) -> Iterator[ValidationError]:
        if isinstance(instance, dict):
            for name, part in parts.items():
                if name in instance and not fits(instance[name], part):
                    yield from validator.descend(instance[name], part, path=name, schema_path=name)

    def check_others(validator: Any, part: Any, instance: Any, schema: Schema) -> Iterator[ValidationError]:
        if isinstance(part, dict) and isinstance(instance, dict) and "patternProperties" not in schema:
            known = schema.get("properties", {})
            for name, value in instance.items():
                if name not in known and not fits(value, part):
                    yield from validator.descend(value, part, path=name)
        else:
            yield from _PLAIN["additionalProperties"](validator, part, instance, schema) or ()

    changed = {
        "items": check_items, "properties": check_properties, "additionalProperties": check_others,
        "anyOf": _check_any,
    }  # fmt: skip
    kind: Any = extend(Draft202012Validator, changed)  # type: ignore[no-untyped-call]
    validator: Draft202012Validator = kind(schema)
    return validator


def find_errors(validator: Draft202012Validator, data: Any, most: int) -> list[ValidationError]:
    """The first errors of `data`, at most so many, for a validator of `make_validator`."""
    token = _found.set({})
    try:
        return list(islice(validator.iter_errors(data), most))
    finally:
        _found.reset(token)


_PLAIN: Mapping[str, Any] = Draft202012Validator.VALIDATORS


def _check_any(validator: Any, parts: Any, instance: Any, _: Schema) -> Iterator[ValidationError]:
    errors: list[ValidationError] = []
    for index, part in enumerate(parts):
        found = list(islice(validator.descend(instance, part, schema_path=index), BRANCH_ERRORS))
        if not found:
            return
        errors.extend(found)
    yield ValidationError("none of the forms fits", context=errors)


class _Checker:
    """Turns the parts of one schema into checks, each once."""

    def __init__(self, schema: Schema) -> None:
        self._definitions = schema.get("$defs", {})
        self._referred: dict[str, _Check] = {}
        # By identity; `_kept` keeps the parts alive, so that no identity comes twice.
        self._made: dict[int, _Check] = {}
        self._kept: list[Any] = []

    def check_for(self, part: Any) -> _Check:
        """The check for one part of the schema."""
        made = self._made.get(id(part))
        if made is None:
            made = self._made[id(part)] = self._make(part)
            self._kept.append(part)
        return made

    def _make(self, part: Any) -> _Check:
        if isinstance(part, bool):
            return lambda value, memo: part
        checks: list[_Check] = []
        for keyword, limit in part.items():
            if keyword in _ANNOTATIONS or keyword.startswith("x-"):
                continue
            maker = getattr(self, f"_make_{keyword.removeprefix('$').lower()}", None)
            if maker is None:
                return lambda value, memo: False
            check = maker(limit, part)
            if check is not None:
                checks.append(check)
        if len(checks) == 1:
            return checks[0]

        def check_all(value: Any, memo: _Memo) -> bool:
            for check in checks:  # noqa: SIM110 - a generator would take as long again
                if not check(value, memo):
                    return False
            return True

        return check_all

    def _make_ref(self, reference: str, _: Schema) -> _Check:
        if not reference.startswith(_REFERENCE):
            return lambda value, memo: False
        referred, definitions, check_for = self._referred, self._definitions, self.check_for

        def check(value: Any, memo: _Memo) -> bool:
            target = referred.get(reference)
            if target is None:
                target = referred[reference] = check_for(definitions[reference.removeprefix(_REFERENCE)])
            if not isinstance(value, (dict, list)):
                return target(value, memo)
            key = (id(value), reference)
            known = memo.get(key)
            if known is None:
                known = memo[key] = target(value, memo)
            return known

        return check

    def _make_type(self, names: str | list[str], _: Schema) -> _Check:
        listed = [names] if isinstance(names, str) else names
        types = tuple(kind for name in listed for kind in _TYPES[name])
        if bool in types or int not in types:
            return lambda value, memo: isinstance(value, types)
        return lambda value, memo: isinstance(value, types) and not isinstance(value, bool)

    def _make_enum(self, values: list[Any], _: Schema) -> _Check:
        texts = frozenset(value for value in values if isinstance(value, str))
        return lambda value, memo: isinstance(value, str) and value in texts

    def _make_const(self, value: Any, part: Schema) -> _Check:
        return self._make_enum([value], part)

    def _make_pattern(self, pattern: str, _: Schema) -> _Check:
        search = re.compile(pattern).search
        return lambda value, memo: not isinstance(value, str) or search(value) is not None

    def _make_minlength(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, str) or len(value) >= limit

    def _make_maxlength(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, str) or len(value) <= limit

    def _make_minitems(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, list) or len(value) >= limit

    def _make_maxitems(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, list) or len(value) <= limit

    def _make_minproperties(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, dict) or len(value) >= limit

    def _make_maxproperties(self, limit: int, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, dict) or len(value) <= limit

    def _make_minimum(self, limit: float, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, (int, float)) or value >= limit

    def _make_maximum(self, limit: float, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, (int, float)) or value <= limit

    def _make_exclusiveminimum(self, limit: float, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, (int, float)) or value > limit

    def _make_exclusivemaximum(self, limit: float, _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, (int, float)) or value < limit

    def _make_required(self, names: list[str], _: Schema) -> _Check:
        if len(names) == 1:
            (name,) = names
            return lambda value, memo: not isinstance(value, dict) or name in value
        needed = frozenset(names)
        return lambda value, memo: not isinstance(value, dict) or needed <= value.keys()

    def _make_items(self, part: Any, schema: Schema) -> _Check:
        item_check = self.check_for(part)
        if "prefixItems" in schema:
            return lambda value, memo: not isinstance(value, list)

        def check(value: Any, memo: _Memo) -> bool:
            if isinstance(value, list):
                for item in value:
                    if not item_check(item, memo):
                        return False
            return True

        return check

    def _make_prefixitems(self, parts: list[Any], _: Schema) -> _Check:
        return lambda value, memo: not isinstance(value, list)

    def _make_properties(self, parts: Schema, schema: Schema) -> _Check:
        checks = {name: self.check_for(part) for name, part in parts.items()}
        others = schema.get("additionalProperties", True)
        other: _Check | None = None if others is True else self.check_for(others)
        if "patternProperties" in schema:
            return lambda value, memo: not isinstance(value, dict)

        def check(value: Any, memo: _Memo) -> bool:
            if isinstance(value, dict):
                for name, inner in value.items():
                    found = checks.get(name, other)
                    if found is not None and not found(inner, memo):
                        return False
            return True

        return check

    def _make_additionalproperties(self, part: Any, schema: Schema) -> _Check | None:
        # Where there are `properties`, they look at all.
        return None if "properties" in schema else self._make_properties({}, schema)

    def _make_anyof(self, parts: list[Any], _: Schema) -> _Check:
        checks = [self.check_for(part) for part in parts]

        def check(value: Any, memo: _Memo) -> bool:
            for found in checks:  # noqa: SIM110 - a generator would take as long again
                if found(value, memo):
                    return True
            return False

        return check

    def _make_allof(self, parts: list[Any], _: Schema) -> _Check:
        checks = [self.check_for(part) for part in parts]
        return lambda value, memo: all(check(value, memo) for check in checks)
