"""`holdfast runs`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from schemas.settings import Settings

if TYPE_CHECKING:
    from store.reading_rows import RunRow


@click.command()
@click.option("--playbook", metavar="P", help="Only runs of this playbook.")
@click.option("--customer", metavar="ID", help="Only runs of this customer (the userId of its events).")
@click.option(
    "--state", type=click.Choice(["open", "ended"]), help="Only runs that are open, or that have ended."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    playbook: str | None, customer: str | None, state: Literal["open", "ended"] | None, limit: int, form: str
) -> None:
    """Runs and where they are, newest first; with --format json one object per line.

    \b
    Example:
      holdfast runs --playbook rescue-declining-supplier --state open
    """
    url = Settings.read(os.environ).require_database_url()
    runs = asyncio.run(_read(url, playbook, customer, state, limit))
    if form == "json":
        for run in runs:
            click.echo(run.model_dump_json())
    elif runs:
        click.echo(_table(runs))
    else:
        click.echo("no runs", err=True)


async def _read(
    url: str, playbook: str | None, customer: str | None, state: Literal["open", "ended"] | None, limit: int
) -> list[RunRow]:
    from store.database import Database
    from store.reading_runs import list_runs

    async with Database(url, connections=1) as database, database.transaction() as connection:
        return await list_runs(connection, playbook=playbook, customer=customer, state=state, limit=limit)


def _table(runs: Sequence[RunRow]) -> str:
    rows = [("RUN", "PLAYBOOK", "CUSTOMER", "STATE", "AT", "ENTERED", "ENDED")]
    for run in runs:
        state = run.outcome or (
            "paused" if run.paused else "held out" if run.arm == "held_out" else run.state
        )
        if run.arm == "shadow":
            state = f"shadow, {state}"
        rows.append(
            (
                run.id,
                run.playbook,
                run.user_id,
                state,
                (run.reason or "") if run.ended_at else (run.step or ""),
                f"{run.entered_at:%Y-%m-%d %H:%M}",
                f"{run.ended_at:%Y-%m-%d %H:%M}" if run.ended_at else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
