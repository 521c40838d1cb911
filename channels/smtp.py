"""E-mail over SMTP.

What an error means depends on how far the conversation had come, not on the exception: until the message
itself is sent, nothing can have been accepted; from then until the server's answer, it may have been.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import normalize_message_line_endings

from channels.mail import build_mail, check_recipient, make_message_id
from channels.outcome import UNANSWERABLE, AccountError, ChannelError, OutgoingMessage, Receipt, Unanswerable
from channels.settings import SmtpServer
from channels.smtp_replies import Stage, lost, refused

DEADLINE_SECONDS = 10.0
VERIFY_SECONDS = 2.0
TRUSTED_IDLE_SECONDS = 1.0
CONNECTIONS = 8


class _Conversation:
    """One message's way through one server; a new one begins when the connection is replaced."""

    stage = Stage.CONNECT


class SmtpChannel:
    """Sends e-mails, each in one conversation, over a few connections that are kept open between messages.

    Belongs to the event loop in which it first sends.
    """

    name = "email"
    provider = "smtp"

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: tuple[str, str],
        tls_context: ssl.SSLContext | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._server = server
        self._sender = sender
        self._tls_context = tls_context
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[tuple[SMTP, float]] = []

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Hand one message to the server; the receipt's id is its Message-ID."""
        recipient = check_recipient(message.recipient, self.provider)
        data = build_mail(
            message, sender=self._sender, recipient=recipient, now=self._now(), provider=self.provider
        )
        talk = _Conversation()
        try:
            async with asyncio.timeout(self._deadline_seconds), self._slots:
                await self._deliver(recipient, data, talk)
        except SMTPResponseException as error:
            raise refused(talk.stage, error.code, error.message, provider=self.provider) from error
        except (SMTPException, OSError) as error:  # TimeoutError is an OSError
            raise self._explain(talk.stage, error) from error
        return Receipt(self.provider, make_message_id(message.delivery_id, self._sender[1]))

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """SMTP has no way to ask what became of a message."""
        return UNANSWERABLE

    async def close(self) -> None:
        """Leave the server politely."""
        while self._idle:
            connection, _ = self._idle.pop()
            with suppress(SMTPException, OSError):
                await connection.quit(timeout=VERIFY_SECONDS)
            connection.close()

    async def _deliver(self, recipient: str, data: bytes, talk: _Conversation) -> None:
        connection, reused = await self._take(talk)
        try:
            try:
                await self._introduce(connection, recipient, talk)
            except (SMTPServerDisconnected, SMTPResponseException) as error:
                # A kept connection may have met the server's limits for one. Nothing was sent on it yet, so
                # going on over a new one is still the same single attempt.
                if not reused or (isinstance(error, SMTPResponseException) and error.code != 421):
                    raise
                connection.close()
                connection = await self._connect(talk)
                await self._introduce(connection, recipient, talk)
            await _transfer(connection, data, talk)
        except BaseException:  # cancelled, too: nobody can go on in the middle of a conversation
            connection.close()
            raise
        self._keep(connection)

    async def _introduce(self, connection: SMTP, recipient: str, talk: _Conversation) -> None:
        talk.stage = Stage.MAIL
        await connection.mail(self._sender[1])
        talk.stage = Stage.RCPT
        await connection.rcpt(recipient)

    async def _take(self, talk: _Conversation) -> tuple[SMTP, bool]:
        while self._idle:
            connection, kept_at = self._idle.pop()
            fresh = time.monotonic() - kept_at < TRUSTED_IDLE_SECONDS
            if connection.is_connected and (fresh or await _is_alive(connection)):
                return connection, True
            connection.close()
        return await self._connect(talk), False

    def _keep(self, connection: SMTP) -> None:
        if connection.is_connected and len(self._idle) < CONNECTIONS:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()

    async def _connect(self, talk: _Conversation) -> SMTP:
        talk.stage = Stage.CONNECT
        server = self._server
        connection = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.implicit_tls,
            start_tls=None if server.starttls == "auto" else server.starttls,
            tls_context=self._tls_context,
            local_hostname=self._sender[1].rpartition("@")[2],
            timeout=None,  # the deadline in `send` is the only one, and covers the whole conversation
        )
        await connection.connect()
        try:
            if server.username is not None:
                talk.stage = Stage.LOGIN
                await connection.login(server.username, server.password or "")
        except BaseException:
            connection.close()
            raise
        return connection

    def _explain(self, stage: Stage, error: SMTPException | OSError) -> ChannelError:
        if isinstance(error, TimeoutError):
            return lost(stage, f"no answer within {self._deadline_seconds:g} s", provider=self.provider)
        refused_for_good = not isinstance(error, OSError) and stage <= Stage.LOGIN
        distrusted = isinstance(error, ssl.SSLCertVerificationError) or isinstance(
            error.__cause__, ssl.SSLCertVerificationError
        )
        if refused_for_good or distrusted:
            # no STARTTLS, no common way to log in, a certificate for another name
            return AccountError(f"The mail server can't be used: {error}.", provider=self.provider)
        return lost(stage, str(error) or type(error).__name__, provider=self.provider)


async def _is_alive(connection: SMTP) -> bool:
    try:
        await connection.noop(timeout=VERIFY_SECONDS)
    except (SMTPException, OSError):
        return False
    return True


async def _transfer(connection: SMTP, data: bytes, talk: _Conversation) -> None:
    """DATA and the message; aiosmtplib's own `data` doesn't tell which of the two was lost."""
    talk.stage = Stage.DATA
    reply = await connection.execute_command(b"DATA")
    protocol = connection.protocol
    if reply.code != 354:
        raise SMTPResponseException(reply.code, reply.message)
    if protocol is None:
        raise SMTPServerDisconnected("Connection lost")
    stuffed = re.sub(rb"(?m)^\.", b"..", normalize_message_line_endings(data))
    talk.stage = Stage.MESSAGE
    protocol.write(stuffed + b".\r\n")
    reply = await protocol.read_response()
    if not 200 <= reply.code <= 299:
        raise SMTPResponseException(reply.code, reply.message)
