"""`holdfast people`: who may sign in; making the first account, and links for those who can't get in."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from cli.actor import system_actor
from schemas.access import STAFF, Role
from schemas.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from store.database import Connection

_Result = TypeVar("_Result")


def with_database(settings: Settings, ask: Callable[[Connection, datetime], Awaitable[_Result]]) -> _Result:
    """What `ask` gives, from one transaction."""
    from store.database import Database

    async def run() -> _Result:
        url = settings.require_database_url()
        async with Database(url, connections=1) as database, database.transaction() as connection:
            return await ask(connection, await database.clock.read(connection))

    return asyncio.run(run())


@click.group()
def command() -> None:
    """Accounts of those who work here. API keys of programs: `holdfast keys`.

    \b
    Roles: csm works with customers, ops also edits playbooks and policy, admin also manages people and keys.

    \b
    Examples:
      holdfast people add ada@example.com --name "Ada Lovelace" --role admin
      holdfast people link ada@example.com      a new one-time link, when she can't sign in
      holdfast people deactivate ada@example.com
    """


@command.command()
@click.argument("email")
@click.option("--name", required=True, help="As colleagues see it.")
@click.option("--role", type=click.Choice(STAFF), required=True)
def add(email: str, name: str, role: Role) -> None:
    """Make an account, and print the one-time link by which its owner chooses a password."""
    from store.people import add_person
    from web.one_time_links import LINK_LASTS, make_link

    settings = Settings.read(os.environ)

    async def make(connection: Connection, now: datetime) -> str:
        person = await add_person(connection, system_actor(), email, name, role, now)
        return await make_link(connection, system_actor(), person, settings.public_url, now)

    link = with_database(settings, make)
    click.echo(f"{email} may come in as {role} by this link, once, within {LINK_LASTS.days} days:", err=True)
    click.echo(link)


@command.command()
@click.argument("email")
def link(email: str) -> None:
    """A new one-time link, by which a new password is chosen. Earlier links are good no longer."""
    from store.people import need_person
    from web.one_time_links import LINK_LASTS, make_link

    settings = Settings.read(os.environ)

    async def make(connection: Connection, now: datetime) -> str:
        person = await need_person(connection, email)
        return await make_link(connection, system_actor(), person, settings.public_url, now)

    made = with_database(settings, make)
    click.echo(f"{email} may come in by this link, once, within {LINK_LASTS.days} days:", err=True)
    click.echo(made)


@command.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(form: str) -> None:
    """All accounts, closed ones last."""
    from store.people import Person, list_people

    async def read(connection: Connection, _: datetime) -> list[Person]:
        return await list_people(connection)

    found = with_database(Settings.read(os.environ), read)
    for one in found:
        way = "password" if one.password_hash else "provider" if one.oidc_subject else "never"
        if form == "json":
            told = {
                "id": one.id, "email": one.email, "name": one.name, "role": one.role, "active": one.active,
                "signs_in_by": way,
                "signed_in_at": one.signed_in_at.isoformat() if one.signed_in_at else None,
            }  # fmt: skip
            click.echo(json.dumps(told))
        else:
            last = f"{one.signed_in_at:%Y-%m-%d %H:%M}" if one.signed_in_at else "never signed in"
            click.echo(
                f"{one.email:<32} {one.role:<6} {'open' if one.active else 'closed':<7} {last:<16} {one.name}"
            )
    if not found and form == "text":
        click.echo("nobody has an account yet: holdfast people add EMAIL --name N --role admin", err=True)


@command.command()
@click.argument("email")
@click.argument("role", type=click.Choice(STAFF))
def role(email: str, role: Role) -> None:
    """What somebody may from now on; they sign in again for it. The last admin stays admin."""
    from store.people import change_role, need_person

    async def change(connection: Connection, _: datetime) -> None:
        await change_role(connection, system_actor(), await need_person(connection, email), role)

    with_database(Settings.read(os.environ), change)
    click.echo(f"{email} has the role {role}")


@command.command("sign-out")
@click.argument("email")
def sign_out(email: str) -> None:
    """Sign somebody out of all browsers, as after a device was lost. The account stays open."""
    from store.people import need_person
    from store.sessions import end_sessions

    async def end(connection: Connection, _: datetime) -> int:
        person = await need_person(connection, email)
        return await end_sessions(connection, system_actor(), person.id, "ended_by_admin")

    ended = with_database(Settings.read(os.environ), end)
    click.echo(f"{email} is signed out of {ended} browser{'' if ended == 1 else 's'}")


@command.command()
@click.argument("email")
def deactivate(email: str) -> None:
    """Close an account: its owner is signed out everywhere. The last admin's stays open."""
    _switch(email, active=False)


@command.command()
@click.argument("email")
def reactivate(email: str) -> None:
    """Open an account again."""
    _switch(email, active=True)


def _switch(email: str, *, active: bool) -> None:
    from store.people import need_person, set_active

    async def change(connection: Connection, _: datetime) -> None:
        await set_active(connection, system_actor(), await need_person(connection, email), active)

    with_database(Settings.read(os.environ), change)
    click.echo(f"the account of {email} is {'open' if active else 'closed'}")
