"""`holdfast pause`."""

from __future__ import annotations

import click

from cli.orders import give


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--reason", default="", metavar="R", help="Why; kept with the run.")
def command(run_ids: tuple[str, ...], reason: str) -> None:
    """Let runs stand still; due times run on, and goal and exit still end them.

    `holdfast runs` lists runs with their ids.

    \b
    Example:
      holdfast pause 0f8e… --reason "she is on holiday"
    """
    give("pause", run_ids, reason)
