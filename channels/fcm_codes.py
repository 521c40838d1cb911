"""What FCM's errors mean for a push notification.

FCM's own code, in the `details` of an error, decides; without it the HTTP status does.
Source: firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode.
"""

from __future__ import annotations

import json
from typing import Any

from channels.outcome import FailureClass

CODE_CLASSES: dict[str, FailureClass] = {
    "UNREGISTERED": "recipient",  # the app is gone from the phone, or has another token now
    "INVALID_ARGUMENT": "content",
    "QUOTA_EXCEEDED": "transient",
    "UNAVAILABLE": "transient",  # overloaded: to be sent again, as FCM says
    "INTERNAL": "unknown",
    "UNSPECIFIED_ERROR": "unknown",
    "SENDER_ID_MISMATCH": "account",  # the token belongs to another project: is this the right account?
    "THIRD_PARTY_AUTH_ERROR": "account",  # Apple's or the browser's credentials in the Firebase console
}
# Of these the account is at fault, but only for some devices; the others go on.
OF_MESSAGE = frozenset({"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"})
STATUS_CLASSES: dict[int, FailureClass] = {
    401: "account",
    403: "account",
    404: "account",  # no such project
    408: "unknown",
    409: "unknown",
    429: "transient",
}
# How long FCM asks to be left alone where it doesn't say so itself.
PAUSE_SECONDS = {"QUOTA_EXCEEDED": 60.0, "UNAVAILABLE": 10.0}


def read_error(status: int, body: str) -> tuple[FailureClass, str, str]:
    """Class, code and words of an answer other than 200."""
    try:
        error = json.loads(body)["error"]
        said, details = str(error.get("message") or ""), error.get("details") or []
        details = [detail for detail in details if isinstance(detail, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        said, details = body, []
    said = " ".join(said.split())[:300]
    code = next((str(detail["errorCode"]) for detail in details if "errorCode" in detail), "")
    if status == 400 and _is_about_token(said, details):
        return "recipient", code or "INVALID_ARGUMENT", said
    if code in CODE_CLASSES:
        return CODE_CLASSES[code], code, said
    if 300 <= status < 400:
        return "account", str(status), said  # our base URL is not where the API is
    kind = STATUS_CLASSES.get(status)
    return kind or ("content" if 400 <= status < 500 else "unknown"), code or str(status), said


def _is_about_token(said: str, details: list[dict[str, Any]]) -> bool:
    violations = [one for detail in details for one in detail.get("fieldViolations") or ()]
    fields = [one.get("field") for one in violations if isinstance(one, dict)]
    return "message.token" in fields or "registration token" in said.lower()
