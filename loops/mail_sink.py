"""An SMTP server that delivers nowhere: every mail becomes a file that can be looked at."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from loops.conduct import Conduct, Cut, Fault
from loops.data_directory import write_atomically
from loops.ports import HOST

LARGEST_MAIL_BYTES = 25 * 1024 * 1024
_AT_RCPT = {
    "busy": "451 4.7.1 try again later",
    "refuse": "550 5.1.1 no such user",
    "account": "530 5.7.0 log in",
}


_last_named = 0


def message_name() -> str:
    """A file name that sorts by time of arrival, also within a millisecond and where the clock is set back, and never
    comes twice.
    """
    global _last_named
    _last_named = max(_last_named + 1, time.time_ns() // 1_000_000)
    return f"{_last_named:013d}-{secrets.token_hex(6)}"


def keep_message(path: Path, content: str | bytes) -> None:
    """Write what a sink took before it says so. A busy disk isn't waited for: senders give up after some seconds."""
    write_atomically(path, content, durable=False)


class MailSink:
    """Writes each mail to `outbox` as TIME-RANDOM.eml, envelope in X-Envelope-… headers, then says 250."""

    def __init__(self, outbox: Path, conduct: Conduct | None = None) -> None:
        self._outbox = outbox
        self._conduct = conduct or Conduct()
        self._faults: dict[int, Fault] = {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """One recipient; at the first it shows what the mail meets."""
        if not envelope.rcpt_tos:
            self._faults[id(session)] = self._conduct.draw("email")
        if refusal := _AT_RCPT.get(self._faults.get(id(session), "ok")):
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """One mail: on the disk first, then acknowledged."""
        fault = self._faults.pop(id(session), "ok")
        if fault == "error":
            return "452 4.3.1 disk full"
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        try:
            name = await self._conduct.take("email", fault, lambda: self._keep(envelope, raw))
        except Cut:
            if server.transport is not None:
                server.transport.abort()  # type: ignore[attr-defined]
            return "421 4.3.2 cut"
        return f"250 2.0.0 kept as {name}.eml"

    async def _keep(self, envelope: Envelope, raw: bytes) -> str:
        head = [f"X-Envelope-From: {envelope.mail_from or ''}"]
        head += [f"X-Envelope-To: {recipient}" for recipient in envelope.rcpt_tos]
        written = "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n" + raw
        name = message_name()
        await asyncio.to_thread(keep_message, self._outbox / f"{name}.eml", written)
        return name


async def serve_mail(outbox: Path, port: int, conduct: Conduct | None = None) -> asyncio.Server:
    """Listen for SMTP on `port` of the loopback address (0: any), keeping every mail in `outbox`."""
    sink: Any = MailSink(outbox, conduct)
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
