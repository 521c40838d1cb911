"""The process of the mail and SMS sinks: `python -m loops.sinks --smtp-port P --sms-port Q --outbox DIR`.

The SMS sink's account is read from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import uvicorn

from loops.mail_sink import serve_mail
from loops.ports import HOST
from loops.sms_sink import SmsSink


async def serve(smtp_port: int, sms_port: int, outbox: Path) -> None:
    """Serve both until SIGTERM or SIGINT."""
    outbox.mkdir(parents=True, exist_ok=True)
    sms = SmsSink(outbox, os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    config = uvicorn.Config(
        sms.application(), host=HOST, port=sms_port, log_level="warning", access_log=False,
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
    asked = parser.parse_args()
    asyncio.run(serve(asked.smtp_port, asked.sms_port, asked.outbox))
