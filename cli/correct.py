"""`holdfast correct`: says what an event was really like, or that it never happened."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli.orders import who
from schemas.errors import SettingError
from schemas.settings import Settings

if TYPE_CHECKING:
    from schemas.correction import Correction
    from store.corrections import Corrected


@click.command()
@click.option("--source", required=True, metavar="S", help="Who sent the event: the name of its API key.")
@click.option("--message-id", required=True, metavar="M", help="The event's messageId.")
@click.option("--properties", metavar="JSON", help="All its properties (of an identify call, its traits).")
@click.option("--at", metavar="T", help="When it really happened, such as 2026-03-01T09:00:00Z.")
@click.option("--retract", is_flag=True, help="It never happened.")
@click.option("--reason", required=True, metavar="R", help="Why; kept with the correction.")
def command(
    source: str, message_id: str, properties: str | None, at: str | None, retract: bool, reason: str
) -> None:
    """Correct one stored event. It stays as it was sent; the correction stands beside it, with you as its author.

    The customer's signals and tallies are made right, and so is their history from that day on; what was known before
    stays on record, so that a backtest still sees the past as it was known then.

    \b
    Examples:
      holdfast correct --source app --message-id 81f3 --properties '{"count": 5}' --reason "counted twice"
      holdfast correct --source app --message-id 81f3 --retract --reason "a test on the live system"
    """
    from schemas.correction import Correction

    url = Settings.read(os.environ).require_database_url()
    correction = Correction(source, message_id, reason, _read_object(properties), _read_time(at), retract)
    done = asyncio.run(_record(url, correction))
    what = "never happened" if retract else "is corrected"
    click.echo(f"{done.name} of {done.user_id}, sent as of {done.sent_at:%Y-%m-%d %H:%M}Z: {what}")


def _read_object(properties: str | None) -> dict[str, Any] | None:
    if properties is None:
        return None
    remedy = """Write them as '{"count": 5}'."""
    try:
        found = json.loads(properties)
    except ValueError as error:
        raise SettingError(f"--properties is no JSON: {error}.", remedy=remedy) from None
    if not isinstance(found, dict):
        raise SettingError("--properties is no JSON object.", remedy=remedy)
    return found


def _read_time(at: str | None) -> datetime | None:
    if at is None:
        return None
    try:
        return datetime.fromisoformat(at)
    except ValueError:
        raise SettingError(f"--at {at!r} is no time.", remedy="Write it as 2026-03-01T09:00:00Z.") from None


async def _record(url: str, correction: Correction) -> Corrected:
    from store.corrections import record_correction
    from store.database import Database

    async with Database(url, connections=1) as database:
        return await record_correction(database, correction, who())
