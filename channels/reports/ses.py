"""Amazon SES by way of SNS: events of a configuration set, feedback notifications, and mails that SES receives.

Source: docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html,
docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from channels.mail import DELIVERY_HEADER
from channels.reports.fields import delivery_of, items, judge_bounce, mapping, moment, read_json, word
from channels.reports.mail_reply import make_reply, read_mail
from channels.ses import PROVIDER
from schemas.delivery_report import DeliveryReport, Fault, HookContents, InboundMessage, ReportKind
from schemas.errors import EventError

KINDS: Mapping[str, ReportKind] = {
    "send": "accepted", "delivery": "delivered", "deliverydelay": "deferred", "open": "opened", "click": "clicked",
    "bounce": "bounced", "complaint": "complained", "reject": "undelivered", "rendering failure": "undelivered",
    "subscription": "unsubscribed",
}  # fmt: skip
_OURS = ("contentrejected", "attachmentrejected", "messagetoolarge")
# What the event's own part is called.
_PARTS = {"rendering failure": "failure", "deliverydelay": "deliveryDelay"}


def read(body: bytes, received_at: datetime) -> HookContents:
    """The reports of one message of SNS, one mail, or where to confirm a topic. Raises EventError."""
    envelope = mapping(read_json(body))
    if envelope.get("Type") == "SubscriptionConfirmation":
        return HookContents(confirm_url=word(envelope.get("SubscribeURL"), 2000))
    if envelope.get("Type") != "Notification":
        return HookContents()
    text = word(envelope.get("Message"), 1_000_000)
    if text.startswith("Successfully validated SNS topic"):
        return HookContents()
    event = mapping(read_json(text.encode()))
    name = word(event.get("eventType") or event.get("notificationType")).lower()
    if name == "received":
        return HookContents(messages=(_read_received(event, received_at),))
    if name not in KINDS:
        raise EventError(f"The event {name[:40]!r} of SES isn't known.")
    return HookContents(reports=_read_event(name, event, word(envelope.get("MessageId")), received_at))


def _read_event(
    name: str, event: Mapping[str, Any], message_id: str, received_at: datetime
) -> tuple[DeliveryReport, ...]:
    mail, part = mapping(event.get("mail")), mapping(event.get(_PARTS.get(name, name)))
    if name == "complaint" and word(part.get("complaintFeedbackType")) == "not-spam":
        return ()
    kind: ReportKind = KINDS[name]
    at = moment(part.get("timestamp") or mail.get("timestamp"), received_at)
    delivery = delivery_of(
        next(iter(items(mapping(mail.get("tags")).get("delivery_id"))), None)
    ) or delivery_of(_header(mail, DELIVERY_HEADER))
    return tuple(
        DeliveryReport(
            PROVIDER, f"{message_id}/{number}", kind, at, "email", word(mail.get("messageId")) or None, delivery,
            word(recipient.get("emailAddress"), 320) or None,
            _fault(part, recipient) if kind == "bounced" else "block" if name == "reject" else "",
            word(recipient.get("status") or part.get("complaintFeedbackType") or part.get("reason"), 40),
            agent=word(part.get("userAgent")),
        )
        for number, recipient in enumerate(_recipients(mail, part))
    )  # fmt: skip


def _recipients(mail: Mapping[str, Any], part: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Whom the event is about; our mails have one recipient each."""
    told = items(part.get("bouncedRecipients")) or items(part.get("complainedRecipients"))
    if told:
        return [mapping(one) for one in told]
    addresses = items(part.get("recipients")) or items(mail.get("destination"))
    return [{"emailAddress": next(iter(addresses), "")}]


def _fault(part: Mapping[str, Any], recipient: Mapping[str, Any]) -> Fault:
    detail = word(part.get("bounceSubType")).lower()
    if detail in _OURS:
        return "block"
    if detail in ("suppressed", "onaccountsuppressionlist"):
        return "hard"
    otherwise: Fault = "hard" if word(part.get("bounceType")).lower() == "permanent" else "soft"
    said = word(recipient.get("diagnosticCode"), 2000)
    return judge_bounce(word(recipient.get("status")), said, otherwise=otherwise)


def _read_received(event: Mapping[str, Any], received_at: datetime) -> InboundMessage:
    mail = mapping(event.get("mail"))
    message_id, at = word(mail.get("messageId")), moment(mail.get("timestamp"), received_at)
    content = event.get("content")
    if isinstance(content, str) and content:
        raw = content.encode("utf-8", "surrogatepass")
        if word(mapping(mapping(event.get("receipt")).get("action")).get("encoding")).upper() == "BASE64":
            try:
                raw = base64.b64decode(content, validate=True)
            except (binascii.Error, ValueError):
                raise EventError("The mail that SES received is no base64.") from None
        return read_mail(raw, PROVIDER, message_id, at)
    headers = {
        word(mapping(one).get("name")).lower(): word(mapping(one).get("value"), 2000)
        for one in items(mail.get("headers"))
    }
    return make_reply(
        PROVIDER, message_id, headers.get("from", "") or word(mail.get("source"), 1000), headers.get("subject", ""),
        "", headers, at,
    )  # fmt: skip


def _header(mail: Mapping[str, Any], name: str) -> str:
    for one in items(mail.get("headers")):
        if word(mapping(one).get("name")).lower() == name.lower():
            return word(mapping(one).get("value"))
    return ""
