"""A request that isn't signed as it must be, and what all checks have in common."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

from schemas.errors import InputError

# How far the sender's clock and ours may be apart, and how long a request may be on its way.
TOLERANCE = timedelta(minutes=5)


class SignatureError(InputError):
    """The signature of this request is missing or wrong."""

    code = "HF151"
    remedy = (
        "Check the source's secret on both sides, and that HOLDFAST_PUBLIC_URL is the address that it calls."
    )


class WrongSignatureError(SignatureError):
    """The signature doesn't fit this request."""

    code = "HF152"


def check_time(
    seconds: str, now: datetime, *, past: timedelta = TOLERANCE, future: timedelta = TOLERANCE
) -> None:
    """Refuse what was signed too long ago, or in the future; `seconds` are those since 1970."""
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 12):
        raise SignatureError("The signature's time is no number of seconds.")
    age_seconds = now.timestamp() - int(seconds)
    if age_seconds > past.total_seconds():
        raise SignatureError("The request was signed too long ago.", remedy="Check the clocks; send it anew.")
    if -age_seconds > future.total_seconds():
        raise SignatureError(
            "The request was signed in the future.", remedy="Check the clocks; send it anew."
        )


def decode(text: str) -> bytes:
    """Base64, padded or not; raises SignatureError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("The signature is no base64.") from None
