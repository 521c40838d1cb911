"""The JSON Schemas of `policy.yaml` and of a message template."""

from __future__ import annotations

from schemas.form import DAY_GROUPS, PERCENT, RATE, WEEKDAYS, WINDOW
from schemas.message_part import CHANNEL_PARTS, NAME_PATTERN
from schemas.schema_part import DIALECT, Schema


def build_policy_schema() -> Schema:
    """The schema of `playbooks/policy.yaml`."""
    channels = list(CHANNEL_PARTS)
    return {
        "$schema": DIALECT,
        "title": "Holdfast policy",
        "description": "What governs every playbook; what is left out doesn't govern.",
        "type": "object",
        "x-expects": "a mapping such as `default_zone: Europe/Berlin`",
        "additionalProperties": False,
        "x-hints": {"timezone": "Write `default_zone:`.", "limits": "Write `caps:`."},
        "properties": {
            "default_zone": {
                "type": "string", "minLength": 1, "examples": ["Europe/Berlin"],
                "description": "IANA zone of the team, and of customers who have none; UTC where left out.",
            },
            "quiet_hours": WINDOW.json_schema("Local time of the customer; no message leaves then."),
            "critical_in_quiet_hours": {
                "type": "boolean", "description": "Whether `critical: true` may leave in quiet hours too.",
            },
            "caps": {
                **_mapping("Messages per customer in any such period.",
                           {"total": RATE.json_schema("Over all channels."),
                            **{channel: RATE.json_schema(f"By {channel} alone.") for channel in channels}}),
                "examples": ["{total: 3 per 7d}"],
            },
            "entries": RATE.json_schema("Playbooks that a customer enters in any such period."),
            "consent": _mapping(
                "Which channels need a yes; a no always wins.",
                {
                    **{channel: {"enum": ["assumed", "required"],
                                 "description": "assumed: until withdrawn. required: only after a yes."}
                       for channel in channels},
                    "topics": {
                        "type": "array", "minItems": 1, "items": _name("tips"),
                        "description": "What customers can unsubscribe from one by one.",
                    },
                },
            ),
            "holdout": PERCENT.json_schema("Share of all customers that no playbook ever treats."),
            "working_hours": _mapping(
                "When the team works, in the default zone; due dates are moved there.",
                {
                    "days": {
                        "anyOf": [
                            {"enum": [*DAY_GROUPS, *WEEKDAYS]},
                            {"type": "array", "minItems": 1, "items": {"enum": list(WEEKDAYS)}},
                        ],
                        "description": "On which days; weekdays where left out.",
                        "x-expects": "weekdays, weekend, daily, or a list of days",
                    },
                    "between": WINDOW.json_schema('"09:00-17:00" where left out.'),
                },
            ),
            "health_model": {
                **_name("segment-weighted"),
                "description": "The health model that scores: segment-weighted (where left out), points, or a file of "
                "`health/`.",
            },
            "costs": {
                "type": "object", "minProperties": 1,
                "description": "What a message costs by channel, and a minute of a CSM.",
                "properties": {
                    **{channel: {"type": "number", "minimum": 0, "description": f"What one message by {channel} costs."}
                       for channel in channels},
                    "csm_minute": {"type": "number", "minimum": 0, "description": "What a minute of a CSM costs."},
                },
                "additionalProperties": False,
            },
        },
    }  # fmt: skip


def build_template_schema() -> Schema:
    """The schema of one file in `playbooks/templates/`."""
    channels: Schema = {
        "email": {
            "subject": _part("The subject line."),
            "text": _part("The plain text; made from `html` where left out."),
            "html": _part("The HTML; values are escaped."),
        },
        "sms": {"text": _part("The text.")},
        "push": {"title": _part("The headline."), "text": _part("The text.")},
        "in_app": {"title": _part("The headline."), "text": _part("The text.")},
        "whatsapp": {
            "content_sid": {"type": "string", "minLength": 1, "description": "The template at the provider."},
            "variables": {
                "type": "object", "additionalProperties": _part("A value for the provider's template."),
                "description": "Its variables by name.",
            },
        },
    }  # fmt: skip
    return {
        "$schema": DIALECT,
        "title": "Holdfast template",
        "description": "What a message says, by channel. Jinja2: {{ customer.first_name }}.",
        "type": "object",
        "x-expects": "a mapping that begins with `template:`",
        "required": ["template"],
        "additionalProperties": False,
        "x-hints": {"name": "Write `template: NAME`.", "subject": "It stands under `email:`."},
        "properties": {
            "template": {**_name("best-invitations"), "description": "Its name, and its file's."},
            "about": {"type": "string", "description": "What it is for, for those who read it."},
            **{
                channel: {**_mapping(f"What is sent by {channel}.", parts), "minProperties": 1}
                for channel, parts in channels.items()
            },
        },
        "$defs": {
            "part": {
                "x-expects": "text, or {text: …, default: …}",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {
                        **_mapping("A text, and what is sent where a value is missing.", {
                            "text": {"type": "string", "minLength": 1, "description": "The text."},
                            "default": {"type": "string", "description": "Sent where a value is missing."},
                        }),
                        "required": ["text", "default"],
                    },
                ],
            },
        },
    }  # fmt: skip


def _part(about: str) -> Schema:
    return {"$ref": "#/$defs/part", "description": about}


def _name(example: str) -> Schema:
    return {
        "type": "string", "pattern": NAME_PATTERN, "maxLength": 64, "examples": [example],
        "x-expects": "lower-case words with dashes",
    }  # fmt: skip


def _mapping(about: str, properties: Schema) -> Schema:
    return {"type": "object", "description": about, "additionalProperties": False, "properties": properties}
