"""What lies in the outbox of the sinks, read in one form whatever provider took it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loops.conduct import SinkChannel

_WHATSAPP = "whatsapp:"


@dataclass(frozen=True)
class KeptMessage:
    """One message that a sink took; `id` sorts by arrival, `provider_id` is what the sender was told.

    `delivery_id` names it in Holdfast's ledger. `callback` is where Twilio would report on it.
    """

    id: str
    channel: SinkChannel
    to: str
    delivery_id: str | None
    provider_id: str | None
    subject: str = ""
    text: str = ""
    sender: str = ""
    callback: str | None = None
    path: Path = field(default_factory=Path, repr=False)

    def to_json(self) -> dict[str, Any]:
        """What the control API shows."""
        return {
            "id": self.id, "channel": self.channel, "to": self.to, "from": self.sender, "subject": self.subject,
            "text": self.text, "delivery_id": self.delivery_id, "provider_id": self.provider_id,
        }  # fmt: skip


def list_messages(outbox: Path) -> list[KeptMessage]:
    """All messages in order of arrival."""
    found = []
    for path in sorted(outbox.iterdir()) if outbox.is_dir() else ():
        if not path.name.startswith(".") and (message := read_message(path)) is not None:
            found.append(message)
    return found


def read_message(path: Path) -> KeptMessage | None:
    """The message in this file; None for any other file."""
    name, _, kind = path.name.partition(".")
    if kind == "eml":
        return _read_mail(name, path)
    if kind in ("sms.json", "whatsapp.json", "voice.json"):
        return _read_twilio(name, path)
    if kind == "push.json":
        kept = json.loads(path.read_text())
        shown = kept.get("notification", {})
        return KeptMessage(
            name, "push", kept.get("token", ""), kept.get("data", {}).get("delivery_id"), kept["name"],
            shown.get("title", ""), shown.get("body", ""), path=path,
        )  # fmt: skip
    if kind == "email.json":
        kept = json.loads(path.read_text())
        return KeptMessage(
            name, "email", kept["to"], kept["delivery_id"], kept["id"], kept.get("subject") or "",
            kept.get("text") or "", path=path,
        )  # fmt: skip
    return None


def _read_mail(name: str, path: Path) -> KeptMessage:
    mail = message_from_bytes(path.read_bytes())
    subject = str(make_header(decode_header(str(mail["Subject"] or ""))))
    return KeptMessage(
        name, "email", str(mail["X-Envelope-To"] or ""), mail["X-Holdfast-Delivery"], mail["Message-ID"],
        subject, _text(mail), str(mail["X-Envelope-From"] or ""), path=path,
    )  # fmt: skip


def _text(mail: Message) -> str:
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return content.decode(part.get_content_charset("utf-8"), "replace")
    return ""


def _read_twilio(name: str, path: Path) -> KeptMessage:
    kept = json.loads(path.read_text())
    channel: SinkChannel = "sms"
    if path.name.endswith(".voice.json"):
        channel = "voice"
    elif kept["to"].startswith(_WHATSAPP):
        channel = "whatsapp"
    callback = kept.get("status_callback")
    delivery = parse_qs(urlsplit(callback or "").query).get("d", [None])[0]
    text = kept.get("twiml") or kept.get("body") or ""
    return KeptMessage(
        name, channel, kept["to"], delivery, kept["sid"], "", text, kept.get("from") or "", callback, path
    )
