"""The process of the sinks: `python -m loops.sinks --smtp-port P --sms-port Q --outbox DIR --push-account FILE`.

SMS, WhatsApp and push come over HTTP, to one port. The account for the first two is read from TWILIO_ACCOUNT_SID and
TWILIO_AUTH_TOKEN, that for push from the key file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from loops.mail_sink import serve_mail
from loops.ports import HOST
from loops.push_sink import PushSink
from loops.sms_sink import SmsSink


async def serve(smtp_port: int, sms_port: int, outbox: Path, push_account: Path) -> None:
    """Serve all until SIGTERM or SIGINT."""
    outbox.mkdir(parents=True, exist_ok=True)
    sms = SmsSink(outbox, os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    push = PushSink(outbox, push_account)
    application = Starlette(routes=[*sms.routes(), *push.routes()])
    config = uvicorn.Config(
        application, host=HOST, port=sms_port, log_level="warning", access_log=False,
        lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
    mail = await serve_mail(outbox, smtp_port)
    await uvicorn.Server(config).serve()
    mail.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--sms-port", type=int, required=True)
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--push-account", type=Path, required=True)
    asked = parser.parse_args()
    asyncio.run(serve(asked.smtp_port, asked.sms_port, asked.outbox, asked.push_account))
