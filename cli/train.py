"""`holdfast train`: learns the churn models from the customers' own history, and promotes what proves better."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from cli.orders import who
from schemas.settings import Settings

if TYPE_CHECKING:
    from schemas.training_run import TrainingResult
    from store.churn_models import StoredModel
    from store.database import Database

# It must be said before numpy is imported: one thread adds up in one order.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
_Result = TypeVar("_Result")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be decided; keep and change nothing.")
@click.option(
    "--list", "listing", is_flag=True, help="List the models that were trained, and what became of them."
)
@click.option(
    "--rollback", "version", metavar="VERSION",
    help="Let an earlier version serve again, by its first digits; nothing is trained.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How to print it.",
)  # fmt: skip
def command(dry_run: bool, listing: bool, version: str | None, form: str) -> None:
    """Train the churn model and the recalibrated health score on the history of the live database.

    A model is promoted only where it proves better on customers and months that it hasn't seen; what was decided, and
    why, is printed with the figures. From 10 customers who left upwards; the worker does the same every Sunday.

    \b
    Examples:
      holdfast train --dry-run
      holdfast train --list
      holdfast train --rollback 3fa9
    """
    if listing + dry_run + (version is not None) > 1:
        raise click.UsageError("--dry-run, --list and --rollback exclude one another.")
    url = Settings.read(os.environ).require_database_url()
    if listing:
        _print_models(asyncio.run(_with_database(url, _list)), form)
    elif version is not None:
        _print_rollback(*asyncio.run(_with_database(url, lambda found: _roll_back(found, version))), form)
    else:
        result = asyncio.run(_with_database(url, lambda found: _train(found, dry_run)))
        _print_result(result, form, dry_run=dry_run)


async def _with_database(url: str, work: Callable[[Database], Awaitable[_Result]]) -> _Result:
    from store.database import Database

    async with Database(url, connections=2) as database:
        return await work(database)


async def _train(database: Database, dry_run: bool) -> TrainingResult:
    from activities.training import ModelTrainingBooks
    from schemas.catalogue import load_catalogue
    from schemas.training_run import TrainingCall

    books = ModelTrainingBooks(database, load_catalogue(), say=lambda line: click.echo(line, err=True))
    return await books.train(TrainingCall(dry_run=dry_run, by=who()))


async def _list(database: Database) -> list[StoredModel]:
    from store.churn_models import list_models

    async with database.transaction() as connection:
        return await list_models(connection)


async def _roll_back(database: Database, prefix: str) -> tuple[str, str, bool]:
    from store.churn_models import find_version, promote

    by = who()
    async with database.transaction() as connection:
        kind, version = await find_version(connection, prefix)
        now = await database.clock.read(connection)
        changed = await promote(
            connection, kind, version, now=now, approved_by=by, reason=f"Made to serve again by {by}."
        )
    return kind, version, changed


def _print_result(result: TrainingResult, form: str, *, dry_run: bool) -> None:
    if form == "json":
        click.echo(json.dumps({"dry_run": dry_run, **result.model_dump(mode="json")}))
        return
    from cli.training_telling import describe_training

    for line in describe_training(result, dry_run=dry_run):
        click.echo(line)


def _print_models(models: list[StoredModel], form: str) -> None:
    if form == "json":
        for one in models:
            click.echo(json.dumps(one.to_json()))
        return
    from cli.training_telling import describe_models

    for line in describe_models(models):
        click.echo(line)


def _print_rollback(kind: str, version: str, changed: bool, form: str) -> None:
    if form == "json":
        click.echo(json.dumps({"kind": kind, "version": version, "changed": changed}))
    elif changed:
        click.echo(f"{kind}: version {version} serves again")
    else:
        click.echo(f"{kind}: version {version} serves already")
