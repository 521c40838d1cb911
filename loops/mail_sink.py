"""An SMTP server that delivers nowhere: every mail becomes a file that can be looked at."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from loops.data_directory import write_atomically
from loops.ports import HOST

LARGEST_MAIL_BYTES = 25 * 1024 * 1024


def message_name() -> str:
    """A file name that sorts by time of arrival and never comes twice."""
    return f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(6)}"


class MailSink:
    """Writes each mail to `outbox` as TIME-RANDOM.eml, envelope in X-Envelope-… headers, then says 250."""

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """One mail: on the disk first, then acknowledged."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        head = [f"X-Envelope-From: {envelope.mail_from or ''}"]
        head += [f"X-Envelope-To: {recipient}" for recipient in envelope.rcpt_tos]
        written = "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n" + raw
        name = message_name()
        await asyncio.to_thread(write_atomically, self._outbox / f"{name}.eml", written)
        return f"250 2.0.0 kept as {name}.eml"


async def serve_mail(outbox: Path, port: int) -> asyncio.Server:
    """Listen for SMTP on `port` of the loopback address, keeping every mail in `outbox`."""
    sink: Any = MailSink(outbox)
    return await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            sink,
            hostname="outbox.localhost",
            enable_SMTPUTF8=True,
            data_size_limit=LARGEST_MAIL_BYTES,
            timeout=60,
        ),
        HOST,
        port,
    )
