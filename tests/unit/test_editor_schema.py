"""The schemas that editors get: every word explained, and the same files accepted as by `holdfast validate`."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from activities.registry import find_step_types
from cli.schema import build_schemas
from schemas.catalogue import load_catalogue
from schemas.editor_schema import adapt_for_editors
from schemas.playbook_schema import build_playbook_schema
from schemas.playbook_test_schema import build_playbook_test_schema
from schemas.policy_schema import build_policy_schema
from schemas.shape import find_shape_faults
from schemas.shape_check import find_errors, make_validator
from schemas.template_schema import build_template_schema
from schemas.yaml_source import read_bytes

ROOT = Path(__file__).parents[2]
PLAIN = {
    "playbook": build_playbook_schema(load_catalogue(), find_step_types()),
    "playbook-test": build_playbook_test_schema(load_catalogue(), find_step_types()),
    "policy": build_policy_schema(),
    "template": build_template_schema(),
}
# Data of all kinds: what ships, and every file of tests/bad_playbooks.
FILES = sorted([*(ROOT / "playbooks").rglob("*.yaml"), *(ROOT / "tests" / "bad_playbooks").rglob("*.yaml")])
DATA = [source.data for path in FILES if (source := read_bytes(path.read_bytes(), str(path))[0])]
JUNK: list[Any] = [
    None,
    True,
    0,
    1.5,
    2.0,
    10**20,
    "",
    "x",
    "3d",
    "> 4",
    [],
    {},
    [1],
    [None],
    {"a": 1},
    [{"wait": "3d"}],
]


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema; never a mapping of names to schemas."""
    if isinstance(schema, list):
        for item in schema:
            yield from parts(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                yield from parts(list(value.values()))
            elif key not in ("examples", "enum", "const", "required") and not key.startswith("x-"):
                yield from parts(value)


@pytest.mark.parametrize("name", PLAIN)
def test_every_word_has_a_description_and_a_name(name: str) -> None:
    schema = build_schemas()[f"{name}.schema.json"]
    Draft202012Validator.check_schema(schema)
    words = [item for part in parts(schema) for item in part.get("properties", {}).items()]
    assert len(words) >= 10
    for word, described in words:
        assert described["title"], word
        # A sentence, or the type of a signal after it.
        assert described.get("description", "").endswith((".", ")", "…")), (word, described)
        assert described.get("markdownDescription", described["description"]) == described["description"]


@pytest.mark.parametrize("name", PLAIN)
def test_every_definition_is_used_and_every_reference_leads_to_one(name: str) -> None:
    schema = build_schemas()[f"{name}.schema.json"]
    used = {part["$ref"].removeprefix("#/$defs/") for part in parts(schema) if "$ref" in part}
    assert used == set(schema.get("$defs", {}))


def test_the_plain_schema_is_left_as_it_is() -> None:
    before = json.dumps(PLAIN["playbook"])
    adapt_for_editors(PLAIN["playbook"], ["sent"])
    assert json.dumps(PLAIN["playbook"]) == before


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def spoil(data: Any, chance: random.Random) -> Any:
    """`data` with some of its values replaced, removed or added to."""
    data = copy.deepcopy(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        found = list(places(data))
        if not found:
            break
        path = chance.choice(found)
        around = data
        for part in path[:-1]:
            around = around[part]
        deed = chance.random()
        if deed < 0.6:
            around[path[-1]] = copy.deepcopy(chance.choice(JUNK))
        elif deed < 0.8:
            del around[path[-1]]
        elif isinstance(around, dict):
            around[chance.choice(("when", "steps", "event", "foo", "text", "for"))] = copy.deepcopy(
                chance.choice(JUNK)
            )
    return data


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("seed", range(3))
def test_editors_the_quick_check_and_jsonschema_accept_the_same_files(name: str, seed: int) -> None:
    chance = random.Random(seed)
    plain = Draft202012Validator(PLAIN[name])
    quick = make_validator(PLAIN[name])
    editor = Draft202012Validator(build_schemas()[f"{name}.schema.json"])
    # Few of the files are policies: so many rounds that some are met.
    accepted, rounds = 0, 400
    for _ in range(rounds):
        data = spoil(chance.choice(DATA), chance)
        good = plain.is_valid(data)
        accepted += good
        assert editor.is_valid(data) == good, data
        assert (find_errors(quick, data, 1) == []) == good, data
    assert 0 < accepted < rounds


@pytest.mark.parametrize("name", PLAIN)
def test_the_quick_check_finds_the_faults_that_jsonschema_finds(name: str) -> None:
    chance = random.Random(11)
    plain = Draft202012Validator(PLAIN[name])
    quick = make_validator(PLAIN[name])
    for _ in range(150):
        data = spoil(chance.choice(DATA), chance)
        assert sorted(map(repr, find_shape_faults(quick, data))) == sorted(
            map(repr, find_shape_faults(plain, data))
        )


NODE = {"properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["x"]}
KEYWORDS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"type": "integer"}, [1, 1.0, 1.5, True, "1", None]),
    ({"type": ["string", "boolean"]}, ["x", True, 1]),
    ({"type": "number"}, [1, True, 2.5]),
    ({"enum": ["a", 1, None]}, ["a", 1, 1.0, True, None, "b"]),
    ({"const": "a"}, ["a", "b", 1]),
    ({"pattern": "^a$"}, ["a", "a\n", "ab", 5]),
    ({"minLength": 2, "maxLength": 3}, ["a", "ab", "abcd", 7]),
    ({"minItems": 1, "maxItems": 2}, [[], [1], [1, 2, 3]]),
    ({"minimum": 1, "exclusiveMaximum": 3}, [0, 1, 2.9, 3, "x", True]),
    ({"maximum": 1, "exclusiveMinimum": 0}, [0, 1, 0.5, 2]),
    ({"required": ["a"], "minProperties": 2}, [{"a": 1}, {"a": 1, "b": 2}, {"b": 1, "c": 2}, 3]),
    ({"required": ["a", "b"], "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1, "c": 2}]),
    (
        {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        [{"a": "x"}, {"a": 1}, {"b": 1}, {"b": "x"}, {}, []],
    ),
    ({"additionalProperties": False}, [{}, {"a": 1}, []]),
    ({"items": {"type": "string"}}, [["a"], [1], [], {}]),
    ({"items": False}, [[], [1]]),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, [["a", 1], [1], ["a", "b"], []]),
    (
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
        [{"ab": "x"}, {"b": 1}, {"ab": 1}],
    ),
    ({"properties": {"a": False}}, [{}, {"a": 1}]),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, ["x", 3, 2, []]),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, [3, 2, "x"]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, [1, 3, 3.5, "x"]),
    ({"not": {"type": "string"}}, ["x", 1]),
    ({"uniqueItems": True}, [[1, 1], [1, 2]]),
    (
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        [{"x": 1}, {"x": 1, "next": {"x": 1}}, {"x": 1, "next": {}}, {"x": 1, "next": {"x": 1, "next": {}}}],
    ),
]


@pytest.mark.parametrize(("schema", "data"), KEYWORDS, ids=["-".join(schema) for schema, _ in KEYWORDS])
def test_the_quick_check_agrees_with_jsonschema_on_every_keyword(
    schema: dict[str, Any], data: list[Any]
) -> None:
    wrapped = {
        "$defs": schema.get("$defs", {}),
        "items": {key: schema[key] for key in schema if key != "$defs"},
    }
    plain, quick = Draft202012Validator(wrapped), make_validator(wrapped)
    for value in data:
        assert (find_errors(quick, [value], 100) == []) == plain.is_valid([value]), value
