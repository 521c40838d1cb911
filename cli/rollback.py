"""`holdfast rollback`: makes an earlier version of a playbook live again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.settings import Settings

if TYPE_CHECKING:
    from loops.rollback import RolledBack


@click.command()
@click.argument("playbook", metavar="PLAYBOOK|health/NAME")
@click.argument("version", metavar="VERSION")
@click.option(
    "--playbooks",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the playbook's file lies [playbooks].",
)
def command(playbook: str, version: str, directory: Path | None) -> None:
    """Publish an earlier version's text again, by the same checks; runs inside follow its `on_change`.

    The file gets that text too, where it is there, so that the next `apply` finds what is live.

    Of a health model that scores, everybody is scored anew.

    \b
    Examples:
      holdfast rollback rescue-declining-supplier 1f0c
      holdfast rollback health/segment-weighted 91d2
    """
    settings = Settings.read(os.environ)
    url = settings.require_database_url()
    done = asyncio.run(_roll_back(url, directory or settings.playbooks, playbook, version))
    name = done.playbook
    click.echo(
        f"{name}: version {done.version} is live again, was {done.was}"
        if done.changed
        else f"{name}: version {done.version} is live already, with this text"
    )
    if done.written:
        click.echo(f"{done.written} has its text")
    else:
        click.echo(
            f"No file was written: {done.kept}. The next `apply` of it publishes what it says.", err=True
        )


async def _roll_back(url: str, directory: Path, playbook: str, version: str) -> RolledBack:
    from cli.published_names import read_name
    from loops.model_rollback import roll_back_model
    from loops.rollback import roll_back
    from schemas.catalogue import load_catalogue
    from store.database import Database

    name, is_model = read_name(playbook)
    async with Database(url, connections=2) as database:
        make_live = roll_back_model if is_model else roll_back
        return await make_live(database, directory, load_catalogue(), name, version)
