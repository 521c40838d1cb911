"""Resend's webhooks: one event each, in Svix's envelope. Source: resend.com/docs/dashboard/webhooks/event-types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.reports.fields import delivery_of, items, judge_bounce, mapping, moment, read_json, word
from channels.reports.mail_reply import make_reply
from channels.resend import PROVIDER
from schemas.delivery_report import DeliveryReport, Fault, HookContents, ReportKind
from schemas.errors import EventError

KINDS: Mapping[str, ReportKind] = {
    "email.sent": "accepted", "email.delivered": "delivered", "email.delivery_delayed": "deferred",
    "email.complained": "complained", "email.bounced": "bounced", "email.opened": "opened", "email.clicked": "clicked",
    "email.failed": "undelivered", "email.suppressed": "undelivered",
}  # fmt: skip
_FAULTS: Mapping[str, Fault] = {"permanent": "hard", "transient": "soft", "undetermined": "soft"}


def read(body: bytes, request_id: str, received_at: datetime) -> HookContents:
    """One report or one mail; nothing for events of contacts and domains. Raises EventError."""
    event = mapping(read_json(body))
    name, data = word(event.get("type")), mapping(event.get("data"))
    if name == "email.received":
        headers = {
            word(key).lower(): word(value, 2000) for key, value in mapping(data.get("headers")).items()
        }
        return HookContents(messages=(
            make_reply(
                PROVIDER, word(data.get("email_id")) or request_id, word(data.get("from"), 1000),
                word(data.get("subject"), 500), word(data.get("text"), 100_000), headers,
                moment(event.get("created_at"), received_at),
            ),
        ))  # fmt: skip
    if not name.startswith("email."):
        return HookContents()
    if name not in KINDS:
        # A schedule, a label: nothing that a delivery's state depends on.
        return HookContents()
    kind, bounce, click = KINDS[name], mapping(data.get("bounce")), mapping(data.get("click"))
    opened = mapping(data.get("open"))
    fault: Fault = "hard" if name == "email.suppressed" else ""
    if kind == "bounced":
        said = f"{word(bounce.get('message'), 2000)} {word(bounce.get('subType'))}"
        otherwise = _FAULTS.get(word(bounce.get("type")).lower(), "soft")
        fault = judge_bounce(word(bounce.get("diagnosticCode"), 500), said, otherwise=otherwise)
    email_id = word(data.get("email_id"))
    if not email_id:
        raise EventError("Resend's event names no e-mail.")
    return HookContents(reports=(
        DeliveryReport(
            PROVIDER, request_id, kind, moment(event.get("created_at"), received_at), "email", email_id,
            delivery_of(_tags(data.get("tags")).get("delivery_id")),
            word(next(iter(items(data.get("to"))), ""), 320) or None, fault,
            word(bounce.get("subType") or bounce.get("type"), 40),
            agent=word(click.get("userAgent") or opened.get("userAgent")),
        ),
    ))  # fmt: skip


def _tags(value: Any) -> Mapping[str, Any]:
    """Tags are listed as they were sent, or as a mapping."""
    if isinstance(value, list):
        return {word(mapping(tag).get("name")): mapping(tag).get("value") for tag in value}
    return mapping(value)
