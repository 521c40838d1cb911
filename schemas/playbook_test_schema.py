"""The JSON Schema of a file in `playbooks/tests/`."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.catalogue import Catalogue
from schemas.message_part import NAME_PATTERN
from schemas.schema_part import DIALECT, Schema, mapping
from schemas.step_type import StepTypes

OFFSET_PATTERN = "^[+-]?([0-9]+[mhdw])+$"
# What a run tells of beside the steps that do something.
FLOW_KINDS = ("wait", "wait_for", "if", "choose", "repeat", "experiment", "stop")
DEEDS = ("pause", "resume", "stop", "complete")
ANYTHING = "..."
TEXTS = ("subject", "title", "text", "html", "about", "detail", "reason")
NAMES = ("step", "variant", "channel", "to", "assignee", "template", "feature", "playbook", "entry")
ENDS = ("success", "stopped", "lost", "completed", "expired")


def kinds_of(step_types: StepTypes) -> list[str]:
    """What a line of a timeline can be about."""
    return [*step_types, "escalation", *FLOW_KINDS, *(deed for deed in DEEDS if deed not in FLOW_KINDS)]


def build_playbook_test_schema(catalogue: Catalogue, step_types: StepTypes) -> Schema:
    """The schema of one file of tests."""
    lines: Schema = {
        "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/expectation"},
        "x-expects": "a list of lines such as `- email: sent`",
    }  # fmt: skip
    return {
        "$schema": DIALECT,
        "title": "Holdfast playbook tests",
        "description": "What a playbook is expected to do for a customer; `holdfast test` checks it.",
        "type": "object",
        "x-expects": "a mapping that begins with `playbook:`",
        "required": ["playbook", "tests"],
        "additionalProperties": False,
        "x-hints": {"test": "Write `tests:` and a list.", "cases": "Write `tests:` and a list."},
        "properties": {
            "playbook": {
                "type": "string", "pattern": NAME_PATTERN, "maxLength": 64, "examples": ["come-back"],
                "description": "The playbook that is tested.", "x-expects": "lower-case words with dashes",
            },
            "about": {"type": "string", "description": "For those who read it."},
            "given": {"$ref": "#/$defs/given", "description": "What is known of the customer in every test."},
            "start": _moment("When every run starts; Monday, 2026-03-02T09:00Z, where left out."),
            "tests": {
                "type": "array", "minItems": 1, "x-expects": "a list of tests",
                "description": "Each plays one customer through the playbook.",
                "items": mapping("One test.", {
                    "name": {"type": "string", "minLength": 1, "maxLength": 200,
                             "description": "What it shows, in words.", "examples": ["nobody answers the call"]},
                    "given": {"$ref": "#/$defs/given",
                              "description": "What differs from the file's `given`; null means unknown."},
                    "start": _moment("When the run starts."),
                    "variants": {
                        "type": "object", "additionalProperties": {"type": "string"},
                        "description": "Which arm of which experiment the customer gets.",
                        "examples": ["{follow-up: checklist}"],
                    },
                    "events": {"type": "array", "items": {"$ref": "#/$defs/happening"},
                               "description": "What happens to the customer, and what people do."},
                    "enters": {"enum": [True, False, "unknown"],
                               "description": "Whether the trigger holds at the start."},
                    "expect": {**lines, "description": "What the playbook does, in order."},
                    "never": {**lines, "description": "What it must not do, whenever."},
                }, ["name"]),
            },
        },
        "$defs": {
            "given": _given(catalogue),
            "happening": _happening(catalogue),
            "expectation": _expectation(kinds_of(step_types)),
        },
    }  # fmt: skip


def _given(catalogue: Catalogue) -> Schema:
    happened: Schema = mapping("Something that happened before the start.", {
        "name": {"type": "string", "minLength": 1, "description": "The event's name."},
        "at": _moment("When; counted from the start where it is a duration: -3d is three days before."),
        "properties": {"type": "object", "description": "Its properties."},
    }, ["name", "at"])  # fmt: skip
    return mapping(
        "What is known of the customer at the start.",
        {
            "customer": {"type": "string", "minLength": 1, "description": "The customer's id."},
            "signals": _signals(catalogue, "Signals by name; null means unknown."),
            "profile": {"type": "object", "description": "Profile: first_name, email, phone, timezone …"},
            "consent": _consent(),
            "suppressed": _suppressed(),
            "history": {
                "type": "object", "description": "Earlier values of signals: {health_score: [[-3d, 52]]}.",
                "additionalProperties": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}},
            },
            "events": {"type": "array", "items": happened, "description": "What happened before."},
        },
        [],
    )  # fmt: skip


def _happening(catalogue: Catalogue) -> Schema:
    schema = mapping(
        "Something that happens, or that a person does.",
        {
            "at": _moment("When: a duration from the start (2d, 1d12h), or an instant."),
            "name": {"type": "string", "minLength": 1, "description": "An event.", "examples": ["login"]},
            "properties": {"type": "object", "description": "The event's properties."},
            "signals": _signals(catalogue, "New values from then on; null means unknown."),
            "consent": _consent(),
            "suppressed": _suppressed(),
            "do": {"enum": list(DEEDS), "description": "What a person does to the run."},
            "step": {"type": "string", "minLength": 1, "description": "The step that is completed."},
            "outcome": {"type": "string", "minLength": 1, "description": "How it went, or how the run is stopped."},
            "reason": {"type": "string", "minLength": 1, "description": "Why."},
        },
        ["at"],
    )  # fmt: skip
    return {**schema, "x-hints": {"event": "Write `name:`.", "after": "Write `at:`, as in at: 2d."}}


def _expectation(kinds: Iterable[str]) -> Schema:
    words: Schema = {
        kind: {"type": "string", "minLength": 1, "description": f"A line about `{kind}` with this outcome."}
        for kind in kinds
    }
    line = mapping(
        "One line of the timeline: what it is about with its outcome, and what else must be true of it.",
        {
            **words,
            "ended": {"enum": list(ENDS), "description": "How the run ends."},
            "after": {
                "type": "string", "pattern": OFFSET_PATTERN, "examples": ["3d"],
                "description": "How long after the start, exactly.", "x-expects": "a duration such as 3d or 1d12h",
            },
            "at": _moment("When, exactly."),
            **{name: {"type": "string", "minLength": 1, "description": f"The line's `{name}`."} for name in NAMES},
            **{
                name: {"type": "string", "minLength": 1, "description": f"What its `{name}` contains."}
                for name in TEXTS
            },
        },
        [],
    )  # fmt: skip
    return {
        "x-expects": "a line such as `email: sent`, or `...` for anything",
        "anyOf": [
            {"const": ANYTHING, "description": "Anything may come here."},
            {
                **line,
                "minProperties": 1,
                "x-hints": {"outcome": "It stands behind the kind, as in email: sent."},
            },
        ],
    }


def _moment(about: str) -> Schema:
    return {
        "type": "string", "minLength": 1, "description": about, "examples": ["2d"],
        "x-expects": "a duration from the start such as 2d, or a time such as 2026-03-02T09:00Z",
    }  # fmt: skip


def _signals(catalogue: Catalogue, about: str) -> Schema:
    known = {name: {"description": signal.about} for name, signal in catalogue.signals.items()}
    return {"type": "object", "description": about, "properties": known}


def _consent() -> Schema:
    return {
        "type": "object", "description": "What the customer said, by channel, topic or channel:topic.",
        "additionalProperties": {"type": ["boolean", "null"]}, "examples": ["{sms: true}"],
    }  # fmt: skip


def _suppressed() -> Schema:
    return {
        "type": "object", "description": "Addresses that can't be used, by channel, with the reason.",
        "additionalProperties": {"type": ["string", "null"]}, "examples": ["{email: hard_bounce}"],
    }  # fmt: skip
