"""The JSON Schema of a message template."""

from __future__ import annotations

from schemas.schema_part import DIALECT, Schema, mapping, named


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
            "text": _part("What is written instead within 24 hours of the customer's own message."),
        },
        "voice": {"text": _part("What is read out on the phone.")},
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
            "template": named("Its name, and its file's.", "best-invitations"),
            "about": {"type": "string", "description": "What it is for, for those who read it."},
            **{
                channel: {**mapping(f"What is sent by {channel}.", parts), "minProperties": 1}
                for channel, parts in channels.items()
            },
        },
        "$defs": {
            "part": {
                "x-expects": "text, or {text: …, default: …}",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {
                        **mapping("A text, and what is sent where a value is missing.", {
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
