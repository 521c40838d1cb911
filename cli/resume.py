"""`holdfast resume`."""

from __future__ import annotations

import click

from cli.orders import give


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--reason", default="", metavar="R", help="Why; kept with the run.")
def command(run_ids: tuple[str, ...], reason: str) -> None:
    """Let paused runs go on; what was overdue for too long is skipped up to the next wait.

    `holdfast runs` lists runs with their ids.

    \b
    Example:
      holdfast resume 0f8e…
    """
    give("resume", run_ids, reason)
