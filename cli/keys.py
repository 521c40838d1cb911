"""`holdfast keys`: the API keys of programs, besides those of the environment."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from cli.actor import system_actor
from cli.people import with_database
from schemas.access import STAFF, Role
from schemas.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from store.api_keys import KeyRow
    from store.database import Connection


@click.group()
def command() -> None:
    """API keys of programs. Their secrets are shown once, and kept as hashes.

    \b
    Examples:
      holdfast keys add mobile-app --role service
      holdfast keys add dashboards --role csm --per-minute 600 --expires 90d
      holdfast keys remove mobile-app
    """


def _days(_: click.Context, __: click.Parameter, written: str | None) -> timedelta | None:
    if written is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,3})d", written)
    if not found:
        raise click.BadParameter("write days, such as 90d")
    return timedelta(days=int(found[1]))


def _name(_: click.Context, __: click.Parameter, written: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", written):
        raise click.BadParameter("letters, digits, dots and dashes, such as mobile-app")
    return written


@command.command()
@click.argument("name", callback=_name)
@click.option("--role", type=click.Choice(["service", *STAFF]), default="service", show_default=True)
@click.option(
    "--per-minute", type=click.IntRange(1, 1_000_000), help="Calls a minute; else the process's limit."
)
@click.option(
    "--expires", "lasts", callback=_days, metavar="DAYS", help="After so long, such as 90d; else never."
)
def add(name: str, role: Role, per_minute: int | None, lasts: timedelta | None) -> None:
    """Make a key and print it, once."""
    from web.one_time_links import make_key

    async def make(connection: Connection, now: datetime) -> str:
        return await make_key(
            connection,
            system_actor(),
            name,
            role=role,
            per_minute=per_minute,
            expires_at=now + lasts if lasts else None,
            now=now,
        )

    key = with_database(Settings.read(os.environ), make)
    click.echo(f"the key of {name} ({role}); it isn't shown again:", err=True)
    click.echo(key)


@command.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(form: str) -> None:
    """Names, roles and limits, no secrets."""
    from store.api_keys import list_keys

    async def read(connection: Connection, now: datetime) -> tuple[list[KeyRow], datetime]:
        return await list_keys(connection), now

    found, now = with_database(Settings.read(os.environ), read)
    for one in found:
        until = one.expires_at.isoformat(timespec="seconds") if one.expires_at else None
        if form == "json":
            told = {"name": one.name, "role": one.role, "per_minute": one.per_minute, "expires_at": until}
            click.echo(json.dumps(told))
        else:
            over = " (expired)" if one.expires_at and one.expires_at <= now else ""
            limit = f"{one.per_minute}/min" if one.per_minute else "default"
            click.echo(f"{one.name:<32} {one.role:<8} {limit:<12} {until or 'never expires'}{over}")
    if not found and form == "text":
        click.echo("no keys but those of the environment", err=True)


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Let a key in no longer, within ten seconds in every web process."""
    from web.one_time_links import remove_key

    async def drop(connection: Connection, _: datetime) -> None:
        await remove_key(connection, system_actor(), name)

    with_database(Settings.read(os.environ), drop)
    click.echo(f"the key {name} is removed")
