"""Checks the shape of a file against its JSON Schema and tells what is wrong in the language's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from jsonschema import Draft202012Validator

from schemas.form import FORMS, FormError
from schemas.message_part import NAME_PATTERN
from schemas.problem import Report, did_you_mean, join_words, kind_of, nearest
from schemas.problem_limit import MOST_PROBLEMS
from schemas.shape_check import find_errors
from schemas.yaml_source import Path

# A jsonschema ValidationError; its declared types allow an Unset that `iter_errors` never yields.
_Error = Any

_TYPES = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number",
    "number": "a number", "boolean": "true or false", "null": "nothing",
}  # fmt: skip


# Of the keys beside a missing one, for a slip of it.
_LOOKED_AT = 50


@dataclass(frozen=True)
class ShapeFault:
    """One thing in the wrong shape; `in_condition` where the condition parser says it better."""

    path: Path
    code: str
    message: str
    hint: str
    at_key: bool = False
    in_condition: bool = False


def find_shape_faults(validator: Draft202012Validator, data: Any) -> list[ShapeFault]:
    """What the schema refuses in `data`, each fault once; of thousands the first only."""
    found: dict[tuple[Path, str], ShapeFault] = {}
    # One fault may come of several errors.
    errors = find_errors(validator, data, 10 * MOST_PROBLEMS)
    for fault in chain.from_iterable(_explain(error, validator) for error in errors):
        found.setdefault((fault.path, fault.code), fault)
        if len(found) > MOST_PROBLEMS:
            break
    return list(found.values())


def _explain(error: _Error, validator: Draft202012Validator) -> Iterator[ShapeFault]:
    path = tuple(error.absolute_path)
    inside = _in_condition(error, validator)
    match error.validator:
        case "anyOf" | "oneOf":
            yield from _explain_choice(error, validator)
            return
        case "additionalProperties":
            for key in error.instance:
                if key not in error.schema["properties"]:
                    yield _unknown_key(error, (*path, key), key, inside)
            return
        case "required":
            for key in error.validator_value:
                if key not in error.instance:
                    yield _missing_key(error, (*path, key), key, inside)
            return
    code, message, hint = _explain_value(error, path)
    yield ShapeFault(path, code, message, hint, in_condition=inside)


def _explain_choice(error: _Error, validator: Draft202012Validator) -> Iterator[ShapeFault]:
    """Of several forms the one that was meant is the one whose type fits; its own faults are told."""
    if error.schema.get("x-step"):
        return  # the step compiler names the words
    branches: dict[Any, list[_Error]] = {}
    for nested in error.context or []:
        branches.setdefault(nested.schema_path[0], []).append(nested)
    meant = [
        faults
        for faults in branches.values()
        if not any(
            not fault.relative_path and fault.validator in ("type", "enum", "const") for fault in faults
        )
    ]
    if len(meant) == 1:
        for fault in meant[0]:
            yield from _explain(fault, validator)
        return
    path = tuple(error.absolute_path)
    expects = error.schema.get("x-expects")
    enums = [
        value for fault in error.context or [] if fault.validator == "enum" for value in fault.validator_value
    ]
    hint = did_you_mean(error.instance, enums) if isinstance(error.instance, str) and enums else ""
    expected = f"Expected here: {expects}." if expects else ""
    message = f"{_subject(path)} can't be {kind_of(error.instance)}."
    if isinstance(error.instance, int) and not isinstance(error.instance, bool):
        forms = [FORMS.get(branch.get("pattern", "")) for branch in error.validator_value]
        hint = next((f"Write {form.of_number.format(error.instance)}." for form in forms if form), hint)
        if not (hint or expected):
            hint = f'Put it in quotes: "{error.instance}".'
    if error.instance is None:
        message = f"Nothing stands after {_subject(path)}."
    yield ShapeFault(path, "PB104", message, hint or expected, in_condition=_in_condition(error, validator))


def _unknown_key(error: _Error, path: Path, key: str, inside: bool) -> ShapeFault:
    schema = error.schema
    known = list(schema["properties"])
    where = f"under `{path[-2]}`" if len(path) > 1 and isinstance(path[-2], str) else "here"
    if schema.get("x-step"):
        where = "in a step"
    elif len(path) == 1:
        where = "in a file of this kind"
    hint = schema.get("x-hints", {}).get(key) or did_you_mean(key, known)
    return ShapeFault(path, "PB102", f"There is no `{key}` {where}.", hint, True, inside)


def _missing_key(error: _Error, path: Path, key: str, inside: bool) -> ShapeFault:
    about = error.schema.get("properties", {}).get(key, {})
    examples = about.get("examples") or []
    hint = about.get("description", "")
    if examples and not isinstance(examples[0], list):
        hint = f"Write `{key}: {examples[0]}`, for example. {hint}".strip()
    owner = _subject(path[:-1])
    message = f"{owner} needs `{key}`." if len(path) > 1 else f"`{key}` is missing."
    # A key that is nearly it was told as unknown already.
    hints = error.schema.get("x-hints", {})
    slip = [
        name
        for name in islice(error.instance, _LOOKED_AT)
        if name not in error.schema["properties"]
        and (nearest(name, [key]) or hints.get(name, "").startswith(f"Write `{key}:`"))
    ]
    if slip:
        return ShapeFault(
            (*path[:-1], slip[0]), "PB102", f"There is no `{slip[0]}` here.", f"Did you mean `{key}`?", True
        )
    return ShapeFault(path, "PB103", message, hint, True, inside)


def _explain_value(error: _Error, path: Path) -> tuple[str, str, str]:
    value, limit, schema = error.instance, error.validator_value, error.schema
    subject = _subject(path)
    expects = schema.get("x-expects")
    hint = f"Expected here: {expects}." if expects else _example(schema)
    match error.validator:
        case "type":
            if value is None:
                return "PB103", f"Nothing stands after {subject}.", hint
            wanted = _TYPES.get(limit, str(limit)) if isinstance(limit, str) else "something else"
            if limit == "string" and isinstance(value, (int, float)) and not expects:
                hint = f'Put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}".'
            form = FORMS.get(schema.get("pattern", ""))
            if form and form.of_number and isinstance(value, int) and not isinstance(value, bool):
                hint = f"Write {form.of_number.format(value)}."
            if isinstance(value, str) and schema.get("x-step"):
                hint = _explain_step(value, schema) or hint
            if not hint:
                hint = schema.get("description", "")
            return "PB101", f"{subject} must be {wanted}, and this is {kind_of(value)}.", hint
        case "enum" | "const":
            known = [str(item) for item in (limit if isinstance(limit, list) else [limit])]
            if value is None:
                return "PB103", f"Nothing stands after {subject}.", f"Write one of {', '.join(known)}."
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            return (
                "PB104",
                f"{subject} can't be {kind_of(value)}.",
                hint or f"Write one of {', '.join(known)}.",
            )
        case "pattern":
            return _explain_pattern(subject, value, limit, hint)
        case "minItems" if value:
            return "PB107", f"{subject} has at least {limit} items, and this has {len(value)}.", hint
        case "maxItems":
            return "PB107", f"{subject} has at most {limit} items, and this has {len(value)}.", "Divide it."
        case "minItems" | "minProperties" | "minLength":
            return "PB106", f"{subject} is empty.", hint or "Write at least one thing, or leave it out."
        case "maxProperties":
            keys = join_words(value, "and")
            return "PB108", f"{subject} says several things at once: {keys}.", "Keep one of them."
        case "minimum" | "exclusiveMinimum":
            return "PB107", f"{subject} is at least {limit}, and this is {value}.", ""
        case "maximum" | "exclusiveMaximum":
            return "PB107", f"{subject} is at most {limit}, and this is {value}.", ""
        case "uniqueItems":
            return "PB104", f"{subject} names one thing twice.", "Keep one of them."
        case "maxLength":
            return "PB107", f"{subject} is longer than {limit} characters.", "Shorten it."
    return "PB101", f"{subject} is not as it should be.", hint


def _explain_step(text: str, schema: dict[str, Any]) -> str:
    """The hint for a step written as plain text, as `- wait 3d`."""
    word, _, rest = text.partition(" ")
    if word.rstrip(":") not in schema["properties"]:
        return ""
    return f"Write `- {word.rstrip(':')}: {rest.strip() or '…'}`."


def _explain_pattern(subject: str, value: str, pattern: str, hint: str) -> tuple[str, str, str]:
    form = FORMS.get(pattern)
    if form:
        try:
            form.parse(value)
        except FormError as error:
            return "PB104", error.message, error.hint
    if pattern == NAME_PATTERN:
        slug = re.sub("[^a-z0-9]+", "-", value.lower()).strip("-")
        hint = f"Write lower-case words with dashes{f': {slug}' if slug else ''}."
    return "PB104", f"{subject} can't be {kind_of(value)}.", hint


def _in_condition(error: _Error, validator: Draft202012Validator) -> bool:
    """Whether the schema that was broken stands for a condition, or inside one."""
    root: Any = validator.schema
    node = root
    for part in error.absolute_schema_path:
        # References are followed silently: they aren't part of the path.
        while isinstance(node, dict) and part not in node and "$ref" in node:
            if node.get("x-condition"):
                return True
            node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
        if isinstance(node, dict) and node.get("x-condition"):
            return True
        node = node[part]
    return False


def _subject(path: Path) -> str:
    if not path:
        return "The file"
    last = path[-1]
    if isinstance(last, str):
        return f"`{last}`"
    owner = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"Item {last + 1} of `{owner}`"


def _example(schema: dict[str, Any]) -> str:
    examples = schema.get("examples") or []
    if not examples or isinstance(examples[0], list):
        return ""
    return f"For example {examples[0]}."


def report_shape(report: Report, validator: Draft202012Validator) -> list[ShapeFault]:
    """Report what is in the wrong shape; returns what conditions are accused of, for who parses them."""
    deferred: list[ShapeFault] = []
    # What is wrong with the whole comes before what is wrong inside it, which may follow from it.
    for fault in sorted(find_shape_faults(validator, report.source.data), key=lambda fault: len(fault.path)):
        if fault.in_condition:
            deferred.append(fault)
        else:
            report.error(fault.path, fault.code, fault.message, fault.hint, key=fault.at_key)
    return deferred
