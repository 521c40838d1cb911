"""The JSON Schema of `policy.yaml`."""

from __future__ import annotations

from schemas.form import DAY_GROUPS, DURATION, PERCENT, RATE, WEEKDAYS, WINDOW
from schemas.message_part import CHANNEL_PARTS, NAME_PATTERN
from schemas.policy import INTERVENTION_TYPES
from schemas.schema_part import DIALECT, Schema, mapping, named


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
                **mapping("Messages per customer in any such period.",
                           {"total": RATE.json_schema("Over all channels."),
                            **{channel: RATE.json_schema(f"By {channel} alone.") for channel in channels},
                            "topics": {
                                "type": "object", "minProperties": 1, "examples": ["{tips: 1 per 7d}"],
                                "description": "Over all channels, of messages about one topic.",
                                "propertyNames": {"pattern": NAME_PATTERN, "maxLength": 64},
                                "additionalProperties": RATE.json_schema("Of messages about it."),
                                "x-expects": "a mapping such as {tips: 1 per 7d}",
                            }}),
                "examples": ["{total: 3 per 7d}"],
            },
            "entries": RATE.json_schema("Playbooks that a customer enters in any such period."),
            "consent": mapping(
                "Which channels need a yes; a no always wins.",
                {
                    **{channel: {"enum": ["assumed", "required"],
                                 "description": "assumed: until withdrawn. required: only after a yes."}
                       for channel in channels},
                    "topics": {
                        "type": "array", "minItems": 1, "items": named("A topic.", "tips"),
                        "description": "What customers can unsubscribe from one by one.",
                    },
                },
            ),
            "silence": mapping(
                "When messages hold, as a person is in contact with the customer.",
                {
                    "after_reply": DURATION.json_schema("So long after the customer wrote to us."),
                    "after_call": DURATION.json_schema("So long after a call with the customer was completed."),
                    "open_ticket": {
                        "type": "boolean", "description": "While the customer has an open support ticket.",
                    },
                    "critical": {
                        "enum": ["passes", "holds"],
                        "description": "Whether `critical: true` leaves all the same; it holds where left out.",
                    },
                },
            ),
            "unknown": {
                **mapping(
                    "What becomes of a message that may have been sent, where its provider can't be asked.",
                    {
                        name: {
                            "enum": ["leave", "again"],
                            "description": f"Of {whose}. leave: it stays unknown (so where left out). "
                            "again: it is sent once more, so that somebody may get it twice.",
                        }
                        for name, whose in (
                            ("critical", "messages with `critical: true`"), ("other", "all others"),
                        )
                    },
                ),
                "examples": ["{critical: again}"],
            },
            "keywords": {
                **mapping(
                    "Words and phrases that customers write to stop, start or ask for help, beside the usual ones.",
                    {name: _words_that_mean(name) for name in ("stop", "start", "help")},
                ),
                "examples": ["{stop: [lopeta], help: [apua]}"],
            },
            "exploration": PERCENT.json_schema(
                "Share of `message` steps without `channels` that try another than the best; none where left out."
            ),
            "holdout": PERCENT.json_schema("Share of all customers that no playbook ever treats."),
            "working_hours": mapping(
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
                    "holidays": {
                        "type": "string", "pattern": "^[A-Z]{2}(-[A-Z0-9]{1,3})?$", "examples": ["DE-BY"],
                        "description": "Whose public holidays nobody can be booked on; those of the default zone's "
                        "country where left out.",
                        "x-expects": "a country such as DE, or a part of one such as DE-BY",
                    },
                },
            ),
            "teams": {
                "type": "object", "minProperties": 1,
                "description": "Who shares the work of calls and tasks, by the team's name.",
                "propertyNames": {"pattern": NAME_PATTERN, "maxLength": 64},
                "additionalProperties": _team(),
                "x-expects": "a mapping of team to {members: [anna@example.com, …]}",
            },
            "health_model": named(
                "The health model that scores: segment-weighted (where left out), points, or a file of `health/`.",
                "segment-weighted",
            ),
            "churn": mapping(
                "What churn is told for, and what customers are worth.",
                {
                    "horizon": {
                        "enum": ["30d", "60d", "90d"],
                        "description": "The days ahead that the probability is told for; 90d where left out.",
                    },
                    "lifetime_months": {
                        "type": "number", "minimum": 1, "maximum": 600, "examples": [18],
                        "description": "A customer's lifetime value in monthly prices; 18 where left out.",
                    },
                    "prevention": mapping(
                        "What preventing a loss may cost.",
                        {
                            "share": PERCENT.json_schema("Of the value at risk; 10% where left out."),
                            "limit": {
                                "type": "number", "minimum": 0, "examples": [500],
                                "description": "In account currency; 500 where left out.",
                            },
                        },
                    ),
                    "market": {
                        "type": "array", "maxItems": 1000, "items": _market_row(),
                        "description": "How a trade's market weighs on customers, by month; the most exact row holds.",
                        "x-expects": "a list of rows such as {vendor_type: venue, month: 11, seasonal_factors: 0.4}",
                    },
                },
            ),
            "interventions": mapping(
                "The playbook that other systems mean by a type of intervention; email_sequence is email-sequence "
                "where left out, and so on.",
                {name: named(f"The playbook that {name} means.", name.replace("_", "-"))
                 for name in INTERVENTION_TYPES},
            ),
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


def _words_that_mean(keyword: str) -> Schema:
    return {
        "type": "array", "minItems": 1, "maxItems": 100, "uniqueItems": True,
        "items": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": r"\S"},
        "description": f"What means {keyword.upper()}, alone or beside a please.",
        "x-expects": "a list of words such as [lopeta]",
    }  # fmt: skip


def _team() -> Schema:
    person: Schema = {
        "type": "string", "minLength": 1, "maxLength": 100, "examples": ["anna@example.com"],
        "description": "As the trait `csm` names them; who is reminded by e-mail, by their address.",
    }  # fmt: skip
    return {
        **mapping("One team.", {
            "members": {
                "type": "array", "minItems": 1, "maxItems": 500, "uniqueItems": True, "items": person,
                "description": "In the order in which they take turns.",
            },
            "lead": {
                **person, "description": "Who gets what nobody else can, and whom `escalate: {to: lead}` means.",
            },
            "away": {
                "type": "array", "uniqueItems": True, "items": person,
                "description": "Who gets nothing new for now.",
            },
            "unowned": {
                "type": "boolean",
                "description": "Whether work for customers who have no CSM of their own comes here.",
            },
        }),
        "required": ["members"],
        "x-expects": "a mapping such as {members: [anna@example.com, ben@example.com], lead: carla@example.com}",
    }  # fmt: skip


def _market_row() -> Schema:
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        **mapping("One trade in one month.", {
            "vendor_type": {
                "type": "string", "minLength": 1, "maxLength": 100, "examples": ["venue"],
                "description": "Whose; every trade's where left out.",
            },
            "month": {
                "type": "integer", "minimum": 1, "maximum": 12, "examples": [11],
                "description": "1 to 12, UTC; every month where left out.",
            },
            "seasonal_factors": {**share, "description": "How far the season makes them leave, 0 to 1."},
            "competitor_activity": {**share, "description": "How busy competitors are, 0 to 1."},
        }),
        "x-expects": "a row such as {vendor_type: venue, month: 11, seasonal_factors: 0.4}",
    }  # fmt: skip
