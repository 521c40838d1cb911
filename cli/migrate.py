"""`holdfast migrate`."""

from __future__ import annotations

import os

import click

from schemas.settings import Settings


@click.command()
def command() -> None:
    """Bring the database of HOLDFAST_DATABASE_URL to this version's tables; safe to repeat.

    \b
    Example:
      HOLDFAST_DATABASE_URL=postgresql://me:secret@db/holdfast holdfast migrate
    """
    from store.migrating import migrate

    done = migrate(Settings.read(os.environ).require_database_url())
    if done.before == done.after:
        click.echo(f"already at {done.after}")
    else:
        click.echo(f"{done.before or 'empty'} -> {done.after}")
