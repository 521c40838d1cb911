"""`holdfast report`: what playbooks achieved, against those who were held out."""

from __future__ import annotations

import asyncio
import json
import os

import click

from cli.report_model import model
from schemas.settings import Settings


@click.group(invoke_without_command=True, subcommand_metavar="[model ...]")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@click.pass_context
def command(context: click.Context, form: str) -> None:
    """What playbooks achieved: goals reached by the treated against the held out, with interval, and what it cost.

    \b
    Examples:
      holdfast report --format json
      holdfast report model --picture model.svg
    """
    if context.invoked_subcommand is not None:
        return
    asyncio.run(_report(Settings.read(os.environ).require_database_url(), form))


command.add_command(model)


async def _report(database_url: str, form: str) -> None:
    from loops.reporting import report_playbooks, summarise
    from store.database import Database

    async with Database(database_url, connections=1) as database:
        if form == "json":
            for one in await report_playbooks(database):
                click.echo(json.dumps(one))
        else:
            for line in await summarise(database):
                click.echo(line)
