"""What stands in the checked arguments of a step: its texts, and the names of playbooks and signals.

An argument that names a playbook carries `json_schema_extra={"x-playbook": True}`, one that names a signal `x-signal`,
one that names a team `x-team`, and a tree of any shape whose strings are texts (the body of a request) `x-texts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.message_part import HTML_PARTS, DefaultedText
from schemas.yaml_source import Path


@dataclass(frozen=True)
class Argument:
    """One value among a step's arguments; `path` leads to it from the step's word, in the words of the file."""

    kind: Literal["text", "html", "playbook", "signal", "team"]
    value: Any
    path: Path


def find_arguments(
    model: type[BaseModel], args: Mapping[str, Any], *, as_written: bool = True
) -> Iterator[Argument]:
    """The texts (`Part`) and marked names in `args`, as `model` dumped them, nested ones included.

    as_written: paths are in the words of the file; else in those of `args`.
    """
    for name, field in model.model_fields.items():
        if args.get(name) is None:
            continue
        path: Path = ((field.alias if as_written else None) or name,)
        mark = _mark(field)
        if mark:
            values = args[name] if isinstance(args[name], list) else [args[name]]
            single = values is not args[name]
            yield from (
                Argument(mark, value, path if single else (*path, index))
                for index, value in enumerate(values)
            )
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("x-texts"):
            yield from _find_strings(args[name], path)
            continue
        html = name in HTML_PARTS
        yield from _find_texts(field.annotation, args[name], path, html=html, as_written=as_written)


def _mark(field: FieldInfo) -> Literal["playbook", "signal", "team"] | None:
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        return None
    if extra.get("x-playbook"):
        return "playbook"
    if extra.get("x-team"):
        return "team"
    return "signal" if extra.get("x-signal") else None


def _find_strings(value: Any, path: Path) -> Iterator[Argument]:
    if isinstance(value, str):
        yield Argument("text", value, path)
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from _find_strings(item, (*path, key))
    for index, item in enumerate(value) if isinstance(value, list) else ():
        yield from _find_strings(item, (*path, index))


def _find_texts(
    annotation: Any, value: Any, path: Path, *, html: bool, as_written: bool
) -> Iterator[Argument]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _find_texts(inner[0], value, path, html=html, as_written=as_written)
    elif origin in (Union, UnionType):
        if DefaultedText in inner and _is_part(value):
            yield Argument("html" if html else "text", value, path)
            return
        for option in inner:
            yield from _find_texts(option, value, path, html=html, as_written=as_written)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict):
        for found in find_arguments(annotation, value, as_written=as_written):
            yield Argument(found.kind, found.value, (*path, *found.path))
    elif isinstance(value, dict) and len(inner) == 2:
        for key, item in value.items():
            yield from _find_texts(inner[1], item, (*path, key), html=html, as_written=as_written)
    elif isinstance(value, list) and inner:
        for index, item in enumerate(value):
            option = inner[index] if len(inner) > index and inner[-1] is not Ellipsis else inner[0]
            yield from _find_texts(option, item, (*path, index), html=html, as_written=as_written)


def _is_part(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and value.keys() == {"text", "default"})
