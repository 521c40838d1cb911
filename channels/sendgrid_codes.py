"""What SendGrid's errors mean for an e-mail.

The HTTP status decides first. SendGrid has no codes; the field that it complains of refines a 400.
Source: twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors, mail-send/errors.
"""

from __future__ import annotations

import json

from channels.http_api import classify_status
from channels.outcome import FailureClass

# By the beginning of the field's path, the longest first.
FIELD_CLASSES: dict[str, FailureClass] = {
    "personalizations.0.to": "recipient",
    "personalizations": "content",
    "from": "account",  # no verified sender
}
STATUS_CLASSES: dict[int, FailureClass] = {
    401: "account",  # the key, or the plan's credits are used up
    403: "account",  # the key's scope, or the sender isn't verified
    413: "content",
}


def read_error(status: int, body: str) -> tuple[FailureClass, str, str]:
    """Class, code (the field complained of, else the status) and words of an answer other than 202."""
    try:
        errors = [error for error in json.loads(body)["errors"] if isinstance(error, dict)]
    except (ValueError, KeyError, TypeError):
        errors = []
    said = "; ".join(str(error.get("message") or "") for error in errors) or body
    said = " ".join(said.split())[:300]
    field = next((str(error["field"]) for error in errors if error.get("field")), "")
    if status != 400:
        return STATUS_CLASSES.get(status) or classify_status(status), str(status), said
    for beginning, kind in FIELD_CLASSES.items():
        if field == beginning or field.startswith(f"{beginning}."):
            return kind, field, said
    return "content", field or "400", said
