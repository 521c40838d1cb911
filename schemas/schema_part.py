"""Pieces that the JSON Schemas of several kinds of file are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.message_part import NAME_PATTERN

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def mapping(about: str, properties: dict[str, Schema], required: Sequence[str] = ()) -> Schema:
    """A mapping of exactly these keys."""
    schema: Schema = {
        "type": "object",
        "description": about,
        "additionalProperties": False,
        "properties": properties,
    }
    return {**schema, "required": [*required]} if required else schema


def condition(about: str) -> Schema:
    """Where a condition stands."""
    return {"$ref": "#/$defs/condition", "description": about, "x-condition": True}


def steps(about: str, *, required: bool = False) -> Schema:
    """A list of steps."""
    schema: Schema = {
        "type": "array", "items": {"$ref": "#/$defs/step"}, "description": about,
        "x-expects": "a list of steps",
        "examples": [["wait: 3d"]],
    }  # fmt: skip
    return {**schema, "minItems": 1} if required else schema


def text(about: str, example: str) -> Schema:
    """Any text."""
    return {"type": "string", "minLength": 1, "maxLength": 500, "description": about, "examples": [example]}


def named(about: str, example: str) -> Schema:
    """Lower-case words with dashes."""
    return {
        "type": "string", "pattern": NAME_PATTERN, "maxLength": 64,
        "description": about, "examples": [example],
        "x-expects": "lower-case words with dashes",
    }  # fmt: skip
