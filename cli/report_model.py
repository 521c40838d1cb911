"""`holdfast report model`: how good the churn predictions and health scores were, and whether the world moved."""

from __future__ import annotations

import asyncio
import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.errors import InputError
from schemas.settings import Settings

if TYPE_CHECKING:
    from scoring.model_report import ModelReport


@click.command()
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), metavar="D",
    help="The report that was made on that day (UTC); left out: of now.",
)  # fmt: skip
@click.option(
    "--capacity", type=click.FloatRange(0, 100, min_open=True), default=10.0, show_default=True, metavar="PERCENT",
    help="The share of customers whom your CSMs can look after; of a report of now.",
)  # fmt: skip
@click.option(
    "--customers", type=click.IntRange(min=1), metavar="N",
    help="Look at no more than so many, drawn by a hash of their id.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw it, too: FILE.svg, FILE.png or FILE.pdf.",
)  # fmt: skip
def model(
    day: datetime | None, capacity: float, customers: int | None, form: str, picture: Path | None
) -> None:
    """Predictions of churn and health scores against what became of the customers.

    Calibration, ranking and accuracy (beside the majority rate) on predictions whose horizon is over; observed over
    expected by week on 28-day outcomes; coverage and age of what serves. Nothing is written. A report is kept each
    day: --day shows one of those.

    \b
    Example:
      holdfast report model --picture model.svg
    """
    if picture is not None:
        from loops.backtest.picture import check_picture

        check_picture(picture)
    url = Settings.read(os.environ).require_database_url()
    found = asyncio.run(_report(url, day.date() if day else None, capacity / 100, customers))
    if form == "json":
        click.echo(found.model_dump_json())
    else:
        from cli.model_telling import describe

        for line in describe(found):
            click.echo(line)
    if picture is not None:
        from cli.model_picture import draw

        draw(found, picture)
        click.echo(f"the picture is in {picture}", err=True)


async def _report(database_url: str, day: date | None, capacity: float, customers: int | None) -> ModelReport:
    from loops.observing import CUSTOMERS, observe
    from schemas.catalogue import load_catalogue
    from scoring.model_report import ModelReport
    from store.database import Database
    from store.monitoring import read_report
    from store.playbooks import load_policy

    async with Database(database_url, connections=1) as database:
        async with database.transaction() as connection:
            if day is not None:
                kept = await read_report(connection, day)
                if kept is None:
                    raise InputError(f"No report of {day} is kept.", remedy="Leave --day out for one of now.")
                return ModelReport.model_validate_json(kept)
            policy = await load_policy(connection)
            now = await database.clock.read(connection)
        return await observe(
            database, load_catalogue(), policy, now, customers=customers or CUSTOMERS, capacity=capacity,
            say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
