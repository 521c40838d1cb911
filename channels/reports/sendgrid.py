"""SendGrid's event webhook, and mails that its inbound parse hands on.

Source: twilio.com/docs/sendgrid/for-developers/tracking-events/event,
twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.reports.fields import delivery_of, judge_bounce, mapping, moment, read_json, word
from channels.reports.mail_reply import read_parsed_mail
from channels.sendgrid import PROVIDER
from schemas.delivery_report import DeliveryReport, Fault, HookContents, ReportKind, Unreadable
from schemas.errors import EventError

KINDS: Mapping[str, ReportKind] = {
    "processed": "accepted", "deferred": "deferred", "delivered": "delivered", "open": "opened", "click": "clicked",
    "bounce": "bounced", "dropped": "undelivered", "spamreport": "complained", "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}  # fmt: skip
# Said to nobody in particular, or of no delivery.
IGNORED = ("group_resubscribe", "account_status_change")
# What SendGrid didn't even try, and what it remembers of the address.
DROPPED: Mapping[str, tuple[ReportKind, Fault]] = {
    "bounced address": ("undelivered", "hard"),
    "invalid": ("undelivered", "hard"),
    "unsubscribed address": ("unsubscribed", "opted_out"),
    "spam reporting address": ("complained", ""),
    "recipient list over package quota": ("undelivered", "block"),
    "spam content": ("undelivered", "block"),
}
_OURS = ("reputation", "content", "frequency", "frequency or volume too high")


def read(body: bytes, content_type: str, received_at: datetime) -> HookContents:
    """The events of one request, or one mail. Raises EventError."""
    if content_type.lower().startswith("multipart/form-data"):
        return HookContents(messages=(read_parsed_mail(body, content_type, PROVIDER, received_at),))
    events = read_json(body)
    if not isinstance(events, list):
        raise EventError("SendGrid's body is no list of events.")
    reports: list[DeliveryReport] = []
    unreadable: list[Unreadable] = []
    for position, event in enumerate(events, 1):
        try:
            report = _read_event(mapping(event), received_at)
        except EventError as error:
            unreadable.append(Unreadable(position, error.message))
            continue
        if report is not None:
            reports.append(report)
    return HookContents(reports=tuple(reports), unreadable=tuple(unreadable))


def _read_event(event: Mapping[str, Any], received_at: datetime) -> DeliveryReport | None:
    name, event_id = word(event.get("event")), word(event.get("sg_event_id"))
    if name in IGNORED:
        return None
    if name not in KINDS or not event_id:
        raise EventError(f"SendGrid's event {name[:40]!r} isn't known, or has no id.")
    kind, fault = KINDS[name], _fault(name, event)
    if name == "dropped":
        reason = word(event.get("reason")).lower()
        kind, fault = next((what for said, what in DROPPED.items() if reason.startswith(said)), (kind, fault))
    return DeliveryReport(
        PROVIDER, event_id, kind, moment(event.get("timestamp"), received_at), "email",
        word(event.get("sg_message_id")).partition(".")[0] or None,
        delivery_of(event.get("delivery_id")) or delivery_of(event.get("smtp-id")),
        word(event.get("email"), 320) or None, fault,
        word(event.get("status"), 40) or word(event.get("reason"), 40),
        event.get("sg_machine_open") is True, word(event.get("useragent")),
    )  # fmt: skip


def _fault(name: str, event: Mapping[str, Any]) -> Fault:
    if name != "bounce":
        return ""
    if word(event.get("bounce_classification")).lower() in _OURS:
        return "block"
    # `blocked` is what SendGrid calls everything that may go through another time.
    otherwise: Fault = "soft" if event.get("type") == "blocked" else "hard"
    return judge_bounce(word(event.get("status")), word(event.get("reason"), 2000), otherwise=otherwise)
