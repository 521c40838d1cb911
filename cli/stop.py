"""`holdfast stop`."""

from __future__ import annotations

import click

from cli.orders import give


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--outcome", type=click.Choice(["success", "stopped", "lost"]), default="stopped", show_default=True
)
@click.option("--reason", default="", metavar="R", help="Why; kept with the run.")
def command(run_ids: tuple[str, ...], outcome: str, reason: str) -> None:
    """End runs now, with an outcome. `holdfast runs` lists runs with their ids.

    \b
    Example:
      holdfast stop 0f8e… --outcome lost --reason "closed the business"
    """
    give("stop", run_ids, reason, outcome)
