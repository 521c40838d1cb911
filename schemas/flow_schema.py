"""The part of the JSON Schema that is about the language's own steps: waits, branches, rounds, and what follows."""

from __future__ import annotations

from schemas.form import CLOCK, DURATION, WEEKDAYS
from schemas.schema_part import Schema, condition, mapping, named, steps

MOST_ROUNDS = 100
MOST_BRANCHES = 20
STOP_OUTCOMES = ("success", "stopped", "lost", "completed")


def flow_words() -> dict[str, Schema]:
    """What stands after each word of the language's own, but `if`."""
    return {
        "wait": {"$ref": "#/$defs/wait"},
        "wait_for": {"$ref": "#/$defs/wait_for"},
        "choose": {
            "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/case"},
            "description": "Goes the first way whose `when` is true, or `else` beside it; unknown is not true.",
            "x-expects": "a list of {when: {…}, steps: […]}",
        },
        "repeat": {"$ref": "#/$defs/repeat"},
        "together": {
            "type": "array", "minItems": 2, "maxItems": MOST_BRANCHES, "items": {"$ref": "#/$defs/branch"},
            "description": "Branches at the same time; it goes on when all are done.",
            "x-expects": "a list of {steps: […]}",
        },
        "experiment": named("The experiment's name; each customer keeps their variant.", "follow-up"),
        "stop": {
            "enum": list(STOP_OUTCOMES),
            "description": "Ends this run with an outcome.",
            "examples": ["stopped"],
        },
    }  # fmt: skip


def flow_definitions(dates: list[str]) -> dict[str, Schema]:
    """The definitions that `flow_words` and `outcomes` refer to; `dates` are the signals a wait can count from."""
    return {
        "wait": _wait(dates),
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
            "x-hints": {
                word: f"`{word}` stands beside `wait_for`, not inside it: indent it less."
                for word in ("then", "else")
            },
        },
        "case": {
            **mapping(
                "One way; it is gone if `when` is true and none before it was.",
                {"when": condition("If this holds."), "steps": steps("What is done then; may be empty.")},
                ["when", "steps"],
            ),
            "x-expects": "a way such as {when: {plan: pro}, steps: […]}",
            "x-hints": {
                "if": "Write `when:`.", "then": "Write `steps:`.",
                "else": "`else` stands beside `choose`, not inside its list.",
            },
        },
        "repeat": {
            **mapping(
                "The same steps several times.",
                {
                    "at_most": {
                        "type": "integer", "minimum": 1, "maximum": MOST_ROUNDS, "examples": [3],
                        "description": "How many rounds at most.",
                    },
                    "until": condition("Looked at after each round: no further one once this holds."),
                    "steps": steps("One round.", required=True),
                },
                ["at_most", "steps"],
            ),
            "x-expects": "a mapping such as {at_most: 3, steps: […]}",
            "x-hints": {"times": "Write `at_most:`.", "while": "Write `until:` and the opposite.",
                        "when": "Write `until:`."},
        },
        "branch": {
            **mapping("One branch.", {"steps": steps("What it does.", required=True)}, ["steps"]),
            "x-expects": "a branch such as {steps: […]}",
            "x-hints": {"when": "Put an `if` into its steps.", "if": "Put an `if` into its steps."},
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
        "reaction": _reaction(),
    }  # fmt: skip


def _wait(dates: list[str]) -> Schema:
    return {
        "description": 'Stands still: 3d, {days: 3, at: "09:30"}, {until: friday, at: "10:00"}, '
        "{business_days: 2} or {before: renewal_date, by: 14d}.",
        "x-expects": "a duration (3d) or a mapping with days, until, business_days or before",
        "anyOf": [
            DURATION.json_schema(),
            {
                "type": "object", "minProperties": 1, "additionalProperties": False,
                "x-hints": {"for": "Write the duration alone, as in wait: 3d.",
                            "hours": "Write the duration alone, as in wait: 12h.",
                            "weeks": "Write the duration alone, as in wait: 2w.",
                            "after": "A wait ends before a date; to act after it, wait {before: DATE} and go on."},
                "properties": {
                    "days": {"type": "integer", "minimum": 1, "maximum": 3660,
                             "description": "Calendar days in the customer's zone."},
                    "business_days": {"type": "integer", "minimum": 1, "maximum": 3660,
                                      "description": "Weekends and the holidays of the customer's country don't "
                                      "count."},
                    "until": {"enum": list(WEEKDAYS), "description": "The next such day."},
                    "before": {"enum": dates, "description": "A signal that holds a time or date."},
                    "by": DURATION.json_schema("How long before it; the moment itself where left out."),
                    "at": CLOCK.json_schema(
                        "Local time of the customer; the time of day is kept where left out."
                    ),
                },
            },
        ],
    }  # fmt: skip


def _reaction() -> Schema:
    return {
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
    }  # fmt: skip
