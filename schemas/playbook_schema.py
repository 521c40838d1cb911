"""The JSON Schema of a playbook file, from the catalogue, the core language and the registered step types.

Editors complete from it and `validate` checks shape against it. Keywords of our own, which others ignore:
`x-expects` says in words what belongs there, `x-hints` says where a misplaced key belongs, `x-condition` and
`x-step` mark what the compiler explains better; `x-playbook`, `x-signal` and `x-team` mark arguments of steps that name
one.
"""

from __future__ import annotations

from schemas.catalogue import Catalogue
from schemas.condition_schema import condition_definitions
from schemas.form import AGAIN, DAILY, DAY_GROUPS, DURATION, PERCENT, WEEKDAYS, WINDOW
from schemas.schema_part import DIALECT, Schema, condition, mapping, named, steps, text
from schemas.step_schema import step_definitions
from schemas.step_type import StepTypes


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
            "pause": "Write `status: paused`.", "shadow": "Write `status: shadow`.",
            "template": "A template lies in `templates/`, beside the playbooks.",
        },
        "properties": _playbook_properties(),
        "$defs": {
            **condition_definitions(catalogue),
            **_entry_definitions(),
            **step_definitions(step_types, dates),
        },
    }  # fmt: skip


def _playbook_properties() -> dict[str, Schema]:
    return {
        "playbook": named("The playbook's name, which is also its file name.", "rescue-declining-supplier"),
        "title": text("What people call it.", "Rescue a declining supplier"),
        "owner": text("The team or person to ask about it.", "cs-ops"),
        "status": {
            "enum": ["draft", "shadow", "live", "paused", "retired"],
            "description": "draft: nobody enters. shadow: notes who would enter, sends nothing. live: runs. "
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
        "steps": steps("What is done, in order.", required=True),
        "send": {"$ref": "#/$defs/send"},
        "on_change": {
            "enum": ["finish", "migrate", "stop"],
            "description": "What happens to those inside when this version comes; finish where left out.",
        },
        "max_overdue": DURATION.json_schema(
            "After a pause, what is overdue by more is skipped up to the next wait; 1d where left out."
        ),
    }  # fmt: skip


def _entry_definitions() -> dict[str, Schema]:
    return {
        "enter": mapping(
            "Who enters, and under which limits. Without it a playbook is started by hand or over the API.",
            {
                "signals": {
                    "type": "array", "minItems": 1, "items": text("A signal or event.", "health_changed"),
                    "description": "What makes the engine look; any signal used below where left out.",
                },
                "when": condition("Who enters: every line must hold."),
                "again": AGAIN.json_schema("When a customer may enter again; after 7d where left out."),
                "at_most": DAILY.json_schema("Entries per day; the rest wait by priority."),
                "holdout": PERCENT.json_schema("Share that is never treated and always measured."),
                "group": named("At most one active run per customer in a group.", "retention"),
                "priority": {
                    "type": "integer", "minimum": 0, "maximum": 100,
                    "description": "Decides inside a group and under caps; 50 where left out.",
                },
                "key": text("Runs are kept apart by this signal too.", "renewal_id"),
            },
            ["when"],
        ),
        "goal": mapping(
            "What counts as success. Reaching it ends the run at once.",
            {
                "name": named("What reports call it.", "back-on-track"),
                "when": condition("Reached when this holds."),
                "event": {"$ref": "#/$defs/event"},
                "within": {**DURATION.json_schema("The window, counted from entry."), "examples": ["21d"]},
            },
            ["within"],
        ),
        "exit": mapping(
            "Ends the run; written as a list item with `when:` or `event:`.",
            {
                "when": condition("Ends the run when this holds."),
                "event": {"$ref": "#/$defs/event"},
                "outcome": {
                    "enum": ["success", "stopped", "lost"],
                    "description": "How that counts; stopped where left out.",
                },
            },
            [],
        ),
        "send": {
            **mapping(
                "When messages may leave.",
                {
                    "between": WINDOW.json_schema("Local time of the customer; messages wait for it."),
                    "days": {
                        "anyOf": [
                            {"enum": [*DAY_GROUPS, *WEEKDAYS]},
                            {"type": "array", "minItems": 1, "items": {"enum": list(WEEKDAYS)}},
                        ],
                        "description": "On which days.",
                        "x-expects": "weekdays, weekend, daily, or a list of days",
                    },
                    "at_most_late": DURATION.json_schema("A message later than this is skipped."),
                    "best_time": {
                        "type": "boolean",
                        "description": "At the hour at which this customer answers best, inside the window and "
                        "at most `at_most_late` after it was due.",
                    },
                    "topic": named("What customers can unsubscribe from.", "tips"),
                },
                [],
            ),
            "minProperties": 1,
        },
    }  # fmt: skip
