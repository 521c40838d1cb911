"""`holdfast dev`: the whole system on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from loops.bulletin import VARIABLE as BULLETIN
from loops.bulletin import follow
from loops.data_directory import DataDirectory
from loops.development import DEFAULT_PORTS, Development, Wanted
from schemas.errors import HoldfastError, SettingError
from schemas.settings import Settings

PAGE = """
Holdfast is up                       Ctrl-C stops it; the next start goes on from here

  Sign in       {sign_in}{sign_in_note}
  Pages         {web}
  API           {web}/openapi.json
  API key       {api_key}
  Outbox        {web}/outbox   ({messages})
  Temporal UI   {temporal_ui}
  SMTP sink     {smtp}
  Database      {database_url}
  Logs          {logs}

Try next
  send an event     curl -u {api_key}: -H 'content-type: application/json' \\
                      -d '{{"userId": "me", "event": "form_created"}}' {web}/v1/track
  look at the runs  {holdfast} runs
  ask why           {holdfast} explain rescue-declining-supplier --customer demo-story-2
  play a month      {holdfast} dev --fast   (in well under a minute, after Ctrl-C here)
  edit a playbook   {playbooks}: saving makes it live; a file with errors changes nothing, and is told here
"""
_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--demo/--no-demo",
    default=None,
    help="Load the demo customer base (default, unless the database is yours).",
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept [.holdfast]."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORTS["web"],
    show_default=True,
    help="Of the web.",
)
@click.option(
    "--fast", is_flag=True, help="Play the coming month on virtual time, telling what happens, then end."
)
def command(demo: bool | None, data: Path | None, port: int, fast: bool) -> None:
    """Run everything on this machine: PostgreSQL, Temporal, worker, web, mail and SMS sinks, demo customers.

    HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS (or TEMPORAL_PROFILE) name servers of your own to use instead.
    Messages of the demo never leave this machine.

    \b
    Examples:
      holdfast dev
      holdfast dev --no-demo --data /var/tmp/holdfast --port 9000
      holdfast dev --fast
    """
    settings = Settings.read(os.environ)
    embedded = settings.database_url is None
    if fast and not embedded:
        raise SettingError(
            "--fast plays on a copy of the embedded database, but HOLDFAST_DATABASE_URL names another.",
            remedy="Unset HOLDFAST_DATABASE_URL.",
        )
    directory = DataDirectory(data or settings.data)
    directory.acquire()
    # Nobody has put demo customers into a database of his own unless he says so.
    wanted = Wanted(
        directory, dict(os.environ), port, fast or (embedded if demo is None else demo), played=fast
    )
    # Not asyncio.run: it waits for threads at the end, and there are five seconds for stopping.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(live(wanted, play if fast else stay))


async def live(wanted: Wanted, then: Callable[[Development], Coroutine[Any, Any, None]]) -> None:
    """Bring the system up, do `then`, take it down, whatever ends it first.

    SIGINT, SIGTERM and SIGHUP end it as wished. Raises the HoldfastError of what couldn't be kept.
    """
    begun = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - begun:5.1f} s] {line}", err=True)

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in _STOPPING_SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    development = Development(wanted, say)
    living = loop.create_task(then(development))
    asked = loop.create_task(stopping.wait())
    failure = development.supervisor.failure
    ends: set[asyncio.Future[Any]] = {living, asked, failure}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            say("stopping")
    finally:
        asked.cancel()
        living.cancel()
        wanted.data.addresses.unlink(missing_ok=True)
        await asyncio.wait({living}, timeout=0.5)
        await development.stop()
        wanted.data.release()
    if failure.done():
        raise failure.result()
    if living.done() and not living.cancelled() and (error := living.exception()) is not None:
        raise _plain(error)


async def stay(development: Development) -> None:
    """Everything up, the page printed, then what becomes of edited playbooks, until the end."""
    await development.bring_up_stores()
    following = asyncio.create_task(follow(Path(development.environ[BULLETIN]), development.say))
    await development.bring_up_processes()
    addresses = development.addresses()
    development.data.write_addresses(addresses)
    click.echo(page(addresses, development.environ))
    await following


async def play(development: Development) -> None:
    """The coming month on virtual time, on a copy of the database: the real one stays in the present."""
    await development.bring_up_stores(with_temporal=False)
    environ = development.copy_for_playing()
    from loops.player import play as play_month

    await play_month(environ, click.echo)


def page(addresses: dict[str, Any], environ: dict[str, str]) -> str:
    """The one page that tells where everything is and what to try next."""
    own_sink = environ["SMTP_URL"].endswith(addresses["smtp"])
    script = Path(sys.executable).with_name("holdfast")
    playbooks = Settings.read(environ).playbooks
    told = {
        **addresses,
        "temporal_ui": addresses["temporal_ui"]
        or f"(your Temporal at {addresses['temporal'] or 'its profile'})",
        "sign_in_note": "\n                (once, as you@localhost; the next start prints another)"
        if "/welcome/" in addresses["sign_in"]
        else "",
        "messages": "every mail and SMS; none leaves this machine"
        if own_sink
        else f"mail goes out by {_host(environ)}",
        "holdfast": shlex.quote(os.path.relpath(script)) if script.exists() else "holdfast",
        "playbooks": next((str(path) for path in sorted(playbooks.glob("*.yaml"))), f"{playbooks}/"),
    }
    return PAGE.format_map(told)


def _host(environ: dict[str, str]) -> str:
    return environ["SMTP_URL"].rpartition("@")[2].rpartition("//")[2]


def _plain(error: BaseException) -> BaseException:
    """The first error of ours inside a group of them, else the error itself."""
    if isinstance(error, BaseExceptionGroup):
        ours, _ = error.split(HoldfastError)
        while ours is not None:
            first = ours.exceptions[0]
            if not isinstance(first, BaseExceptionGroup):
                return first
            ours = first
    return error
