"""What may be written at a place of a file: the words of its JSON Schema, and names that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.yaml_source import MAX_LEVELS
from store.reading_rows import Row
from web.caret import ITEM, Part, find_caret

Schema = Mapping[str, Any]
MOST = 60
_DEEPEST = 12


class Suggestion(Row):
    """One word that may stand there; `insert` is what is written, `about` says what it means."""

    word: str
    insert: str
    about: str


@dataclass(frozen=True)
class Suggestions:
    """Words that may replace what stands between `column` (from 1) and the caret, the likeliest first."""

    column: int
    items: Sequence[Suggestion]


def suggest(
    text: str, line: int, column: int, schema: Schema, names: Mapping[str, Sequence[str]]
) -> Suggestions | None:
    """What may be written at this line and column (from 1), None where nothing is known of the place.

    `names` are what may stand for a key beyond what the schema says, such as templates, by that key.
    """
    caret = find_caret(text, line, column)
    # Deeper nobody may write: no file is read there, and nothing is known of it.
    if caret is None or len(caret.path) > MAX_LEVELS:
        return None
    at = list(_descend([schema], caret.path, schema))
    if caret.where == "key":
        found = [item for item in _keys(at, schema) if item.word not in caret.present]
    else:
        last = next((part for part in reversed(caret.path) if part != ITEM), "")
        known = [Suggestion(word=name, insert=name, about="") for name in names.get(str(last), ())]
        if caret.path and caret.path[-1] == ITEM:
            # A list stands for any of its items: what one may be, each may be.
            at += _descend([schema], caret.path[:-1], schema)
        found = [*_values(at, schema), *known]
    return Suggestions(caret.column, _fitting(found, caret.word))


def signal_names(schema: Schema) -> list[str]:
    """The signals that a condition of this schema knows."""
    properties = schema.get("$defs", {}).get("condition", {}).get("properties", {})
    return [name for name in properties if name not in ("any", "all", "none", "event")]


def _fitting(found: Sequence[Suggestion], word: str) -> list[Suggestion]:
    lowered = word.lower()
    unique = {item.word: item for item in reversed(found)}
    fit = [item for item in unique.values() if lowered in item.word.lower()]
    order = {item.word: place for place, item in enumerate(found)}
    # What somebody has written out needs no suggestion.
    fit = [item for item in fit if item.word != word or len(fit) > 1]
    return sorted(fit, key=lambda item: (not item.word.lower().startswith(lowered), order[item.word]))[:MOST]


def _descend(schemas: Sequence[Schema], path: Sequence[Part], root: Schema) -> Iterator[Schema]:
    if not path:
        yield from schemas
        return
    part, inner = path[0], []
    for schema in (one for given in schemas for one in _expand(given, root)):
        if part == ITEM:
            items = schema.get("items")
            inner += [items] if isinstance(items, Mapping) else []
            continue
        properties = schema.get("properties", {})
        more = schema.get("additionalProperties")
        if part in properties:
            inner.append(properties[part])
        elif isinstance(more, Mapping):
            inner.append(more)
        inner += [
            given for given in schema.get("patternProperties", {}).values() if isinstance(given, Mapping)
        ]
    yield from _descend(inner, path[1:], root)


def _expand(schema: Schema, root: Schema, depth: int = 0) -> Iterator[Schema]:
    """The schema and all that it may stand for."""
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return
    yield schema
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        yield from _expand(root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {}), root, depth + 1)
    elif reference == "#":
        yield from _expand(root, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(word, ()):
            yield from _expand(one, root, depth + 1)
    for word in ("then", "else"):
        if isinstance(schema.get(word), Mapping):
            yield from _expand(schema[word], root, depth + 1)


def _keys(schemas: Sequence[Schema], root: Schema) -> Iterator[Suggestion]:
    for schema in (one for given in schemas for one in _expand(given, root)):
        for name, about in schema.get("properties", {}).items():
            yield Suggestion(word=name, insert=f"{name}: ", about=_about(about, root))


def _values(schemas: Sequence[Schema], root: Schema) -> Iterator[Suggestion]:
    for schema in (one for given in schemas for one in _expand(given, root)):
        about = str(schema.get("description", ""))
        words = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
        if schema.get("type") == "boolean":
            words += [True, False]
        for value in words:
            word = str(value).lower() if isinstance(value, bool) else str(value)
            yield Suggestion(word=word, insert=word, about=about)
        for example in schema.get("examples", ()):
            if isinstance(example, str) and len(example) <= 40 and "\n" not in example:
                yield Suggestion(word=example, insert=example, about=about or "an example")


def _about(schema: Schema, root: Schema) -> str:
    return next((str(one["description"]) for one in _expand(schema, root) if one.get("description")), "")
