"""The JSON Schemas as editors get them: the same files fit, with more beside each word to show and to offer.

An editor shows the first description that it meets, and meets what a reference leads to before what stands
beside it; it completes a value from `examples`, names a group of words by its `title`, and tells a broken
pattern in the words of `patternErrorMessage`. None of these changes what a schema accepts.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.form import AGAIN, CLOCK, DAILY, DURATION, PERCENT, RATE, WINDOW
from schemas.message_part import NAME_PATTERN
from schemas.schema_part import Schema

_REFERENCE = "#/$defs/"
# What stands in a description and would be read as Markdown, or escaped where an editor takes it for plain text.
_MARKUP = re.compile(r"[`{}_*\[\]<>#]")

_EXAMPLES = {
    DURATION.pattern: ["3d", "12h", "30m", "2w"],
    CLOCK.pattern: ["09:30"],
    WINDOW.pattern: ["09:00-18:00"],
    RATE.pattern: ["3 per 7d"],
    DAILY.pattern: ["200 per day"],
    PERCENT.pattern: ["10%"],
    AGAIN.pattern: ["after 30d", "never", "always", "3 per 365d"],
}
# By definition, for the branch that is text; what can be written there is no list.
_TEXT_EXAMPLES = {"number_expectation": ["< 40", ">= 60", "40..60"], "reaction": ["next", "stop"]}
_STEPS_EXAMPLE = [{"wait": "3d"}]


def adapt_for_editors(schema: Schema, outcomes: Iterable[str] = ()) -> Schema:
    """A copy of `schema` for editors; `outcomes` are the words that are offered under `outcomes:`."""
    # By way of text, so that no two places share a part: what is said of one isn't said of the other.
    adapted: Schema = json.loads(json.dumps(schema))
    definitions = adapted.get("$defs", {})
    for name, examples in _TEXT_EXAMPLES.items():
        for branch in definitions.get(name, {}).get("anyOf", []):
            if branch.get("type") == "string":
                branch.setdefault("examples", examples)
    used = Counter(part["$ref"] for part in _parts(adapted) if "$ref" in part)
    for part in list(_parts(adapted)):
        for name, described in part.get("properties", {}).items():
            _name_property(described, name, definitions, used)
    for definition in definitions.values():
        # Every word that leads here says it itself now; an editor would show this one first.
        definition.pop("description", None)
    for part in _parts(adapted):
        _offer_values(part)
        _speak_for_branches(part)
    for part in _parts(adapted):
        if _MARKUP.search(part.get("description", "")):
            part["markdownDescription"] = part["description"]
    _offer_outcomes(definitions.get("step", {}), sorted(outcomes))
    return adapted


def _parts(schema: Any) -> Iterator[Schema]:
    """Every schema inside `schema`, itself included; never a mapping of names to schemas."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in ("properties", "$defs", "patternProperties"):
            for nested in value.values():
                yield from _parts(nested)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            for nested in value:
                yield from _parts(nested)
        elif key in ("items", "additionalProperties", "propertyNames", "not"):
            yield from _parts(value)


def _name_property(
    described: Schema, name: str, definitions: dict[str, Schema], used: Mapping[str, int]
) -> None:
    """Give a word its name and its own description, also where it leads to a definition.

    Of a mapping that a bare reference leads to, editors overlook what stands beside the reference.
    """
    described.setdefault("title", name)
    reference = described.get("$ref", "")
    if not reference.startswith(_REFERENCE):
        return
    target = definitions[reference.removeprefix(_REFERENCE)]
    described.setdefault("description", target.get("description", ""))
    if target.get("type") != "object":
        return
    del described["$ref"]
    if used[reference] == 1:
        del definitions[reference.removeprefix(_REFERENCE)]
        described.update({**target, **described})
    else:
        described.update({"type": "object", "allOf": [{"$ref": reference}]})


def _offer_values(part: Schema) -> None:
    """Values to choose from, and what belongs there where something else is written."""
    pattern = part.get("pattern")
    if pattern in _EXAMPLES:
        part.setdefault("examples", _EXAMPLES[pattern])
    if pattern and (part.get("x-expects") or pattern == NAME_PATTERN):
        part["patternErrorMessage"] = (
            f"Expected here: {part.get('x-expects', 'lower-case words with dashes')}."
        )
    examples = part.get("examples")
    if examples and isinstance(examples[0], list):
        part["examples"] = [_STEPS_EXAMPLE]


def _speak_for_branches(part: Schema) -> None:
    """Where a word has several forms, the word's own description is shown for each."""
    if "description" in part:
        for branch in part.get("anyOf", []):
            branch.pop("description", None)
            if "title" in part:
                branch.setdefault("title", part["title"])


def _offer_outcomes(step: Schema, outcomes: list[str]) -> None:
    reactions = step.get("properties", {}).get("outcomes")
    if reactions and isinstance(reactions.get("additionalProperties"), dict):
        reaction = reactions["additionalProperties"]
        reactions["properties"] = {
            name: {
                **copy.deepcopy(reaction),
                "title": name,
                "description": f"What follows where the step ends with `{name}`.",
            }
            for name in outcomes
        } | reactions.get("properties", {})
