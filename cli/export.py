"""`holdfast export`: everything known of one customer, as one JSON document."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import click

from schemas.errors import InputError
from schemas.settings import Settings


@click.command()
@click.option(
    "--customer", "external_id", required=True, metavar="ID", help="The customer's id, as in events."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="F",
    help="Where to write it; else printed.",
)
def command(external_id: str, out: Path | None) -> None:
    """Write down everything known of one customer: profile, consents, events, health, predictions, runs, messages.

    The document has a section for each kind of record, and says in `about` what each of them is. It holds personal
    data: a file is made readable for you alone. That it was made stands in the audit log.

    \b
    Example:
      holdfast export --customer supplier-17 --out supplier-17.json
    """
    document = asyncio.run(_export(Settings.read(os.environ).require_database_url(), external_id))
    written = json.dumps(document, indent=2, ensure_ascii=False)
    if out is None:
        click.echo(written)
        return
    try:
        out.touch(mode=0o600)
        out.chmod(0o600)
        out.write_text(f"{written}\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}.", remedy="Check the path.") from error
    filled = {name: len(rows) for name, rows in document.items() if isinstance(rows, list) and rows}
    told = ", ".join(f"{count} {name}" for name, count in filled.items())
    click.echo(f"{out}: {told or 'a profile, and nothing else'}")


async def _export(url: str, external_id: str) -> dict[str, Any]:
    from cli.actor import system_actor
    from store.database import Database
    from store.exporting import export_and_record

    async with Database(url, connections=1) as database:
        return await export_and_record(database, external_id, system_actor())
