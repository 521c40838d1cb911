"""`holdfast providers`: whom messages are handed to; using again what was parked; keys for web push."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.asking import ask_database
from cli.orders import who

if TYPE_CHECKING:
    from store.database import Connection
    from store.providers import ProviderState


@click.group()
def command() -> None:
    """Providers of the channels: which are there, which are parked or resting, and why.

    \b
    Examples:
      holdfast providers list
      holdfast providers unpark sendgrid
      holdfast providers vapid
    """


@command.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(form: str) -> None:
    """Every provider that workers have used; JSON: one object a line.

    \b
    Example:
      holdfast providers list
    """
    from store.providers import load_providers

    states = asyncio.run(ask_database(load_providers))
    for state in states:
        if form == "json":
            row = {name: value for name, value in asdict(state).items() if name != "settings"}
            click.echo(json.dumps(row, default=lambda moment: moment.isoformat()))
        else:
            click.echo(f"{state.channel:<10}{state.provider:<10}{describe_state(state)}")
    if not states and form == "text":
        click.echo("no worker has handed a message to anybody yet", err=True)


@command.command()
@click.argument("provider", metavar="NAME")
@click.option(
    "--channel", metavar="C", help="Only for this channel; all that it is parked for where left out."
)
def unpark(provider: str, channel: str | None) -> None:
    """Use a provider again at once: its account is in order. The messages that wait for it go out within a minute.

    Exits with 1 where no provider of this name is parked or resting.

    \b
    Example:
      holdfast providers unpark twilio --channel sms
    """
    from cli.actor import system_actor
    from store.audit import record_change
    from store.database import LiveClock
    from store.providers import unpark_providers

    async def unpark_now(connection: Connection) -> list[ProviderState]:
        freed = await unpark_providers(connection, provider, channel, await LiveClock().read(connection))
        for state in freed:
            await record_change(
                connection, system_actor(), "provider.unparked", object_kind="provider",
                object_id=f"{state.channel}/{state.provider}", before={"state": state.state, "code": state.code},
            )  # fmt: skip
        return freed

    freed = asyncio.run(ask_database(unpark_now))
    for state in freed:
        click.echo(
            f"{state.provider} ({state.channel}) was {state.state} ({state.code}); {who()} lets it go on"
        )
    if not freed:
        click.echo(f"no provider {provider!r} is parked or resting", err=True)
        raise SystemExit(1)


@command.command()
def vapid() -> None:
    """Make a new key pair for web push: the private one for the workers, the public one for your web app.

    \b
    Example:
      holdfast providers vapid
    """
    from channels.web_push_encryption import make_vapid_key

    private, public = make_vapid_key()
    click.echo(f"VAPID_PRIVATE_KEY={private}")
    click.echo(f"applicationServerKey for PushManager.subscribe(): {public}", err=True)


def describe_state(state: ProviderState) -> str:
    """One line on what can be expected of it."""
    until = f"{state.until:%Y-%m-%d %H:%M:%S} UTC" if state.until else "somebody looks after it"
    match state.state:
        case "parked":
            return f"parked since {state.since:%Y-%m-%d %H:%M} UTC, {state.code}: {state.reason} Next try: {until}."
        case "resting":
            return f"rests until {until}, {state.code}: {state.reason}"
    return f"ok, {state.failures} failure(s) in a row" if state.failures else "ok"
