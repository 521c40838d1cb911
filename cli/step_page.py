"""docs/steps.md, written from the registered step types so that it can't fall behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from activities.registry import find_step_types
from schemas.flow_schema import flow_words
from schemas.schema_part import Schema
from schemas.step_schema import step_definitions
from schemas.step_type import StepType, StepTypes

_INTRO = """# Steps

Every word that can stand in `steps:`. This page is generated from the step types that are registered in `activities/`;
after a change there, write it again with `python -m cli.step_page > docs/steps.md`.
[The language](language.md) says what the words mean together, and which words may stand beside any of them.
"""
_REFERENCE = "#/$defs/"


def render_steps(step_types: StepTypes) -> str:
    """The page as Markdown, ending with a newline."""
    definitions = step_definitions(step_types, [])
    words = definitions["step"]["properties"]
    lines = [_INTRO, "## Registered step types", ""]
    for word, step_type in sorted(step_types.items()):
        lines += _section(word, step_type, words[word], definitions)
    lines += ["## The language's own", "", "| word | does |", "|---|---|"]
    own: Mapping[str, Schema] = {**flow_words(), "if": words["if"]}
    for word, schema in sorted(own.items()):
        about = schema.get("description") or definitions[word].get("description", "")
        lines.append(f"| `{word}` | {_cell(about)} |")
    return "\n".join(lines) + "\n"


def _section(word: str, step_type: StepType, schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    arguments = _mapping_of(schema)
    required = arguments.get("required", [])
    lines = [f"### `{word}`", _sentence(step_type.about), ""]
    lines += ["| argument | is | what |", "|---|---|---|"]
    for name, argument in arguments["properties"].items():
        about = _cell(argument.get("description", ""))
        needed = " Needed." if name in required else ""
        lines.append(f"| `{name}` | {_cell(_kind(argument, definitions))} | {about}{needed} |")
    ends = ", ".join(f"`{outcome}`" for outcome in step_type.outcomes)
    more = ", or the words of whoever does it" if step_type.human else ""
    lines += ["", f"Ends with {ends}{more}.", ""]
    return lines


def _mapping_of(schema: Schema) -> Schema:
    """The mapping of arguments, where a shorthand stands beside it."""
    if "properties" in schema:
        return schema
    return next(branch for branch in schema["anyOf"] if "properties" in branch)


def _kind(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """What kind of value an argument takes, in a few words."""
    if "x-expects" in schema:
        return str(schema["x-expects"]).partition(" (")[0]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        if name.endswith(".DefaultedText"):
            return "{text: …, default: …}"
        fields = definitions[name].get("properties", {})
        return f"{{{', '.join(f'{field}: …' for field in fields)}}}"
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(branch, definitions) for branch in schema["anyOf"]))
    kinds: Mapping[Any, str] = {
        "string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number",
        "array": "a list", "object": "a mapping of name to value",
    }  # fmt: skip
    return kinds.get(schema.get("type"), "any value")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _sentence(text: str) -> str:
    text = _cell(text)
    return text if text.endswith((".", "!", "?")) else f"{text}."


if __name__ == "__main__":
    print(render_steps(find_step_types()), end="")
