"""`holdfast score --population`: everybody scored now, through Temporal, as one watches; and the last runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from schemas.errors import UnavailableError
from schemas.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from schemas.population_run import PopulationProgress
    from store.population import PopulationRow

CONNECT_SECONDS = 6.0
LOOK_EVERY_SECONDS = 0.5
# After so long without a plan nobody seems to be there to carry it out.
NOBODY_SECONDS = 10.0


def score_population(settings: Settings, form: str) -> bool:
    """Score everybody now, telling how far it is; whether every shard was scored."""
    progress = asyncio.run(_run(settings))
    if form == "json":
        click.echo(progress.model_dump_json())
    else:
        click.echo(describe(progress))
    return not progress.failed_shards


def print_runs(settings: Settings, form: str) -> None:
    """Print the last runs, newest first."""
    rows = asyncio.run(_list(settings.require_database_url()))
    if form == "json":
        for row in rows:
            click.echo(json.dumps(asdict(row), default=str))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo("no run yet", err=True)


async def _run(settings: Settings) -> PopulationProgress:
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError

    from loops.schedules import start_population

    client = await _connect(settings)
    handle = await start_population(client, datetime.now(UTC).date())
    begun = asyncio.get_running_loop().time()
    ended = asyncio.ensure_future(handle.result())
    warned = False
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=LOOK_EVERY_SECONDS)
            waited = asyncio.get_running_loop().time() - begun
            progress: PopulationProgress | None = None
            # Nobody may be there to answer.
            with contextlib.suppress(RPCError):
                progress = await handle.query("progress", result_type=_progress())
            if (progress is None or not progress.shards) and waited > NOBODY_SECONDS and not warned:
                warned = True
                click.echo("nobody carries it out: is a `holdfast worker --batch` running?", err=True)
            if progress is not None:
                _show(describe(progress), over=ended.done())
        return await ended
    except WorkflowFailureError as error:
        raise UnavailableError(f"The run failed: {error.cause}.") from error
    finally:
        ended.cancel()


def _progress() -> type[PopulationProgress]:
    from schemas.population_run import PopulationProgress

    return PopulationProgress


async def _connect(settings: Settings) -> Client:
    import worker

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await worker.connect(settings)
    except TimeoutError:
        raise UnavailableError(
            f"Temporal at {settings.temporal_address} doesn't answer.",
            remedy="Check TEMPORAL_ADDRESS, or start `holdfast dev`.",
        ) from None


def describe(progress: PopulationProgress) -> str:
    """One line about how far a run is."""
    told = (
        f"{progress.day}: {progress.scored:,} of {progress.customers:,} customers scored, "
        f"{progress.shards_done} of {progress.shards} shards; {progress.failed:,} passed over, "
        f"{progress.requested:,} for the evaluator"
    )
    if progress.failed_shards:
        told += f"; shards given up: {', '.join(str(shard) for shard in progress.failed_shards)}"
    return told + ("; the day ended before the run did" if progress.over else "")


def _show(line: str, *, over: bool) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{line}" + ("\n" if over else ""), err=True, nl=False)


async def _list(url: str) -> list[PopulationRow]:
    from store.database import Database
    from store.population import list_runs

    async with Database(url, connections=1) as database, database.transaction() as connection:
        return await list_runs(connection)


def _table(runs: Sequence[PopulationRow]) -> str:
    rows = [("DAY", "BEGUN", "TOOK", "SCORED", "PASSED OVER", "FOR THE EVALUATOR", "SHARDS", "CHURN MODEL")]
    for run in runs:
        took = f"{(run.finished_at - run.started_at).total_seconds():.0f} s" if run.finished_at else "at work"
        rows.append(
            (
                str(run.day), f"{run.started_at:%H:%M}", took, f"{run.scored:,}", f"{run.failed:,}",
                f"{run.requested:,}", str(run.shards), run.churn_model or "none",
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
