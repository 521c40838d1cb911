"""The sinks: stand-ins for every provider of messages, in a process of their own or inside a test's.

`python -m loops.sinks --smtp-port P --sms-port Q --outbox DIR --push-account FILE`: SMS, WhatsApp, calls, push and the
mail APIs come over HTTP, to one port, which also answers to `/control`. Twilio's account is read from
TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, that for push from the key file.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from loops.conduct import Conduct, Cut
from loops.kept_messages import KeptMessage, list_messages
from loops.mail_api_sink import MailApiSink
from loops.mail_sink import serve_mail
from loops.ports import HOST
from loops.provider_reports import SECRET_VARIABLE, Reporter
from loops.push_sink import PushSink, make_account
from loops.sink_control import Connected, SinkControl, hang_up
from loops.sms_sink import SmsSink

# Twilio's own number for tests.
SENDER = "+15005550006"


@dataclass
class Sinks:
    """Running sinks: what they took, how they behave, what they report."""

    outbox: Path
    conduct: Conduct
    reporter: Reporter
    smtp_port: int
    http_port: int
    push_account: Path

    @property
    def url(self) -> str:
        """Where they answer over HTTP."""
        return f"http://{HOST}:{self.http_port}"

    def environ(self, *, email: str = "smtp") -> dict[str, str]:
        """What Holdfast's worker and web process are told, so that every message comes here.

        email: `smtp`, `sendgrid`, `resend`, `ses`, or several of them with commas, the first one first.
        """
        wanted = [name.strip() for name in email.split(",")]
        environ = {
            "HOLDFAST_EMAIL_PROVIDERS": ",".join(wanted),
            "HOLDFAST_MAIL_FROM": "Holdfast <care@holdfast.example>",
            "HOLDFAST_PUBLIC_URL": self.reporter.public_url,
            SECRET_VARIABLE: self.reporter.secret,
            "TWILIO_ACCOUNT_SID": self.reporter.account_sid,
            "TWILIO_AUTH_TOKEN": self.reporter.auth_token,
            "TWILIO_BASE_URL": self.url,
            "TWILIO_FROM": SENDER,
            "TWILIO_WHATSAPP_FROM": SENDER,
            "TWILIO_VOICE_FROM": SENDER,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.push_account),
            "FCM_BASE_URL": self.url,
        }
        if "smtp" in wanted:
            environ["SMTP_URL"] = f"smtp://{HOST}:{self.smtp_port}"
        if "sendgrid" in wanted:
            environ |= {"SENDGRID_API_KEY": "SG.sink", "SENDGRID_BASE_URL": self.url}
        if "resend" in wanted:
            environ |= {"RESEND_API_KEY": "re_sink", "RESEND_BASE_URL": self.url}
        if "ses" in wanted:
            environ |= {
                "AWS_ACCESS_KEY_ID": "AKIASINK", "AWS_SECRET_ACCESS_KEY": "sink", "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_SESV2": self.url,
            }  # fmt: skip
        return environ

    def fail(self, channel: str, *faults: str) -> None:
        """Have the next messages of a channel meet these faults, in turn."""
        self.conduct.tell(channel, next=faults)

    def messages(self, channel: str | None = None, *, to: str | None = None) -> list[KeptMessage]:
        """What was taken, in order of arrival."""
        return [
            message
            for message in list_messages(self.outbox)
            if channel in (None, message.channel) and to in (None, message.to)
        ]

    async def report(
        self, message: KeptMessage, kind: str, *, text: str = "", code: str = "", times: int = 1
    ) -> int:
        """Report on a message to Holdfast's /hooks as its provider would, signed; the answer's status."""
        return await self.reporter.report(message, kind, text=text, code=code, times=times)


@contextlib.asynccontextmanager
async def open_sinks(
    directory: Path,
    *,
    public_url: str = "http://127.0.0.1:8080",
    hooks_url: str = "",
    smtp_port: int = 0,
    http_port: int = 0,
    outbox: Path | None = None,
    push_account: Path | None = None,
    environ: Mapping[str, str] | None = None,
    seed: int = 0,
) -> AsyncIterator[Sinks]:
    """Serve on the loopback address until the block ends; ports of 0 are any free ones.

    public_url: the address that Holdfast believes to have. hooks_url: where its web process listens, if elsewhere.
    """
    given = environ or {}
    outbox = outbox or directory / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    conduct = Conduct(seed)
    reporter = Reporter(
        public_url.rstrip("/"),
        given.get("TWILIO_ACCOUNT_SID") or f"AC{secrets.token_hex(16)}",
        given.get("TWILIO_AUTH_TOKEN") or secrets.token_hex(16),
        given.get(SECRET_VARIABLE) or f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        hooks_url,
    )
    listener = socket.create_server((HOST, http_port))
    port = listener.getsockname()[1]
    account = push_account or directory / "push-account.json"
    if push_account is None or not account.exists():
        make_account(account, f"http://{HOST}:{port}")
    sms = SmsSink(outbox, reporter.account_sid, reporter.auth_token, conduct)
    parts = (
        sms,
        PushSink(outbox, account, conduct),
        MailApiSink(outbox, conduct),
        SinkControl(outbox, conduct, reporter),
    )
    application = Starlette(
        routes=[route for part in parts for route in part.routes()], exception_handlers={Cut: hang_up}
    )
    server = _Server(
        uvicorn.Config(
            Connected(application), log_level="warning", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    mail = await serve_mail(outbox, smtp_port, conduct)
    smtp = mail.sockets[0].getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.005)
        yield Sinks(outbox, conduct, reporter, smtp, port, account)
    finally:
        server.should_exit = True
        await serving
        mail.close()
        listener.close()


class _Server(uvicorn.Server):
    """Signals are its owner's business: a test's, or the process's below."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def serve(asked: argparse.Namespace) -> None:
    """Serve all until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_sinks(
        asked.outbox.parent,
        public_url=os.environ.get("HOLDFAST_PUBLIC_URL", "http://127.0.0.1:8080"),
        smtp_port=asked.smtp_port,
        http_port=asked.sms_port,
        outbox=asked.outbox,
        push_account=asked.push_account,
        environ=os.environ,
    ):
        await stopping.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--sms-port", type=int, required=True)
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--push-account", type=Path, required=True)
    asyncio.run(serve(parser.parse_args()))
