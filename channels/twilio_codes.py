"""What Twilio's error codes mean for a delivery.

Twilio advises against logic on codes, as it keeps changing them (changelog, 2024-07-10), so the HTTP status
decides first; a code only refines a 4xx. Codes from 30000 arrive in status callbacks, after the message was
taken.
Source: twilio.com/docs/api/errors.
"""

from __future__ import annotations

from channels.outcome import FailureClass

PROVIDER = "twilio"
WINDOW_CLOSED_CODE = 63016
WINDOW_CLOSED = str(WINDOW_CLOSED_CODE)

CODE_CLASSES: dict[int, FailureClass] = {
    20003: "account",  # authentication
    20429: "transient",  # too many requests: never processed
    21211: "recipient",  # not a phone number
    21212: "account",  # sender is not a phone number
    21408: "account",  # region not enabled
    21602: "content",  # no body
    21606: "account",  # sender can't send
    21610: "consent",  # the recipient replied STOP
    21612: "account",  # no route from this sender
    21614: "recipient",  # not a mobile number
    21617: "content",  # too long
    21654: "content",  # content template missing
    21655: "content",
    21656: "content",  # content variables
    30001: "transient",  # queue overflow
    30002: "account",  # account suspended
    30003: "transient",  # handset unreachable
    30004: "content",  # blocked
    30005: "recipient",  # unknown number
    30006: "recipient",  # landline
    30007: "content",  # filtered by a carrier
    30008: "transient",  # unknown error at the carrier
    30034: "account",  # unregistered sender
    63003: "recipient",  # no WhatsApp account at this number
    63007: "account",  # the sender is no WhatsApp sender
    WINDOW_CLOSED_CODE: "content",  # outside WhatsApp's window without a template
    63018: "transient",  # too many at once for this sender
    63024: "recipient",  # not a WhatsApp user
    63049: "content",  # WhatsApp's marketing limit
}

# Of these the account is at fault, but only for some countries or numbers; the others go on.
OF_MESSAGE = frozenset({21408, 21612})

STATUS_CLASSES: dict[int, FailureClass] = {
    307: "account",  # our base URL is not where the API is; by definition not processed
    308: "account",
    401: "account",
    403: "account",
    404: "account",
    408: "unknown",
    409: "unknown",
    429: "transient",
}


def classify_code(code: int) -> FailureClass | None:
    """The class of a code in a status callback; None when we don't know it."""
    return CODE_CLASSES.get(code)


def classify(status: int, code: int | None) -> FailureClass:
    """The class of an answer other than 2xx."""
    kind = STATUS_CLASSES.get(status)
    if kind == "unknown" or not 400 <= status < 500:
        return kind or "unknown"
    if status == 429:
        return "transient"
    return CODE_CLASSES.get(code or 0) or kind or "content"
