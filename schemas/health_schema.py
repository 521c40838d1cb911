"""The JSON Schema of a health model (`playbooks/health/NAME.yaml`)."""

from __future__ import annotations

from schemas.catalogue import Catalogue, Signal
from schemas.condition_schema import condition_definitions
from schemas.form import PERCENT
from schemas.health_model import EVERYONE, LONGEST_TREND_DAYS, RISK_LEVELS, SEGMENTS
from schemas.schema_part import DIALECT, Schema, condition, mapping, named, text

# The words of which a factor says exactly one.
SHAPES = ("linear", "steps", "decay", "share_of", "values", "in_use", "gives")
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def build_health_schema(catalogue: Catalogue) -> Schema:
    """The schema of one file in `playbooks/health/`; its hover texts come from the catalogue."""
    return {
        "$schema": DIALECT,
        "title": "Holdfast health model",
        "description": "How a customer's signals become a score from 0 to 100 and a risk level.",
        "type": "object",
        "x-expects": "a mapping that begins with `health:`",
        "required": ["health", "factors", "weights", "bands"],
        "additionalProperties": False,
        "x-hints": {"name": "Write `health:`.", "model": "Write `health:`.", "weight": "Write `weights:`."},
        "properties": {
            "health": {**named("Its name, and its file's.", "segment-weighted")},
            "about": text("What it is for, for those who read it.", "For venues, who log in seldom."),
            "shown": {
                "enum": ["shares", "points"],
                "description": "Whether breakdowns show each factor as a share from 0 to 1 or as its points of 100; "
                "shares where left out.",
            },
            "factors": {
                "type": "object", "minProperties": 1,
                "description": "What the score is made of, by name. Each comes to a share from 0 (worst) to 1 (best).",
                "additionalProperties": {"$ref": "#/$defs/factor"},
                "examples": ["{login_frequency: {signal: days_since_last_login, linear: {worst: 14, best: 0}}}"],
            },
            "weights": _rows(
                "How many of the 100 points each factor is worth, by segment; the points of a row add up to 100.",
            ),
            "plans": {
                "type": "object", "minProperties": 1, "additionalProperties": _rows("The rows of this plan."),
                "description": "Other weights for the customers of a plan; segments that aren't here keep theirs.",
            },
            "bands": mapping(
                "From which score on a customer is healthy or at risk; whoever is below both is critical.",
                {
                    "healthy": _score("The lowest score that is healthy.", 75),
                    "at_risk": _score("The lowest score that is at risk and not critical.", 50),
                },
                ["healthy", "at_risk"],
            ),
            "trend": mapping(
                "What counts as a trend.",
                {
                    "stable_within": {"type": "number", "minimum": 0, "examples": [5],
                                      "description": "Up to so many points more or less than the last score are "
                                      "stable; 5 where left out."},
                    "stable_slope": {"type": "number", "minimum": 0, "examples": [1],
                                     "description": "Up to so many points a day are stable; 1 where left out."},
                    "days": {"type": "integer", "minimum": 2, "maximum": LONGEST_TREND_DAYS, "examples": [30],
                             "description": "Through how many days the slope is taken; 30 where left out."},
                    "least_scores": {"type": "integer", "minimum": 2, "maximum": LONGEST_TREND_DAYS, "examples": [7],
                                     "description": "Days with a score that a slope needs; 7 where left out."},
                },
                [],
            ),
            "minimum_coverage": PERCENT.json_schema(
                "The least share of the weights whose signals must be known; with less the risk is unknown, not red."
            ),
            "overrides": {
                "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/override"},
                "description": "What holds whatever the factors say; later ones win.",
                "x-expects": "a list of overrides",
            },
        },
        "$defs": {
            "factor": _factor(catalogue),
            "override": mapping(
                "What holds for the customers whom `when` is true of.",
                {
                    "when": condition("Whom it concerns: signals as they are now, no events."),
                    "about": text("Why, for those who read the score.", "Whoever has cancelled isn't healthy."),
                    "at_most": _score("The score is no higher than this.", 40),
                    "at_least": _score("The score is no lower than this.", 20),
                    "risk": {"enum": list(RISK_LEVELS), "description": "The risk level, whatever the score."},
                },
                ["when"],
            ),
            **condition_definitions(catalogue),
        },
    }  # fmt: skip


def _factor(catalogue: Catalogue) -> Schema:
    return mapping(
        f"One factor: a signal and exactly one shape ({', '.join(SHAPES)}).",
        {
            "about": text("What it says, for those who read the score.", "Full on the day of a login."),
            "signal": _signal("The signal that it is made of.", catalogue),
            "linear": mapping(
                "In a straight line from 0 at `worst` to 1 at `best`; beyond them it stays 0 or 1.",
                {
                    "worst": _number("The value of the signal at which the factor is 0.", 14),
                    "best": _number("The value of the signal at which the factor is 1.", 0),
                },
                ["worst", "best"],
            ),
            "steps": mapping(
                "One value below each limit.",
                {
                    "values": {
                        "type": "array", "minItems": 1,
                        "description": "The limits in ascending order; the first that the signal is below counts.",
                        "x-expects": "a list such as [{below: 3, gives: 1}]",
                        "items": mapping(
                            "One step.",
                            {
                                "below": _number("The signal is below this.", 3),
                                "gives": {**_number("What the factor comes to, as a part of `out_of`.", 1),
                                          "minimum": 0},
                            },
                            ["below", "gives"],
                        ),
                    },
                    "rest": {**_number("What it comes to above the last limit; 0 where left out.", 0), "minimum": 0},
                    "out_of": {"type": "number", "exclusiveMinimum": 0, "examples": [30],
                               "description": "What `gives` is a part of; 1 where left out."},
                },
                ["values"],
            ),
            "decay": mapping(
                "1 up to `full`, then half as much after every `half_life`.",
                {
                    "full": _number("Up to this value of the signal the factor is 1; 0 where left out.", 0),
                    "half_life": {"type": "number", "exclusiveMinimum": 0, "examples": [7],
                                  "description": "How much more of the signal halves the factor."},
                },
                ["half_life"],
            ),
            "share_of": _signal("The signal that `signal` is a share of.", catalogue, number=True),
            "without": {**_SHARE, "description": "With share_of: what the factor is where the whole is missing or 0; "
                        "0 where left out."},
            "values": {
                "type": "object", "minProperties": 1, "additionalProperties": _SHARE, "examples": ["{active: 1}"],
                "description": "What each value of a text signal comes to, from 0 to 1.",
            },
            "rest": {**_SHARE, "description": "With values: what any other value comes to; 0 where left out."},
            "in_use": {
                "type": "array", "minItems": 1, "uniqueItems": True,
                "items": _signal("A number signal.", catalogue, number=True),
                "description": "How many of these signals are above 0, as a share of all of them.",
                "x-expects": "a list of signals",
            },
            "gives": {**_SHARE, "description": "What the factor is where `when` holds, if no signal shapes it."},
            "at_least": {**_SHARE, "description": "The factor is never below this; 0 where left out."},
            "at_most": {**_SHARE, "description": "The factor is never above this; 1 where left out."},
            "when": condition("The shape counts only where this holds: signals as they are now, no events."),
            "otherwise": {**_SHARE, "description": "What the factor is where `when` doesn't hold, or can't be told."},
            "missing": {
                "anyOf": [
                    {"type": "number"},
                    {"enum": ["leave_out"]},
                    mapping("What the factor comes to.",
                            {"gives": {**_SHARE, "description": "From 0 to 1."}}, ["gives"]),
                ],
                "examples": ["leave_out"],
                "description": "What if the signal is missing: a number that it counts as, {gives: …} for what the "
                "factor comes to, or leave_out (where left out): the other factors count for more.",
                "x-expects": "a number, {gives: …} or leave_out",
            },
        },
        [],
    )  # fmt: skip


def is_usable(signal: Signal) -> bool:
    """Whether a health model may look at a signal: not at persons, and not at what is worked out from health itself."""
    return not signal.personal and not any(form.model in ("health", "churn") for form in signal.derive)


def _signal(about: str, catalogue: Catalogue, *, number: bool = False) -> Schema:
    names = [
        name
        for name, signal in sorted(catalogue.signals.items())
        if is_usable(signal) and (signal.type == "number" if number else signal.type in ("number", "text"))
    ]
    # The first branch is there for completion; the reader says more of a wrong name than a list could.
    return {"anyOf": [{"enum": names}, {"type": "string", "minLength": 1}], "description": about}


def _rows(about: str) -> Schema:
    row: Schema = {
        "type": "object", "minProperties": 1, "additionalProperties": {"type": "number", "minimum": 0},
        "description": "Points of 100 by factor; a factor that isn't here counts nothing.",
        "x-expects": "a mapping such as {login_frequency: 40, adoption: 60}",
    }  # fmt: skip
    return {
        "type": "object", "minProperties": 1, "description": about, "additionalProperties": False,
        "properties": {
            EVERYONE: {**row, "description": "Points of 100 by factor, for segments without a row of their own."},
            **{segment: {**row, "description": f"Points of 100 by factor, for {segment}."} for segment in SEGMENTS},
        },
    }  # fmt: skip


def _number(about: str, example: float) -> Schema:
    return {"type": "number", "description": about, "examples": [example]}


def _score(about: str, example: int) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": 100, "description": about, "examples": [example]}
