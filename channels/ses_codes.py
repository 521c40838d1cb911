"""What Amazon SES's errors mean for an e-mail.

The HTTP status decides first; the exception's name refines a 4xx.
Source: docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, CommonErrors.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from channels.http_api import classify_status
from channels.outcome import FailureClass

CODE_CLASSES: dict[str, FailureClass] = {
    "TooManyRequestsException": "transient",
    "ThrottlingException": "transient",
    "Throttling": "transient",
    "LimitExceededException": "transient",  # the day's quota
    "RequestExpired": "account",  # our clock is wrong
    "AccountSuspendedException": "account",
    "SendingPausedException": "account",
    "MailFromDomainNotVerifiedException": "account",
    "NotFoundException": "account",  # no such configuration set
    "BadRequestException": "content",
    "MessageRejected": "content",
}
# How long to leave SES alone: it never says so itself, and a quota comes back bit by bit over a day.
PAUSE_SECONDS = {"TooManyRequestsException": 1.0, "LimitExceededException": 600.0}
# MessageRejected says in words alone that the sender, not the message, is at fault.
NOT_VERIFIED = "not verified"


def read_error(status: int, headers: Mapping[str, str], body: str) -> tuple[FailureClass, str, str]:
    """Class, code and words of an answer other than 200."""
    try:
        error = json.loads(body)
        said = str(error.get("message") or error.get("Message") or "")
        name = str(error.get("__type") or error.get("code") or "")
    except (ValueError, AttributeError):
        said, name = body, ""
    name = (headers.get("x-amzn-errortype") or name).split(":")[0].rpartition("#")[2]
    said = " ".join(said.split())[:300]
    kind = classify_status(status)
    if 400 <= status < 500:
        kind = CODE_CLASSES.get(name) or kind
        if name == "MessageRejected" and NOT_VERIFIED in said:
            kind = "account"
    return kind, name or str(status), said
