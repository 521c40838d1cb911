"""`holdfast versions`: the versions of a playbook, and what was published when and by whom."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from schemas.settings import Settings

if TYPE_CHECKING:
    from store.publications import VersionRow


@click.command()
@click.argument("playbook", metavar="PLAYBOOK|health/NAME")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(playbook: str, form: str) -> None:
    """Every version of a playbook or health model that was ever live, the latest first; with --format json one object
    per line.

    \b
    Examples:
      holdfast versions rescue-declining-supplier
      holdfast versions health/segment-weighted
    """
    url = Settings.read(os.environ).require_database_url()
    rows = asyncio.run(_read(url, playbook))
    if form == "json":
        for row in rows:
            click.echo(row.model_dump_json(by_alias=False))
        return
    click.echo(f"{'VERSION':<14}{'PUBLISHED':<18}{'BY':<20}{'RUNS INSIDE':>11}  WHAT")
    for row in rows:
        version = f"{row.version}{' *' if row.live else ''}"
        published = f"{row.last_published_at:%Y-%m-%d %H:%M}"
        click.echo(f"{version:<14} {published:<17} {row.author:<19.19} {row.open_runs:>11}  {row.note}")
    click.echo("* is what enters now", err=True)


async def _read(url: str, playbook: str) -> list[VersionRow]:
    from cli.published_names import read_name
    from store.database import Database
    from store.health_versions import list_model_versions
    from store.publications import list_versions

    name, is_model = read_name(playbook)
    async with Database(url, connections=1) as database, database.transaction() as connection:
        return await (list_model_versions if is_model else list_versions)(connection, name)
