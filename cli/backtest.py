"""`holdfast backtest`: a playbook played over the stored past."""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.playbooks_option import playbooks_option
from cli.simulate import Instant, open_stage
from loops.simulation.stage import Stage
from schemas.duration import parse_duration
from schemas.settings import Settings

if TYPE_CHECKING:
    from loops.backtest.result import BacktestResult


class Length(click.ParamType[timedelta]):
    """A duration such as 60d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration as a time span."""
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration; write it as 60d.", param, ctx)
        return timedelta(seconds=seconds)


class End(Instant):
    """A moment, or a day, which is included."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The first instant that isn't included any more, in UTC."""
        instant = super().convert(value, param, ctx)
        is_day = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip())
        try:
            return instant + timedelta(days=1) if is_day else instant
        except OverflowError:
            self.fail(f"{value!r} has no end.", param, ctx)


@click.command()
@click.argument("playbook", metavar="PLAYBOOK")
@click.option(
    "--from",
    "start",
    required=True,
    type=Instant(),
    metavar="D",
    help="The first day, or the moment, of the period.",
)
@click.option(
    "--to",
    "end",
    required=True,
    type=End(),
    metavar="D",
    help="The last day, or the moment at which it ends.",
)
@click.option(
    "--churn-within", "horizon", type=Length(), default="60d", show_default=True, metavar="DURATION",
    help="How long after the trigger began to hold a cancellation counts.",
)  # fmt: skip
@click.option(
    "--customers", type=click.IntRange(min=1), default=5000, show_default=True, metavar="N",
    help="Play at most so many, drawn by a hash of their id.",
)  # fmt: skip
@click.option(
    "--as-happened", is_flag=True,
    help="Events count from when they happened, not from when they became known: for imported histories.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw it, too: FILE.svg, FILE.png or FILE.pdf.",
)  # fmt: skip
@playbooks_option
@click.pass_context
def command(
    context: click.Context,
    playbook: str,
    start: datetime,
    end: datetime,
    horizon: timedelta,
    customers: int,
    as_happened: bool,
    form: str,
    picture: Path | None,
    directory: Path,
) -> None:
    """What a playbook would have done over the stored past: who enters, what is sent, and whether its trigger tells.

    PLAYBOOK is a name or a path; it is played as if it had been made live at --from, whatever its status. Nothing is
    sent and nothing is written. Progress goes to standard error.

    \b
    Example:
      holdfast backtest rescue-declining-supplier --from 2026-03-01 --to 2026-05-31 --picture rescue.svg
    """
    url = Settings.read(os.environ).require_database_url()
    stage = open_stage(context, playbook, directory)
    if picture is not None:
        from loops.backtest.picture import check_picture

        check_picture(picture)
    result = asyncio.run(_backtest(url, stage, start, end, horizon, customers, as_happened=as_happened))
    if form == "json":
        click.echo(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        from loops.backtest.telling import describe

        for line in describe(result):
            click.echo(line)
    if picture is not None:
        from loops.backtest.picture import draw

        draw(result, picture)
        click.echo(f"the picture is in {picture}", err=True)


async def _backtest(
    url: str,
    stage: Stage,
    start: datetime,
    end: datetime,
    horizon: timedelta,
    customers: int,
    *,
    as_happened: bool,
) -> BacktestResult:
    # What belongs to Temporal is only read once everything else is found in order.
    from loops.backtest.playing import backtest
    from store.database import Database

    async with Database(url, connections=2) as database:
        return await backtest(
            database,
            stage.playbook,
            start,
            end,
            policy=stage.policy,
            step_types=stage.step_types,
            playbooks=stage.others,
            horizon=horizon,
            customers=customers,
            as_happened=as_happened,
            say=lambda line: click.echo(line, err=True),
        )
