"""What a person asks of runs from the command line: one order, to one run after the other."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from schemas.errors import HoldfastError
from schemas.settings import Settings

if TYPE_CHECKING:
    from schemas.run import Command


def give(
    verb: Literal["pause", "resume", "stop"], run_ids: Sequence[str], reason: str, outcome: str | None = None
) -> None:
    """Ask each run to `verb`; a line per run, and exit status 1 where one couldn't."""
    from schemas.run import Command

    order = Command(by=who(), reason=reason, outcome=outcome)
    if not asyncio.run(_give(Settings.read(os.environ), verb, run_ids, order)):
        raise SystemExit(1)


def who() -> str:
    """The person at the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


async def _give(
    settings: Settings, verb: Literal["pause", "resume", "stop"], run_ids: Sequence[str], order: Command
) -> bool:
    from cli.actor import system_actor
    from store.database import Database
    from web.commands import give_order
    from web.executions import Executions

    database, executions = Database(settings.require_database_url(), connections=1), Executions(settings)
    good = True
    try:
        for run_id in run_ids:
            try:
                _, answer = await give_order(database, executions, system_actor(), run_id, verb, order)
                click.echo(f"{run_id} {answer}")
            except HoldfastError as error:
                good = False
                click.echo(f"{run_id}: {error}", err=True)
    finally:
        await database.close()
    return good
