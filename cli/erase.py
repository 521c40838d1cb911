"""`holdfast erase`: forgets a customer for good, and keeps the list of whom a restored backup must not bring back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.asking import ask_database
from schemas.errors import InputError, UnavailableError
from schemas.settings import Settings

if TYPE_CHECKING:
    from store.database import Connection, Database
    from store.erasing import Erasure

POLL_SECONDS = 1.0
CONNECT_SECONDS = 10.0
# What each state waits for, as it is told.
DOING = {
    "fenced": "fenced: nothing is taken in, begun or sent any more",
    "cancelling": "cancelling: runs are closed, Temporal forgets their executions",
    "erasing": "erasing: what is stored goes",
    "done": "done",
}


@click.command()
@click.option("--customer", "external_id", metavar="ID", help="The customer's id, as in events.")
@click.option("--reason", default="", metavar="R", help="Why; kept for good, so name nobody in it.")
@click.option("--wait", is_flag=True, help="Carry it out here and now, and tell how far it is.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--allow-again", is_flag=True, help="Let new events of an erased --customer make a new customer."
)
@click.option("--list", "listing", is_flag=True, help="All erasures, the latest first.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="With --list."
)
@click.option(
    "--import", "imported", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="F",
    help="After restoring a backup: the erasures of F, from `--list --format json`, hold here, too.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    external_id: str | None,
    reason: str,
    wait: bool,
    yes: bool,
    allow_again: bool,
    listing: bool,
    limit: int,
    imported: Path | None,
    form: str,
) -> None:
    """Erase a customer: everything known of them, in the database and in Temporal. It can't be undone.

    At once nothing more is taken in, begun or sent for them, and their addresses are suppressed for good. A worker does
    the rest; with --wait it is done here. What remains: hashes of their addresses and of their id, counts of what
    playbooks achieved under an id that is nobody's, and that it was done.

    Events that come afterwards are dropped and counted among the dead letters, until --allow-again.

    \b
    Examples:
      holdfast erase --customer supplier-17 --wait
      holdfast erase --list --limit 100000 --format json > erasures.jsonl   (with every backup)
      holdfast erase --import erasures.jsonl                                (after restoring one)
    """
    if listing:
        _list(limit, form)
    elif imported is not None:
        _import(imported)
    elif external_id is None:
        raise click.UsageError("Give --customer, --list or --import.")
    elif allow_again:
        _allow_again(external_id)
    else:
        if not yes:
            _confirm(external_id)
        asyncio.run(_erase(Settings.read(os.environ), external_id, reason, wait, form))


def _confirm(external_id: str) -> None:
    from store.customers import find_customer, unknown_customer
    from store.erasing import find_erasure
    from store.erasing_tables import count_customer

    async def count(connection: Connection) -> dict[str, int] | None:
        customer = await find_customer(connection, external_id)
        if customer is not None:
            return await count_customer(connection, customer.id)
        if await find_erasure(connection, external_id) is None:
            raise unknown_customer(external_id)
        return None

    counts = asyncio.run(ask_database(count))
    if counts is not None:
        click.echo(f"{external_id}: {_tell_counts(counts)}", err=True)
        click.confirm("Erase all of it for good?", abort=True, err=True)


async def _erase(settings: Settings, external_id: str, reason: str, wait: bool, form: str) -> None:
    from cli.actor import system_actor
    from store.database import Database
    from store.erasing import request_erasure

    async with Database(settings.require_database_url(), connections=2) as database:
        async with database.transaction() as connection:
            now = await database.clock.read(connection)
            erasure = await request_erasure(connection, external_id, system_actor(), reason=reason, now=now)
        if form == "text":
            click.echo(DOING[erasure.state])
        if wait and erasure.state != "done":
            erasure = await _carry_out(settings, database, erasure, quiet=form == "json")
        _tell(erasure, form)


async def _carry_out(settings: Settings, database: Database, erasure: Erasure, *, quiet: bool) -> Erasure:
    """Take it to its end in this process; a worker may be at it, too."""
    from activities.steps import StepOpening
    from activities.versions import Versions
    from loops.erasing import AWAY, Erasing
    from schemas.catalogue import load_catalogue
    from worker import connect

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await connect(settings)
    except TimeoutError as error:
        raise UnavailableError(
            f"Temporal at {settings.temporal_address} can't be reached; the customer is fenced.",
            remedy="A worker carries the erasure on, or the same command again.",
        ) from error
    work = Erasing(StepOpening(database, load_catalogue(), Versions()), client)
    told = (erasure.state, None)
    while erasure.state != "done":
        try:
            erasure = await work.carry_on(erasure.id)
        except AWAY as error:
            raise UnavailableError(
                f"The erasure got to {erasure.state!r}: {type(error).__name__}.",
                remedy="A worker carries it on, or the same command again.",
            ) from error
        left = erasure.detail.get("left") or None
        if (erasure.state, left) != told and erasure.state != "done" and not quiet:
            click.echo(DOING[erasure.state] + (f" ({left} to go)" if left else ""))
        told = (erasure.state, left)
        if erasure.state != "done":
            await asyncio.sleep(POLL_SECONDS)
    return erasure


def _tell(erasure: Erasure, form: str) -> None:
    rows, executions = erasure.detail.get("rows", {}), int(erasure.detail.get("executions", 0))
    if form == "json":
        done = {"id": erasure.id, "state": erasure.state, "rows": rows, "executions": executions}
        click.echo(json.dumps(done))
    elif erasure.state == "done":
        click.echo(f"erased for good: {_tell_counts(rows)}; {executions} execution(s) in Temporal")
    else:
        click.echo(f"erasure {erasure.id}: a worker carries it on; `--wait` does it here")


def _tell_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "nothing is stored"


def _allow_again(external_id: str) -> None:
    from cli.actor import system_actor
    from store.database import LiveClock
    from store.erasing_tombstones import allow_again

    async def allow(connection: Connection) -> None:
        await allow_again(connection, external_id, system_actor(), await LiveClock().read(connection))

    asyncio.run(ask_database(allow))
    click.echo("New events make a new customer. Their addresses stay suppressed:")
    click.echo("  holdfast suppress --channel email --address … --lift --reason erased")


def _list(limit: int, form: str) -> None:
    from store.erasing import list_erasures
    from store.erasing_tombstones import tombstone

    found = asyncio.run(ask_database(lambda connection: list_erasures(connection, limit)))
    for one in found:
        if form == "json":
            click.echo(json.dumps(tombstone(one) | {"state": one.state}))
            continue
        again = f"  allowed again {one.allowed_again_at:%Y-%m-%d}" if one.allowed_again_at else ""
        click.echo(
            f"{one.requested_at:%Y-%m-%d %H:%M}  {one.state:<10} {one.external_id_hash[:12]}  "
            f"{one.requested_by}  {one.reason}{again}".rstrip()
        )
    if not found and form == "text":
        click.echo("nobody was erased", err=True)


def _import(path: Path) -> None:
    from loops.erasing import fence_returned
    from store.database import Database
    from store.erasing_tombstones import import_tombstones

    tombstones = [
        _read_tombstone(path, n, line) for n, line in enumerate(path.read_text().splitlines(), 1) if line
    ]

    async def take_over() -> tuple[int, int]:
        async with Database(Settings.read(os.environ).require_database_url(), connections=1) as database:
            async with database.transaction() as connection:
                now = await database.clock.read(connection)
                new = await import_tombstones(connection, tombstones)
            return new, await fence_returned(database, now, everything=True)

    new, returned = asyncio.run(take_over())
    click.echo(f"{new} of {len(tombstones)} erasure(s) were not known here")
    click.echo(f"{returned} erased customer(s) are in this database; a worker erases them again")


def _read_tombstone(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
        return {name: found[name] for name in ("id", "customer_id", "external_id_hash", "requested_by")} | {
            name: found[name] for name in ("requested_at", "finished_at", "allowed_again_at")
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}:{number}: this is no erasure ({type(error).__name__}).",
            remedy="The file is what `holdfast erase --list --format json` prints.",
        ) from error
