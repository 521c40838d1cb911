"""What Resend's errors mean for an e-mail.

The HTTP status decides first; Resend's name for the error refines a 4xx.
Source: resend.com/docs/api-reference/errors, resend.com/docs/dashboard/emails/idempotency-keys.
"""

from __future__ import annotations

import json

from channels.http_api import classify_status
from channels.outcome import FailureClass

CODE_CLASSES: dict[str, FailureClass] = {
    "missing_api_key": "account",
    "invalid_api_key": "account",
    "restricted_api_key": "account",
    "suspended_api_key": "account",
    "invalid_from_address": "account",
    "invalid_region": "account",
    "monthly_quota_exceeded": "account",  # for days nothing more will leave
    "daily_quota_exceeded": "transient",
    "rate_limit_exceeded": "transient",
    "concurrent_idempotent_requests": "unknown",  # the first request with this key is still under way
    "invalid_idempotent_request": "unknown",  # one with this key and other words came through before
    "invalid_idempotency_key": "content",
    "missing_required_field": "content",
}
# How long to leave Resend alone where it doesn't say so itself.
PAUSE_SECONDS = {"daily_quota_exceeded": 1800.0, "rate_limit_exceeded": 1.0}
TAKEN_BEFORE = "invalid_idempotent_request"


def read_error(status: int, body: str) -> tuple[FailureClass, str, str]:
    """Class, code and words of an answer other than 200."""
    try:
        error = json.loads(body)
        name, said = str(error.get("name") or ""), str(error.get("message") or "")
    except (ValueError, AttributeError):
        name, said = "", body
    said = " ".join(said.split())[:300]
    kind = classify_status(status)
    if 400 <= status < 500:
        if name == "validation_error" and "`to`" in said:
            return "recipient", name, said
        kind = CODE_CLASSES.get(name) or kind
    return kind, name or str(status), said
