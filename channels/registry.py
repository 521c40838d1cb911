"""The channels that this installation can send on, each over one provider or several in order."""

from __future__ import annotations

from collections.abc import Mapping

from channels.outcome import Channel
from channels.pool import Provider, ProviderPool
from channels.providers import EMAIL, EXPECTED, PROVIDERS, ProviderKind
from channels.settings import ChannelSettings

ORDER = "HOLDFAST_EMAIL_PROVIDERS"


def make_channels(settings: ChannelSettings) -> dict[str, Channel]:
    """A channel for each that has a provider whose settings are complete and right, by the channel's name.

    Each keeps its own connections: make them once per process, and close them with `close_channels`.
    `check_channels` says why one isn't there.
    """
    pools: dict[str, list[Provider]] = {}
    for kind in _usable(settings):
        provider = Provider(kind.make(settings), kind.fingerprint(settings))
        pools.setdefault(kind.channel, []).append(provider)
    return {name: ProviderPool(name, providers) for name, providers in pools.items()}


async def close_channels(channels: Mapping[str, Channel]) -> None:
    """Give back all connections."""
    for channel in channels.values():
        await channel.close()


def list_providers(settings: ChannelSettings) -> list[tuple[str, str]]:
    """(channel, provider) of all that can be used, each channel's in the order in which they are asked."""
    return [(kind.channel, kind.name) for kind in _usable(settings)]


def check_channels(settings: ChannelSettings) -> list[str]:
    """What keeps each channel, or a provider of it that was begun, from being there, and what to do.

    E-mail and SMS are expected; of the others only what was begun is looked at.
    """
    unknown = [name for name in settings.email_providers if name not in EMAIL]
    problems = [f"email: {ORDER} names {name!r}; there are {', '.join(EMAIL)}." for name in unknown]
    there = {kind.channel for kind in _usable(settings)}
    wanted = list(_wanted(settings))
    for kind in PROVIDERS:
        missed = kind.channel in EXPECTED and kind.channel not in there and not _begun(kind.channel, settings)
        if kind in wanted or (missed and kind is _first(kind.channel)):
            told = f"{kind.channel}: " if _first(kind.channel) is kind else f"{kind.channel} by {kind.name}: "
            problems += [told + problem for problem in kind.check(settings)]
    return problems


def _first(channel: str) -> ProviderKind:
    return next(kind for kind in PROVIDERS if kind.channel == channel)


def _begun(channel: str, settings: ChannelSettings) -> bool:
    return any(kind.channel == channel for kind in _wanted(settings))


def _wanted(settings: ChannelSettings) -> list[ProviderKind]:
    """What is meant to be used: what was named, or begun."""
    named = [EMAIL[name] for name in dict.fromkeys(settings.email_providers) if name in EMAIL]
    return [
        *(named or [kind for kind in EMAIL.values() if kind.begun(settings)]),
        *(kind for kind in PROVIDERS if kind.channel != "email" and kind.begun(settings)),
    ]


def _usable(settings: ChannelSettings) -> list[ProviderKind]:
    """What can be used, each channel's in order."""
    if settings.email_providers:
        email = [kind for kind in _wanted(settings) if kind.channel == "email"]
    else:
        email = list(EMAIL.values())
    others = [kind for kind in PROVIDERS if kind.channel != "email"]
    return [kind for kind in (*email, *others) if not kind.check(settings)]
