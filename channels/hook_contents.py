"""What a stored request says, whoever sent it."""

from __future__ import annotations

from datetime import datetime

from channels.reports import billing, resend, sendgrid, ses, standard, twilio
from schemas.delivery_report import HookContents


def read_contents(
    source: str, *, request_id: str, body: bytes, content_type: str, query: str, received_at: datetime
) -> HookContents:
    """The contents of one verified request. Raises EventError where nothing can be made of it."""
    match source:
        case "twilio":
            return twilio.read(body, query, received_at)
        case "sendgrid":
            return sendgrid.read(body, content_type, received_at)
        case "resend":
            return resend.read(body, request_id, received_at)
        case "ses":
            return ses.read(body, received_at)
        case "stripe":
            return billing.read(body, received_at)
    return standard.read(source, request_id, body, received_at)
