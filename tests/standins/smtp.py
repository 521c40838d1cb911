"""An SMTP server that accepts mail, counts it, and fails as it is told.

A fault is one of FAULTS, or `stage:reply` with the stages connect, mail, rcpt, data and dot, such as
`rcpt:550 5.7.1 blocked`. It meets one message; `connect` faults meet one connection.

    python -m tests.standins.smtp --port 2525 --log accepted.jsonl --seed 7 --fail-rate 0.2
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from types import TracebackType

from tests.standins.programme import OK, Journal, Programme, read_script, share
from tests.standins.server import StandInServer

FAULTS = {
    "421_at_connect": "connect:421 4.3.2 try later",
    "451_at_rcpt": "rcpt:451 4.7.1 greylisted",
    "550_at_rcpt": "rcpt:550 5.1.1 no such user",
    "452_after_dot": "dot:452 4.3.1 disk full",
    "554_after_dot": "dot:554 5.6.0 refused",
}
# How long a message is waited for.
PATIENCE_SECONDS = 60.0
CUTS = ("cut_before_dot", "cut_after_dot", "hang_after_dot", "garbled_after_dot", "delay")
CHANCE = ("451_at_rcpt", "cut_before_dot", "cut_after_dot", "452_after_dot")


@dataclass(frozen=True)
class AcceptedMail:
    """One message that the server took."""

    message_id: str
    delivery: str
    sender: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def message(self) -> Message:
        return message_from_bytes(self.data)


class SmtpStandIn(StandInServer):
    """The server; an asynchronous context manager. `port` is known once it is started."""

    def __init__(
        self,
        programme: Programme | None = None,
        *,
        port: int = 0,
        log: str | Path | None = None,
        delay_seconds: float = 0.2,
    ) -> None:
        super().__init__(port)
        self.programme = programme or Programme()
        self.accepted: list[AcceptedMail] = []
        self.connections = 0
        self._took_one = asyncio.Event()
        self._delay_seconds = delay_seconds
        self._journal = Journal(log)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def count(self, delivery: str) -> int:
        """How often a delivery was accepted."""
        return sum(mail.delivery == delivery for mail in self.accepted)

    async def wait_for_message(self) -> None:
        """Return once a message was accepted. Raises TimeoutError if none is in time."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._took_one.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._journal.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take mail, one message after the other."""
        self.connections += 1
        await _Conversation(self, reader, writer).hold()

    def take(self, sender: str, recipients: list[str], data: bytes) -> None:
        """Accept a message, for good."""
        message = message_from_bytes(data)
        mail = AcceptedMail(
            message_id=str(message["Message-ID"]),
            delivery=str(message["X-Holdfast-Delivery"]),
            sender=sender,
            recipients=tuple(recipients),
            data=data,
        )
        self.accepted.append(mail)
        self._took_one.set()
        self._journal.write(
            {"message_id": mail.message_id, "delivery": mail.delivery, "recipient": ",".join(recipients)}
        )

    @property
    def delay_seconds(self) -> float:
        return self._delay_seconds


class _Conversation:
    def __init__(
        self, server: SmtpStandIn, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._fault = ""
        self._sender = ""
        self._recipients: list[str] = []

    async def hold(self) -> None:
        script = self._server.programme.script
        if script and FAULTS.get(script[0], script[0]).startswith("connect:"):
            await self._reply(FAULTS.get(script[0], script[0]).partition(":")[2])
            script.popleft()
            return
        await self._reply("220 stand-in ready")
        while line := await self._reader.readline():
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match word.upper():
                case "EHLO":
                    await self._reply("250-stand-in\r\n250-8BITMIME\r\n250 SIZE 10485760")
                case "HELO" | "NOOP":
                    await self._reply("250 2.0.0 ok")
                case "RSET":
                    self._sender, self._recipients = "", []
                    await self._reply("250 2.0.0 ok")
                case "MAIL":
                    fault = self._server.programme.draw()
                    self._fault = FAULTS.get(fault, fault)
                    self._sender, self._recipients = _address(rest), []
                    if not await self._fail("mail"):
                        await self._reply("250 2.1.0 ok")
                case "RCPT":
                    if not await self._fail("rcpt"):
                        self._recipients.append(_address(rest))
                        await self._reply("250 2.1.5 ok")
                case "DATA" if not self._recipients:
                    await self._reply("503 5.5.1 RCPT first")
                case "DATA":
                    if not await self._fail("data") and not await self._read_message():
                        return
                case "QUIT":
                    await self._reply("221 2.0.0 bye")
                    return
                case _:
                    await self._reply("502 5.5.2 unknown command")

    async def _read_message(self) -> bool:
        """Take one message; False when the connection is over."""
        await self._reply("354 go on")
        lines: list[bytes] = []
        while (line := await self._reader.readline()) != b".\r\n":
            if not line or self._fault == "cut_before_dot":
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        if await self._fail("dot"):
            return True
        if self._fault == "delay":
            await asyncio.sleep(self._server.delay_seconds)
        self._server.take(self._sender, self._recipients, b"".join(lines))
        if self._fault == "cut_after_dot":
            return False
        if self._fault == "hang_after_dot":
            await self._reader.read()  # until the client gives up
            return False
        await self._reply("hello?" if self._fault == "garbled_after_dot" else "250 2.0.0 taken")
        return True

    async def _fail(self, stage: str) -> bool:
        """Reply with the programmed fault if it belongs to this stage."""
        where, _, reply = self._fault.partition(":")
        if where != stage:
            return False
        self._fault = OK
        await self._reply(reply)
        return True

    async def _reply(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")
        await self._writer.drain()


def _address(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


async def _run(arguments: argparse.Namespace) -> None:
    programme = Programme(
        read_script(arguments.script), share(arguments.fail_rate, arguments.faults.split(",")), arguments.seed
    )
    async with SmtpStandIn(
        programme, port=arguments.port, log=arguments.log, delay_seconds=arguments.delay
    ) as server:
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="An SMTP server that counts and fails.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="append one JSON line per accepted message")
    parser.add_argument("--script", help="JSON list of faults, one per message")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fail-rate", type=float, default=0.0)
    parser.add_argument("--faults", default=",".join(CHANCE), help="what the fail rate draws from")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds of the fault `delay`")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
