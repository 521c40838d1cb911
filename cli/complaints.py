"""`holdfast complaints`: how many recipients complained, and where that keeps messages back."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli.asking import ask_database
from cli.orders import who

if TYPE_CHECKING:
    from store.database import Connection


@click.command()
@click.option("--lift", "channel", metavar="CHANNEL", help="Let messages leave by this channel again.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(channel: str | None, form: str) -> None:
    """Complaints of the last 7 days by channel. Above 0.3 %, what isn't critical waits until somebody lifts that.

    Exits with 1 where there is nothing to lift.

    \b
    Examples:
      holdfast complaints
      holdfast complaints --lift email
    """
    if channel is not None:
        _lift(channel)
        return
    rows = asyncio.run(ask_database(_count))
    for row in rows:
        if form == "json":
            click.echo(json.dumps(row, default=lambda moment: moment.isoformat()))
        else:
            since = row["parked_since"]
            parked = f"  parked since {since:%Y-%m-%d %H:%M} UTC" if since else ""
            share = row["complaints"] / row["delivered"] if row["delivered"] else 0
            click.echo(
                f"{row['channel']:<10}{row['complaints']:>6} of {row['delivered']} ({share:.2%}){parked}"
            )
    if not rows and form == "text":
        click.echo("nobody complained", err=True)


async def _count(connection: Connection) -> list[dict[str, Any]]:
    from rules.complaints import WINDOW
    from store.addresses import ADDRESS_TRAITS
    from store.database import LiveClock
    from store.delivery_reports import count_complaints
    from store.standing_alerts import load_parked_channels

    now = await LiveClock().read(connection)
    parked = await load_parked_channels(connection)
    rows: list[dict[str, Any]] = []
    for channel in dict.fromkeys([*ADDRESS_TRAITS, *parked]):
        complaints, delivered = await count_complaints(connection, channel, now - WINDOW)
        since: datetime | None = parked.get(channel)
        if complaints or since:
            rows.append(
                {"channel": channel, "complaints": complaints, "delivered": delivered, "parked_since": since}
            )
    return rows


def _lift(channel: str) -> None:
    from cli.actor import system_actor
    from store.audit import record_change
    from store.database import LiveClock
    from store.standing_alerts import lift_parking

    async def lift_now(connection: Connection) -> bool:
        lifted = await lift_parking(connection, channel, who(), await LiveClock().read(connection))
        if lifted:
            await record_change(
                connection, system_actor(), "channel.unparked", object_kind="channel", object_id=channel
            )
        return lifted

    if not asyncio.run(ask_database(lift_now)):
        click.echo(f"nothing is parked by {channel}", err=True)
        raise SystemExit(1)
    click.echo(f"{who()} lets messages leave by {channel} again")
