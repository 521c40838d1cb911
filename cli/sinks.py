"""`holdfast sinks`: stand-ins for every provider of messages, to try playbooks and integrations against."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
from pathlib import Path

import click


@click.command()
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), default=Path(".holdfast/sinks"),
              show_default=True, help="Where messages are kept.")  # fmt: skip
@click.option("--smtp-port", type=click.IntRange(0, 65535), default=2525, show_default=True)
@click.option("--http-port", type=click.IntRange(0, 65535), default=2526, show_default=True)
@click.option("--public-url", default="http://127.0.0.1:8080", show_default=True, envvar="HOLDFAST_PUBLIC_URL",
              help="Where Holdfast's web process takes reports.")  # fmt: skip
@click.option(
    "--email", default="smtp", show_default=True, help="smtp, sendgrid, resend, ses, or several with commas."
)
@click.option("--format", "form", type=click.Choice(["shell", "json"]), default="shell", show_default=True)
def command(directory: Path, smtp_port: int, http_port: int, public_url: str, email: str, form: str) -> None:
    """Take every message and deliver none; fail, delay, cut, double or swap them on request.

    Prints the environment that sends messages here. `holdfast dev` has sinks of its own.

    \b
    Example:
      holdfast sinks > sinks.env &
      curl -X PUT 127.0.0.1:2526/control/sms -d '{"next": ["busy", "cut_after"]}'
      curl 127.0.0.1:2526/control/messages
    """
    asyncio.run(_serve(directory, smtp_port, http_port, public_url, email, form))


async def _serve(
    directory: Path, smtp_port: int, http_port: int, public_url: str, email: str, form: str
) -> None:
    from loops.sinks import open_sinks

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_sinks(
        directory, public_url=public_url, smtp_port=smtp_port, http_port=http_port, environ=os.environ
    ) as sinks:
        environ = sinks.environ(email=email) | {"HOLDFAST_SINKS_URL": sinks.url}
        if form == "json":
            click.echo(json.dumps(environ))
        else:
            for name, value in environ.items():
                click.echo(f"export {name}={shlex.quote(value)}")
        await stopping.wait()
