"""`holdfast score`: health of given facts, statelessly; and how well a model tells who leaves."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.backtest import End, Length
from cli.facts_lines import FactsLines
from cli.named_models import find_model
from cli.simulate import Instant
from schemas.catalogue import load_catalogue
from schemas.errors import PlaybookError
from schemas.health_model import HealthModel
from schemas.settings import Settings
from scoring.health import Scorer

if TYPE_CHECKING:
    from loops.backtest.bands import BandResult

_model_option = click.option(
    "--model", "named", metavar="M",
    help="A health model's name or file; left out: the one that policy.yaml names, else segment-weighted.",
)  # fmt: skip
_directory_option = click.option(
    "--playbooks", "directory", type=click.Path(path_type=Path), default=Path("playbooks"), show_default=True,
    metavar="DIR", help="The directory of the playbooks, with policy.yaml and health/.",
)  # fmt: skip


@click.group(invoke_without_command=True, subcommand_metavar="[backtest ...]")
@click.option(
    "--facts", "facts_file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="F.jsonl",
    help="One customer's facts per line; - is standard input.",
)  # fmt: skip
@click.option(
    "--customer", metavar="ID", help="One customer of the live database, scored now; nothing is written."
)
@click.option(
    "--population", is_flag=True, help="Score everybody in the database now, as it is done every night."
)
@click.option("--runs", "listing", is_flag=True, help="List the last runs over the population.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How to print what became of the population, or of the customer.",
)  # fmt: skip
@_model_option
@_directory_option
@click.pass_context
def command(
    context: click.Context,
    facts_file: str | None,
    customer: str | None,
    population: bool,
    listing: bool,
    form: str,
    named: str | None,
    directory: Path,
) -> None:
    """Score each line of facts by a health model, without a database and without the viral boost.

    Lines with errors are named on standard error and left out; the exit status is then 1. Where too little is known for
    the model, the score is null and the risk level unknown.

    With --population everybody is scored through Temporal, by the batch workers that run: signals, health, churn, and
    whom the evaluator is to look at. The exit status is 1 where parts of the population had to be given up.

    \b
    Examples:
      echo '{"customer": "c1", "signals": {"days_since_last_login": 5}}' | holdfast score --facts - --model points
      holdfast score backtest --from 2026-03-01 --to 2026-05-31
      holdfast score --customer supplier-17
      holdfast score --population
    """
    if context.invoked_subcommand is not None:
        return
    if (facts_file is not None) + (customer is not None) + population + listing != 1:
        raise click.UsageError(
            "Give one of '--facts', '--customer', '--population', '--runs' (or the command 'backtest')."
        )
    if customer is not None:
        from cli.customer_scores import print_health

        print_health(customer, form)
        return
    if population or listing:
        from cli.population import print_runs, score_population

        settings = Settings.read(os.environ)
        if listing:
            print_runs(settings, form)
        elif not score_population(settings, form):
            context.exit(1)
        return
    assert facts_file is not None
    scorer = Scorer(_find(context, named, directory))
    lines = FactsLines(facts_file, load_catalogue())
    for facts in lines:
        health = scorer(facts.signals)
        told = {
            "customer": facts.customer,
            "model": scorer.model.name,
            "score": health.score,
            "risk_level": health.risk_level,
            "factors": health.factors,
            "segment": health.segment,
        }
        click.echo(json.dumps(told))
    context.exit(1 if lines.failed else 0)


@command.command("backtest")
@click.option("--from", "start", required=True, type=Instant(), metavar="D", help="The first day.")
@click.option("--to", "end", required=True, type=End(), metavar="D", help="The last day.")
@_model_option
@click.option(
    "--every", type=Length(), default="7d", show_default=True, metavar="DURATION",
    help="How far the days on which customers are scored lie apart.",
)  # fmt: skip
@click.option(
    "--churn-within", "horizon", type=Length(), default="60d", show_default=True, metavar="DURATION",
    help="How long after the score leaving counts.",
)  # fmt: skip
@click.option(
    "--customers", type=click.IntRange(min=1), default=5000, show_default=True, metavar="N",
    help="Look at no more than so many, drawn by a hash of their id.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw it, too: FILE.svg, FILE.png or FILE.pdf.",
)  # fmt: skip
@_directory_option
@click.pass_context
def backtest(
    context: click.Context,
    start: datetime,
    end: datetime,
    named: str | None,
    every: timedelta,
    horizon: timedelta,
    customers: int,
    form: str,
    picture: Path | None,
    directory: Path,
) -> None:
    """How well a health model's bands separate customers who later left, over the stored history.

    Customers are scored on days of the past from the signals of that day. Who had left already isn't looked at, nor are
    days whose following period isn't over yet. Leaving is cancelling, or 60 days without a login.

    \b
    Example:
      holdfast score backtest --from 2026-03-01 --to 2026-05-31 --model points --picture bands.svg
    """
    url = Settings.read(os.environ).require_database_url()
    model = _find(context, named, directory)
    if picture is not None:
        from loops.backtest.picture import check_picture

        check_picture(picture)
    result = asyncio.run(_backtest(url, model, start, end, every, horizon, customers))
    if form == "json":
        click.echo(json.dumps(result.to_json()))
    else:
        from loops.backtest.bands_telling import describe_bands

        for line in describe_bands(result):
            click.echo(line)
    if picture is not None:
        from loops.backtest.bands_picture import draw_bands

        draw_bands(result, picture)
        click.echo(f"the picture is in {picture}", err=True)


async def _backtest(
    url: str,
    model: HealthModel,
    start: datetime,
    end: datetime,
    every: timedelta,
    horizon: timedelta,
    customers: int,
) -> BandResult:
    from loops.backtest.bands import backtest_bands
    from store.database import Database

    async with Database(url, connections=2) as database:
        return await backtest_bands(
            database, model, start, end, every=every, horizon=horizon, customers=customers,
            say=lambda line: click.echo(line, err=True),
        )  # fmt: skip


def _find(context: click.Context, named: str | None, directory: Path) -> HealthModel:
    try:
        return find_model(named, directory)
    except PlaybookError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        context.exit(1)
