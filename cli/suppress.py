"""`holdfast suppress`: addresses that nothing is sent to, by reason; taking one back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.asking import ask_database
from cli.orders import who

if TYPE_CHECKING:
    from store.database import Connection
    from store.suppressions import Lift, Suppression

CHANNELS = ("email", "sms", "whatsapp", "push", "voice")
# The engine's own reasons, and those that people give.
REASONS = (
    "manual", "complaint", "erased", "hard_bounce", "invalid_address", "opted_out", "soft_bounces", "stop",
    "unsubscribe",
)  # fmt: skip


@click.command()
@click.option(
    "--channel", type=click.Choice(CHANNELS), help="Which channel; all of them for --list where left out."
)
@click.option(
    "--address", metavar="A", help="A mail address, a number such as +15005550009, or a push token."
)
@click.option(
    "--reason", type=click.Choice(REASONS), help="Why; manual where left out. With --lift: only this reason."
)
@click.option(
    "--lift", "lifting", is_flag=True, help="Take it back, whatever the reason unless --reason says."
)
@click.option("--list", "listing", is_flag=True, help="What is suppressed, the latest first.")
@click.option("--lifted", is_flag=True, help="With --list: what was taken back, when and by whom.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="With --list.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    channel: str | None,
    address: str | None,
    reason: str | None,
    lifting: bool,
    listing: bool,
    lifted: bool,
    limit: int,
    form: str,
) -> None:
    """Never write to an address again. It is kept as a hash and outlives its customer.

    Each reason stands for itself: START lifts what STOP did and leaves a complaint; so does --lift with --reason.
    Consent, which is the customer's own word, isn't touched by any of it.

    Exits with 1 where there is nothing to lift.

    \b
    Examples:
      holdfast suppress --channel email --address ada@example.com --reason manual
      holdfast suppress --channel sms --address "+1 500 555 0009" --lift --reason hard_bounce
      holdfast suppress --list --channel email
      holdfast suppress --list --lifted
    """
    if listing and lifted:
        _list_lifts(channel, address, limit, form)
        return
    if listing:
        _list(channel, address, reason, limit, form)
        return
    if channel is None or address is None or not address.strip():
        raise click.UsageError("Give --channel and --address, or --list.")
    if lifting:
        _lift(channel, address, reason)
    else:
        _suppress(channel, address, reason or "manual")


def _suppress(channel: str, address: str, reason: str) -> None:
    from cli.actor import system_actor
    from store.addresses import find_by_address, hash_address
    from store.audit import record_change
    from store.database import LiveClock
    from store.suppressions import suppress

    async def suppress_now(connection: Connection) -> tuple[bool, int]:
        having = await find_by_address(connection, channel, address)
        now = await LiveClock().read(connection)
        hashed = hash_address(channel, address)
        new = await suppress(
            connection, channel, hashed, reason, now, source=f"cli, {who()}", customers=having
        )
        after = {"channel": channel, "reason": reason, "customers": len(having)}
        await record_change(
            connection,
            system_actor(),
            "address.suppressed",
            object_kind="address",
            object_id=hashed,
            after=after,
        )
        return new, len(having)

    new, having = asyncio.run(ask_database(suppress_now))
    state = "is suppressed now" if new else "was suppressed before"
    click.echo(f"{channel}, {reason}: {state}; {having} customer(s) have this address")


def _lift(channel: str, address: str, reason: str | None) -> None:
    from cli.actor import system_actor
    from store.addresses import hashes_of
    from store.audit import record_change
    from store.database import LiveClock
    from store.suppressions import lift, list_suppressions

    async def lift_now(connection: Connection) -> tuple[list[str], list[Suppression]]:
        hashes = hashes_of(channel, address)
        now = await LiveClock().read(connection)
        lifted = await lift(connection, channel, hashes, reason, by=f"cli, {who()}", at=now)
        if lifted:
            await record_change(
                connection, system_actor(), "address.suppression_lifted", object_kind="address", object_id=hashes[0],
                before={"channel": channel, "reasons": lifted},
            )  # fmt: skip
        return lifted, await list_suppressions(connection, channel=channel, address_hashes=hashes)

    lifted, left = asyncio.run(ask_database(lift_now))
    if not lifted:
        click.echo(f"{channel}: nothing to lift", err=True)
    else:
        click.echo(f"{channel}: {', '.join(lifted)} lifted by {who()}")
    if left:
        click.echo(f"still suppressed: {', '.join(one.reason for one in left)}", err=True)
    if not lifted:
        raise SystemExit(1)


def _list(channel: str | None, address: str | None, reason: str | None, limit: int, form: str) -> None:
    from store.suppressions import list_suppressions

    async def list_now(connection: Connection) -> list[Suppression]:
        hashes = _hashes(channel, address)
        return await list_suppressions(
            connection, channel=channel, reason=reason, address_hashes=hashes, limit=limit
        )

    found = asyncio.run(ask_database(list_now))
    for one in found:
        if form == "json":
            click.echo(json.dumps(asdict(one), default=lambda moment: moment.isoformat()))
        else:
            source = f"  {one.source}" if one.source else ""
            click.echo(
                f"{one.at:%Y-%m-%d %H:%M}  {one.channel:<9} {one.reason:<16} {one.address_hash[:12]}{source}"
            )
    if not found and form == "text":
        click.echo("nothing is suppressed", err=True)


def _list_lifts(channel: str | None, address: str | None, limit: int, form: str) -> None:
    from store.suppressions import list_lifts

    async def list_now(connection: Connection) -> list[Lift]:
        hashes = _hashes(channel, address)
        return await list_lifts(connection, channel=channel, address_hashes=hashes, limit=limit)

    found = asyncio.run(ask_database(list_now))
    for one in found:
        if form == "json":
            click.echo(json.dumps(asdict(one), default=lambda moment: moment.isoformat()))
        else:
            click.echo(
                f"{one.lifted_at:%Y-%m-%d %H:%M}  {one.channel:<9} {one.reason:<16} {one.address_hash[:12]}  "
                f"of {one.at:%Y-%m-%d %H:%M}, lifted by {one.lifted_by}"
            )
    if not found and form == "text":
        click.echo("nothing was lifted", err=True)


def _hashes(channel: str | None, address: str | None) -> list[str] | None:
    """What an address may be kept under; None for all."""
    from store.addresses import hashes_of

    if address is None:
        return None
    return [one for name in ((channel,) if channel else CHANNELS) for one in hashes_of(name, address)]
