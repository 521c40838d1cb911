"""The JSON Schema of `playbooks/milestones.yaml`."""

from __future__ import annotations

from schemas.catalogue import Catalogue
from schemas.condition_schema import condition_definitions
from schemas.health_model import SEGMENTS
from schemas.schema_part import DIALECT, Schema, condition, mapping, text

LONGEST_TARGET_DAYS = 3650


def build_milestones_schema(catalogue: Catalogue) -> Schema:
    """The schema of `playbooks/milestones.yaml`; its hover texts come from the catalogue."""
    return {
        "$schema": DIALECT,
        "title": "Holdfast milestones",
        "description": "What customers are to reach on their way to success, in the order of the path.",
        "type": "object",
        "x-expects": "a mapping that begins with `milestones:`",
        "required": ["milestones"],
        "additionalProperties": False,
        "properties": {
            "milestones": {
                "type": "object", "minProperties": 1, "maxProperties": 100,
                "description": "Each by its type, as other systems call it; they stand in the order of the path.",
                "additionalProperties": {"$ref": "#/$defs/milestone"},
                "x-expects": "a mapping such as {first_form: {name: First form, when: {forms_created: \">= 1\"}, "
                "target_days: 7}}",
            },
        },
        "$defs": {
            "milestone": mapping(
                "Something to reach.",
                {
                    "name": text("What it is called.", "First form"),
                    "description": text("What it takes, for those who help.", "Builds a form of their own."),
                    "when": condition("It is reached once this holds. Left out: other systems say so."),
                    "target_days": {
                        "type": "integer", "minimum": 0, "maximum": LONGEST_TARGET_DAYS, "examples": [7],
                        "description": "Within how many days of the sign-up it is meant to be reached.",
                    },
                    "critical": {"type": "boolean", "description": "Whether it is on the critical path: onboarding "
                                 "isn't over without it. false where left out."},
                    "weight": {"type": "number", "minimum": 0, "maximum": 1000, "examples": [10],
                               "description": "How much it counts beside the others; 10 where left out."},
                    "segments": {
                        "type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(SEGMENTS)},
                        "description": "Only customers of these segments are to reach it; everybody where left out.",
                        "x-expects": "a list of segments",
                    },
                },
                ["name", "target_days"],
            ),
            **condition_definitions(catalogue),
        },
    }  # fmt: skip
