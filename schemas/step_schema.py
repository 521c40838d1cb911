"""The part of the JSON Schema that is about steps: the language's own and the registered step types."""

from __future__ import annotations

from typing import Any

from schemas.form import CLOCK, DURATION, WEEKDAYS
from schemas.schema_part import Schema, condition, mapping, named, steps
from schemas.step_type import StepType, StepTypes

ID_PATTERN = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
LATER_STEPS = (
    "whatsapp", "push", "message", "task", "reward", "webhook",
    "choose", "repeat", "together", "start", "set",
)  # fmt: skip
CORE_STEPS = ("wait", "wait_for", "if", "experiment", "stop")
STOP_OUTCOMES = ("success", "stopped", "lost", "completed")
STEP_KEYS = ("id", "if", "then", "else", "variants", "outcomes", "send", "critical", "topic")


def step_definitions(step_types: StepTypes, dates: list[str]) -> dict[str, Schema]:
    """The definition `step` and all that it refers to; `dates` are the signals that a wait can count from."""
    words: dict[str, Schema] = {}
    definitions: dict[str, Schema] = {}
    for word, step_type in sorted(step_types.items()):
        words[word] = _arguments(step_type, definitions)
    words |= {
        "wait": {"$ref": "#/$defs/wait"},
        "wait_for": {"$ref": "#/$defs/wait_for"},
        "experiment": named("The experiment's name; each customer keeps their variant.", "follow-up"),
        "stop": {
            "enum": list(STOP_OUTCOMES),
            "description": "Ends this run with an outcome.",
            "examples": ["stopped"],
        },
    }
    shared: dict[str, Schema] = {
        "id": {
            "type": "string", "pattern": ID_PATTERN, "maxLength": 64,
            "x-expects": "lower-case words with dashes",
            "description": "The step's name in traces, `goto` and templates; its path where left out.",
        },
        "if": condition("Only if this holds. With `then` or `else` alone it chooses between them."),
        "then": steps("If it holds, or the event came."),
        "else": steps("If it doesn't hold or is unknown, or the event didn't come."),
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
        "x-later": list(LATER_STEPS),
        "x-hints": {
            "template": "The template stands after the channel, as in email: NAME.",
            "steps": "Steps inside a step stand under `then`, `else` or a variant.",
            "when": "Write `if:`.",
        },
        "additionalProperties": False,
        "anyOf": [{"required": [word]} for word in [*words, "if"]],
        "properties": {**words, **shared},
    }
    return {**definitions, "step": step, **_flow_definitions(dates)}


def _flow_definitions(dates: list[str]) -> dict[str, Schema]:
    clock = CLOCK.json_schema("Local time of the customer; the time of day is kept where left out.")
    return {
        "wait": {
            "description": "Stands still: 3d, {days: 3, at: \"09:30\"}, {until: friday, at: \"10:00\"}, "
            "{business_days: 2} or {before: renewal_date, by: 14d}.",
            "x-expects": "a duration (3d) or a mapping with days, until, business_days or before",
            "anyOf": [
                DURATION.json_schema(),
                {
                    "type": "object", "minProperties": 1, "additionalProperties": False,
                    "x-hints": {"for": "Write the duration alone, as in wait: 3d.",
                                "hours": "Write the duration alone, as in wait: 12h."},
                    "properties": {
                        "days": {"type": "integer", "minimum": 1, "maximum": 3660,
                                 "description": "Calendar days in the customer's zone."},
                        "business_days": {"type": "integer", "minimum": 1, "maximum": 3660,
                                          "description": "Weekends and holidays don't count."},
                        "until": {"enum": list(WEEKDAYS), "description": "The next such day."},
                        "before": {"enum": dates, "description": "A signal that holds a time or date."},
                        "by": DURATION.json_schema("How long before it; the moment itself where left out."),
                        "at": clock,
                    },
                },
            ],
        },
        "wait_for": {
            **mapping(
                "Stands still until something happens; `then` and `else` stand beside it.",
                {
                    "event": {"$ref": "#/$defs/event"},
                    "when": condition("Until this holds."),
                    "for": {**DURATION.json_schema("At most this long; then `else`."), "examples": ["3d"]},
                },
                ["for"],
            ),
            "x-hints": {word: f"`{word}` stands beside `wait_for`, not inside it: indent it less." for word in
                        ("then", "else")},
        },
        "variant": mapping(
            "One arm.",
            {
                "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "examples": [50],
                           "description": "Its share, relative to the other arms."},
                "steps": steps("What this arm does; may be empty."),
            },
            ["weight", "steps"],
        ),
        "reaction": {
            "description": "next, stop, {goto: ID}, {hold: 2d} or {fallback: [steps]}.",
            "x-expects": "next, stop, {goto: ID}, {hold: 2d} or {fallback: [steps]}",
            "anyOf": [
                {"type": "string", "pattern": "^(next|stop|goto:? *.+|hold:? *.+)$"},
                {
                    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
                    "x-hints": {"next": "Write the word alone.", "stop": "Write the word alone."},
                    "properties": {
                        "goto": {"type": "string", "description": "Go on at this id, further down."},
                        "hold": DURATION.json_schema("Try again when it may leave, at most this long."),
                        "fallback": steps("Do these instead, then go on.", required=True),
                    },
                },
            ],
        },
    }  # fmt: skip


def _arguments(step_type: StepType, definitions: dict[str, Schema]) -> Schema:
    """What may stand after a step type's word; its nested models go to `definitions`."""
    made = step_type.arguments.model_json_schema(ref_template=f"#/$defs/{step_type.word}.{{model}}")
    for name, nested in made.pop("$defs", {}).items():
        definitions[f"{step_type.word}.{name}"] = _tidy(nested)
    mapping = {**_tidy(made), "x-expects": f"what `{step_type.word}` needs"}
    if step_type.shorthand is None:
        return {**mapping, "description": step_type.about}
    plain = mapping["properties"][step_type.shorthand]
    expects = f"{step_type.shorthand.replace('_', ' ')} or a mapping"
    return {"description": step_type.about, "x-expects": f"a {expects}", "anyOf": [plain, mapping]}


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
