"""`holdfast report`: what playbooks achieved, against those who were held out."""

from __future__ import annotations

import asyncio
import json
import os

import click

from schemas.settings import Settings


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
def command(form: str) -> None:
    """What playbooks achieved: goals reached by the treated against the held out, with interval, and what it cost.

    \b
    Example:
      holdfast report --format json
    """
    asyncio.run(_report(Settings.read(os.environ).require_database_url(), form))


async def _report(database_url: str, form: str) -> None:
    from loops.reporting import report_playbooks, summarise
    from store.database import Database

    database = Database(database_url, connections=1)
    try:
        if form == "json":
            for one in await report_playbooks(database):
                click.echo(json.dumps(one))
        else:
            for line in await summarise(database):
                click.echo(line)
    finally:
        await database.close()
