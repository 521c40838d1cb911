"""The part of the JSON Schema that is about steps: the language's own and the registered step types."""

from __future__ import annotations

from typing import Any

from schemas.flow_schema import flow_definitions, flow_words
from schemas.schema_part import Schema, condition, named, steps
from schemas.step_type import StepType, StepTypes

ID_PATTERN = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
FLOW_STEPS = ("wait", "wait_for", "choose", "repeat", "together", "experiment", "stop")
CORE_STEPS = (*FLOW_STEPS, "if")
STEP_KEYS = ("id", "if", "then", "else", "variants", "outcomes", "send", "critical", "topic")


def step_definitions(step_types: StepTypes, dates: list[str]) -> dict[str, Schema]:
    """The definition `step` and all that it refers to; `dates` are the signals that a wait can count from."""
    words: dict[str, Schema] = {}
    definitions: dict[str, Schema] = {}
    for word, step_type in sorted(step_types.items()):
        words[word] = _arguments(step_type, definitions)
    words |= flow_words()
    shared: dict[str, Schema] = {
        "id": {
            "type": "string", "pattern": ID_PATTERN, "maxLength": 64,
            "x-expects": "lower-case words with dashes",
            "description": "The step's name in traces, `goto` and templates; its path where left out.",
        },
        "if": condition("Only if this holds. With `then` or `else` alone it chooses between them."),
        "then": steps("If it holds, or the event came."),
        "else": steps("If it doesn't hold or is unknown, the event didn't come, or no way was chosen."),
        "variants": {
            "type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/variant"},
            "description": "The arms of the experiment by name.",
            "x-expects": "a mapping of variant to {weight, steps}",
        },
        "outcomes": {
            "type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/reaction"},
            "description": "What follows each outcome of the step.",
            "x-expects": "a mapping of outcome to next, stop, "
            "{goto: ID}, {hold: 2d} or {fallback: [steps]}",
        },
        "send": {"$ref": "#/$defs/send"},
        "critical": {"type": "boolean", "description": "Passes caps, but neither consent nor quiet hours."},
        "topic": named("What the customer can unsubscribe from.", "tips"),
    }  # fmt: skip
    step: Schema = {
        "type": "object",
        "x-expects": "a step such as `- wait: 3d`",
        "x-step": True,
        "x-hints": {
            "template": "The template stands after the channel, as in email: NAME.",
            "steps": "Steps inside a step stand under `then`, `else`, a variant, or a way of `choose`.",
            "when": "Write `if:`.",
            "until": "`until` stands under `repeat:`.",
            "at_most": "`at_most` stands under `repeat:`.",
            "switch": "Write `choose:`.",
            "case": "Write `choose:`.",
            "loop": "Write `repeat:`.",
            "parallel": "Write `together:`.",
            "delay": "Write `wait:`.",
            "sleep": "Write `wait:`.",
            "goto": "It stands under `outcomes:`, as in no_answer: {goto: ID}.",
            "fallback": "It stands under `outcomes:`, as in failed: {fallback: […]}.",
        },
        "additionalProperties": False,
        "anyOf": [{"required": [word]} for word in [*words, "if"]],
        "properties": {**words, **shared},
    }
    return {**definitions, "step": step, **flow_definitions(dates)}


def _arguments(step_type: StepType, definitions: dict[str, Schema]) -> Schema:
    """What may stand after a step type's word; its nested models go to `definitions`."""
    made = step_type.arguments.model_json_schema(ref_template=f"#/$defs/{step_type.word}.{{model}}")
    for name, nested in made.pop("$defs", {}).items():
        definitions[f"{step_type.word}.{name}"] = _tidy(nested)
    mapping = {**_tidy(made), "x-expects": f"what `{step_type.word}` needs"}
    if step_type.shorthand is None:
        return {**mapping, "description": step_type.about}
    field = step_type.arguments.model_fields[step_type.shorthand]
    plain = _scalar(mapping["properties"][field.alias or step_type.shorthand])
    expects = f"{step_type.shorthand.replace('_', ' ')} or a mapping"
    return {"description": step_type.about, "x-expects": f"a {expects}", "anyOf": [plain, mapping]}


def _scalar(schema: Schema) -> Schema:
    """Of a shorthand's forms those that are no mapping: a mapping after the word holds the arguments."""
    if "anyOf" not in schema:
        return schema
    plain = [branch for branch in schema["anyOf"] if "$ref" not in branch and branch.get("type") != "object"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**plain[0], **rest} if len(plain) == 1 else {**rest, "anyOf": plain}


def _tidy(schema: Any) -> Any:
    """Drop what pydantic writes for programs: titles, and null for what may be left out."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            # Below this, `title` and `default` are names that somebody chose.
            kept[key] = {name: _tidy(nested) for name, nested in value.items()}
        elif key not in ("title", "default"):
            kept[key] = _tidy(value)
    branches = [branch for branch in kept.get("anyOf", []) if branch != {"type": "null"}]
    if len(branches) == 1 and "anyOf" in kept:
        kept.pop("anyOf")
        return {**branches[0], **kept}
    return {**kept, "anyOf": branches} if branches else kept
