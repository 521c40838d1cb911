"""`holdfast diff`: what two versions of a playbook differ in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import click

from schemas.settings import Settings


@click.command()
@click.argument("playbook", metavar="PLAYBOOK|health/NAME")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B", required=False)
def command(playbook: str, first: str, second: str | None) -> None:
    """The text of version A against that of version B (the live one where left out), as `diff -u` writes it.

    Versions may be shortened. What templates say otherwise follows, as they have no versions of their own.

    \b
    Examples:
      holdfast diff rescue-declining-supplier 1f0c 8ab2
      holdfast diff health/segment-weighted 91d2
    """
    url = Settings.read(os.environ).require_database_url()
    for line in asyncio.run(_read(url, playbook, first, second)):
        click.echo(line)


async def _read(url: str, playbook: str, first: str, second: str | None) -> Sequence[str]:
    from cli.published_names import read_name
    from rules.textual import Written, diff, diff_texts
    from store.database import Database
    from store.health_versions import PREFIX, load_model_text
    from store.publications import load_written

    name, is_model = read_name(playbook)
    async with Database(url, connections=1) as database, database.transaction() as connection:
        if is_model:
            texts = [await load_model_text(connection, name, version) for version in (first, second)]
            return diff_texts(f"{PREFIX}{name}.yaml", *texts)
        old, new = [Written(*await load_written(connection, name, version)) for version in (first, second)]
    return diff(old, new)
