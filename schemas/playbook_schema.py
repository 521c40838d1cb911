"""The JSON Schema of a playbook file, from the catalogue, the core language and the registered step types.

Editors complete from it and `validate` checks shape against it. Keywords of our own, which others ignore:
`x-expects` says in words what belongs there, `x-later` names words that a coming version understands, `x-hints`
says where a misplaced key belongs, `x-condition` and `x-step` mark what the compiler explains better.
"""

from __future__ import annotations

from typing import Any

from schemas.catalogue import Catalogue
from schemas.condition_schema import condition_definitions
from schemas.form import AGAIN, CLOCK, DAILY, DAY_GROUPS, DURATION, PERCENT, WEEKDAYS, WINDOW
from schemas.message_part import NAME_PATTERN
from schemas.step_type import StepType, StepTypes

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID_PATTERN = "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
LATER_STEPS = (
    "whatsapp", "push", "message", "task", "reward", "webhook", "choose", "repeat", "together", "start", "set",
)  # fmt: skip
CORE_STEPS = ("wait", "wait_for", "if", "experiment", "stop")
STOP_OUTCOMES = ("success", "stopped", "lost", "completed")
STEP_KEYS = ("id", "if", "then", "else", "variants", "outcomes", "send", "critical", "topic")


def build_playbook_schema(catalogue: Catalogue, step_types: StepTypes) -> Schema:
    """The schema of one file in `playbooks/`."""
    dates = sorted(name for name, signal in catalogue.signals.items() if signal.type in ("time", "date"))
    return {
        "$schema": DIALECT,
        "title": "Holdfast playbook",
        "description": "One playbook: who enters, what is done for them, and what counts as success.",
        "type": "object",
        "x-expects": "a mapping that begins with `playbook:`",
        "required": ["playbook", "title", "owner", "status", "steps"],
        "additionalProperties": False,
        "x-hints": {
            **{word: f"`{word}` stands under `enter:`." for word in
               ("when", "again", "at_most", "holdout", "group", "priority", "signals", "key")},
            "name": "Write `playbook: NAME`.", "trigger": "Write `enter:`.", "exits": "Write `exit:`.",
            "description": "Write `about:`.", "goals": "Write `goal:`.",
        },
        "properties": _playbook_properties(),
        "$defs": {
            **condition_definitions(catalogue),
            **_entry_definitions(),
            **_step_definitions(step_types, dates),
        },
    }  # fmt: skip


def _playbook_properties() -> dict[str, Schema]:
    return {
        "playbook": _named("The playbook's name, which is also its file name.", "rescue-declining-supplier"),
        "title": _text("What people call it.", "Rescue a declining supplier"),
        "owner": _text("The team or person to ask about it.", "cs-ops"),
        "status": {
            "enum": ["draft", "shadow", "live", "paused", "retired"],
            "description": "draft: nobody enters. shadow: records who would have entered and sends nothing. live: runs. "
            "paused: nobody enters, those inside stand still. retired: nobody enters, those inside finish.",
            "examples": ["draft"],
        },
        "about": {"type": "string", "description": "Why it exists and what it does, for those who read it."},
        "enter": {"$ref": "#/$defs/enter"},
        "goal": {"$ref": "#/$defs/goal"},
        "exit": {
            "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/exit"},
            "description": "What ends a run early; looked at on every signal and before each step.",
            "x-expects": "a list of exits, each with `when` or `event`",
        },
        "steps": _steps("What is done, in order.", required=True),
        "send": {"$ref": "#/$defs/send"},
        "on_change": {
            "enum": ["finish", "migrate", "stop"],
            "description": "What happens to those inside when this version replaces theirs; finish where left out.",
        },
        "max_overdue": DURATION.json_schema(
            "After a pause, what is overdue by more than this is skipped up to the next wait; 1d where left out."
        ),
    }  # fmt: skip


def _entry_definitions() -> dict[str, Schema]:
    return {
        "enter": _mapping(
            "Who enters, and under which limits. Without it a playbook is started by hand or over the API.",
            {
                "signals": {
                    "type": "array", "minItems": 1, "items": _text("A signal or event.", "health_changed"),
                    "description": "What makes the engine look; any signal used below where left out.",
                },
                "when": _condition("Who enters: every line must hold."),
                "again": AGAIN.json_schema("When a customer may enter again, from the last entry; after 7d where left out."),
                "at_most": DAILY.json_schema("Entries per day of the default zone; the rest wait by priority."),
                "holdout": PERCENT.json_schema("Share that is never treated and always measured."),
                "group": _named("At most one active run per customer in a group.", "retention"),
                "priority": {
                    "type": "integer", "minimum": 0, "maximum": 100,
                    "description": "Decides inside a group and under caps; 50 where left out.",
                },
                "key": _text("Runs are kept apart by this property too.", "renewal_id"),
            },
            ["when"],
        ),
        "goal": _mapping(
            "What counts as success. Reaching it ends the run at once.",
            {
                "name": _named("What reports call it.", "back-on-track"),
                "when": _condition("Reached when this holds."),
                "event": {"$ref": "#/$defs/event"},
                "within": {**DURATION.json_schema("The window, counted from entry."), "examples": ["21d"]},
            },
            ["within"],
        ),
        "exit": _mapping(
            "Ends the run; written as a list item with `when:` or `event:`.",
            {
                "when": _condition("Ends the run when this holds."),
                "event": {"$ref": "#/$defs/event"},
                "outcome": {
                    "enum": ["success", "stopped", "lost"],
                    "description": "How that counts; stopped where left out.",
                },
            },
            [],
        ),
        "send": {
            **_mapping(
                "When messages may leave.",
                {
                    "between": WINDOW.json_schema("In the customer's zone; a message waits until the window opens."),
                    "days": {
                        "anyOf": [
                            {"enum": [*DAY_GROUPS, *WEEKDAYS]},
                            {"type": "array", "minItems": 1, "items": {"enum": list(WEEKDAYS)}},
                        ],
                        "description": "On which days.", "x-expects": "weekdays, weekend, daily, or a list of days",
                    },
                    "at_most_late": DURATION.json_schema("A message later than this is skipped."),
                    "topic": _named("What customers can unsubscribe from.", "tips"),
                },
                [],
            ),
            "x-later": ["best_time"],
            "minProperties": 1,
        },
    }  # fmt: skip


def _step_definitions(step_types: StepTypes, dates: list[str]) -> dict[str, Schema]:
    words: dict[str, Schema] = {}
    definitions: dict[str, Schema] = {}
    for word, step_type in sorted(step_types.items()):
        words[word] = _arguments(step_type, definitions)
    words |= {
        "wait": {"$ref": "#/$defs/wait"},
        "wait_for": {"$ref": "#/$defs/wait_for"},
        "experiment": _named("The experiment's name; each customer keeps their variant.", "follow-up"),
        "stop": {
            "enum": list(STOP_OUTCOMES),
            "description": "Ends this run with an outcome.",
            "examples": ["stopped"],
        },
    }
    shared: dict[str, Schema] = {
        "id": {
            "type": "string", "pattern": ID_PATTERN, "maxLength": 64, "x-expects": "lower-case words with dashes",
            "description": "The step's name in traces, `goto` and templates; its path where left out.",
        },
        "if": _condition("Only if this holds. With `then` or `else` alone it chooses between them."),
        "then": _steps("If it holds, or the event came."),
        "else": _steps("If it doesn't hold or is unknown, or the event didn't come."),
        "variants": {
            "type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/variant"},
            "description": "The arms of the experiment by name.", "x-expects": "a mapping of variant to {weight, steps}",
        },
        "outcomes": {
            "type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/reaction"},
            "description": "What follows each outcome of the step.", "x-expects": "a mapping of outcome to next, stop, "
            "{goto: ID}, {hold: 2d} or {fallback: [steps]}",
        },
        "send": {"$ref": "#/$defs/send"},
        "critical": {"type": "boolean", "description": "Passes caps, but neither consent nor quiet hours."},
        "topic": _named("What the customer can unsubscribe from.", "tips"),
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
                                          "description": "Days without weekends and the customer's holidays."},
                        "until": {"enum": list(WEEKDAYS), "description": "The next such day."},
                        "before": {"enum": dates, "description": "A signal that holds a time or date."},
                        "by": DURATION.json_schema("How long before it; the moment itself where left out."),
                        "at": clock,
                    },
                },
            ],
        },
        "wait_for": {
            **_mapping(
                "Stands still until something happens; `then` and `else` stand beside it.",
                {
                    "event": {"$ref": "#/$defs/event"},
                    "when": _condition("Until this holds."),
                    "for": {**DURATION.json_schema("At most this long; then `else`."), "examples": ["3d"]},
                },
                ["for"],
            ),
            "x-hints": {word: f"`{word}` stands beside `wait_for`, not inside it: indent it less." for word in
                        ("then", "else")},
        },
        "variant": _mapping(
            "One arm.",
            {
                "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "examples": [50],
                           "description": "Its share, relative to the other arms."},
                "steps": _steps("What this arm does; may be empty."),
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
                        "goto": {"type": "string", "description": "Go on at the step with this id, further down."},
                        "hold": DURATION.json_schema("Try again when it may leave, at most this long."),
                        "fallback": _steps("Do these instead, then go on.", required=True),
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


def _mapping(about: str, properties: dict[str, Schema], required: list[str]) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": about,
        "additionalProperties": False,
        "properties": properties,
    }
    return {**schema, "required": required} if required else schema


def _condition(about: str) -> Schema:
    return {"$ref": "#/$defs/condition", "description": about, "x-condition": True}


def _steps(about: str, *, required: bool = False) -> Schema:
    schema: Schema = {
        "type": "array", "items": {"$ref": "#/$defs/step"}, "description": about, "x-expects": "a list of steps",
        "examples": [["wait: 3d"]],
    }  # fmt: skip
    return {**schema, "minItems": 1} if required else schema


def _text(about: str, example: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 500, "description": about, "examples": [example]}


def _named(about: str, example: str) -> Schema:
    return {
        "type": "string", "pattern": NAME_PATTERN, "maxLength": 64, "description": about, "examples": [example],
        "x-expects": "lower-case words with dashes",
    }  # fmt: skip
