"""The part of the JSON Schema that is about conditions: one property with hover text for every signal."""

from __future__ import annotations

from schemas.catalogue import Catalogue, Signal
from schemas.form import DURATION
from schemas.schema_part import Schema

_NUMBER = r"-?[0-9]+(\.[0-9]+)?"


def condition_definitions(catalogue: Catalogue) -> dict[str, Schema]:
    """The definitions `condition`, `event`, `event_count`, `properties` and those of each signal type."""
    signals = {
        name: _signal(signal) for name, signal in sorted(catalogue.signals.items()) if signal.playbooks
    }
    return {
        "condition": {
            "type": "object",
            "x-condition": True,
            "description": "Every line must hold. A missing signal makes its line unknown, never true.",
            "x-expects": "a condition such as plan: pro",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {**_groups("condition"), "event": {"$ref": "#/$defs/event_count"}, **signals},
        },
        "event": _event("Something that happens to the customer.", {}),
        "event_count": _event(
            "Events counted in the customer's history.",
            {
                "at_least": {"type": "integer", "minimum": 1, "description": "How many; 1 where left out."},
                "within": DURATION.json_schema("Counted back from now; unlimited where left out."),
            },
        ),
        "properties": {
            "type": "object",
            "x-condition": True,
            "description": "Conditions on the event's properties; every line must hold.",
            "minProperties": 1,
            "properties": _groups("properties"),
            "additionalProperties": {"type": ["string", "number", "boolean", "array", "object"]},
        },
        "number_expectation": _either(
            {"type": "number"},
            {"type": "string", "pattern": rf"^ *((<|<=|>|>=|!=) *{_NUMBER}|{_NUMBER} *\.\. *{_NUMBER}) *$"},
            {"type": "array", "minItems": 1, "items": {"type": "number"}},
            _mapping({
                "is": _presence(),
                "crosses_below": _number("It was not below this, then was, and has been since."),
                "crosses_above": _number("It was not above this, then was, and has been since."),
                "for": DURATION.json_schema("How long it must have stayed there."),
                "rearm_above": _number("Another crossing counts only after the value was above this."),
                "rearm_below": _number("Another crossing counts only after the value was below this."),
                "drops_by": _number("Now at least so much below the highest value of the window."),
                "rises_by": _number("Now at least so much above the lowest value of the window."),
                "within": DURATION.json_schema("The window of drops_by or rises_by."),
            }),
            expects='a number (40), a comparison ("< 40"), a range ("40..60") or a list',
        ),
        "text_expectation": _either(
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            _mapping({"is": _presence(), "contains": _text("A part of the text.")}),
            expects='a text (pro), another than a text ("!= pro") or a list of texts',
        ),
        "bool_expectation": _either(
            {"type": "boolean"},
            {"type": "string", "pattern": "^ *!= *(true|false) *$"},
            {"type": "array", "minItems": 1, "items": {"type": "boolean"}},
            _mapping({"is": _presence()}),
            expects="true or false",
        ),
        "age_expectation": _mapping({
            "older_than": DURATION.json_schema("More than this long ago."),
            "within": DURATION.json_schema("At most this long ago, and not in the future."),
            "due_within": DURATION.json_schema("At most this far ahead, and not past."),
            "overdue_by": DURATION.json_schema("More than this long past."),
            "is": _presence(),
        }),
        "list_expectation": _mapping({"contains": _text("An item of the list."), "is": _presence()}),
        "personal_expectation": _mapping({"is": _presence()}),
    }  # fmt: skip


_DEFINITIONS = {
    "number": "number_expectation", "text": "text_expectation", "bool": "bool_expectation",
    "time": "age_expectation", "date": "age_expectation", "list": "list_expectation",
}  # fmt: skip


def _signal(signal: Signal) -> Schema:
    about = signal.about
    about += f" Unit: {signal.unit}." if signal.unit else ""
    about += " Personal: conditions may ask only whether it is there." if signal.personal else ""
    definition = "personal_expectation" if signal.personal else _DEFINITIONS[signal.type]
    reference: Schema = {"$ref": f"#/$defs/{definition}"}
    if signal.values and not signal.personal:
        # The first branch is there for completion; other values are allowed and merely unequal.
        reference = {"anyOf": [{"enum": list(signal.values)}, reference]}
    return {"description": f"{about} ({signal.type})", **reference}


def _event(about: str, more: dict[str, Schema]) -> Schema:
    return {
        "type": "object", "x-condition": True, "description": about,
        "x-expects": "an event such as {name: login}",
        "required": ["name"], "additionalProperties": False,
        "properties": {
            "name": {**_text("The name of the event."), "examples": ["payment_failed"]},
            **more,
            "where": {"$ref": "#/$defs/properties"},
        },
    }  # fmt: skip


def _groups(definition: str) -> dict[str, Schema]:
    items: Schema = {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{definition}"}}
    return {
        "any": {"description": "At least one of these holds.", **items},
        "all": {"description": "All of these hold.", **items},
        "none": {"description": "None of these holds.", **items},
    }


def _either(*schemas: Schema, expects: str) -> Schema:
    return {"anyOf": list(schemas), "x-expects": expects}


def _mapping(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": properties}


def _presence() -> Schema:
    return {"enum": ["missing", "present"], "description": "Whether there is a value at all."}


def _number(about: str) -> Schema:
    return {"type": "number", "description": about}


def _text(about: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": about}
