"""What `holdfast doctor` says of providers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from channels.registry import check_channels, list_providers
from channels.settings import ChannelSettings
from cli.findings import Finding
from cli.providers import describe_state
from schemas.settings import Settings
from store.database import DATABASE_AWAY, Database
from store.providers import load_providers


def examine_providers(settings: Settings) -> Iterator[Finding]:
    """What the settings make of providers, and what workers have found out of them."""
    chosen = ChannelSettings.from_environ(settings.environ)
    problems = check_channels(chosen)
    for problem in problems:
        yield Finding("providers", False, problem, "Set it in the environment of every process.")
    if not problems:
        found: dict[str, list[str]] = {}
        for channel, provider in list_providers(chosen):
            found.setdefault(channel, []).append(provider)
        told = "; ".join(f"{channel} by {', then '.join(names)}" for channel, names in found.items())
        yield Finding("providers", True, told)
    if settings.database_url:
        yield from asyncio.run(_examine_states(settings.database_url))


async def _examine_states(url: str) -> list[Finding]:
    """Those that can't be used now; nothing where the database says so itself that it can't be asked."""
    try:
        async with Database(url, connections=1) as database, database.transaction() as connection:
            states = await load_providers(connection)
    except DATABASE_AWAY:
        return []
    remedies = {
        "parked": "Correct its settings and start the workers anew, or its account and `holdfast providers unpark {}`.",
        "resting": "It is tried again by itself; `holdfast providers unpark {}` does so at once.",
    }
    return [
        Finding(
            "providers", False, f"{state.provider} ({state.channel}) {describe_state(state)}",
            remedies[state.state].format(state.provider),
        )
        for state in states
        if state.state != "ok"
    ]  # fmt: skip
