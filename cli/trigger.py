"""`holdfast trigger`."""

from __future__ import annotations

import asyncio
import os
from pathlib import PurePath

import click

from cli.orders import who
from schemas.settings import Settings


@click.command()
@click.argument("playbook")
@click.option(
    "--customer", required=True, metavar="ID", help="The customer, by its own id (the userId of its events)."
)
@click.option("--reason", metavar="R", help="Why; kept with the run.")
def command(playbook: str, customer: str, reason: str | None) -> None:
    """Enter one customer into PLAYBOOK, whatever its trigger says; its other entry rules hold.

    Prints the run's id. Where the entry is refused, the reason goes to standard error and the exit status is
    1.

    \b
    Example:
      holdfast trigger rescue-declining-supplier --customer supplier-17 --reason "she rang us"
    """
    settings = Settings.read(os.environ)
    url = settings.require_database_url()
    # A path to the file means the playbook of that name.
    name = PurePath(playbook).stem if playbook.endswith((".yaml", ".yml")) else playbook
    click.echo(asyncio.run(_enter(url, name, customer, reason or f"by hand, by {who()}")))


async def _enter(url: str, playbook: str, customer: str, reason: str) -> str:
    from cli.actor import system_actor
    from store.audit import record_change
    from store.database import Connection, Database
    from store.entry_requests import EntryRequest, request_entry

    async def note(connection: Connection, request: EntryRequest) -> None:
        after = {"request_id": request.id, "playbook": playbook, "reason_length": len(reason)}
        await record_change(
            connection, system_actor(), "intervention.triggered", object_kind="customer",
            object_id=request.customer_id, after=after,
        )  # fmt: skip

    async with Database(url, connections=1) as database:
        return await request_entry(database, playbook, customer, reason, asked_by=who(), note=note)
