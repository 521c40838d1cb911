"""The providers of one channel, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from channels.outcome import (
    UNANSWERABLE,
    AccountError,
    Channel,
    ChannelError,
    OutgoingMessage,
    Receipt,
    RecipientError,
    Selective,
    TransientError,
    Unanswerable,
)


@dataclass(frozen=True)
class Provider:
    """One provider of a channel; `fingerprint` is another one when its settings are others."""

    channel: Channel
    fingerprint: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return self.channel.provider

    def reaches(self, message: OutgoingMessage) -> bool:
        """Whether the message has somewhere to go here."""
        return not isinstance(self.channel, Selective) or self.channel.reaches(message)


def moves_on(error: ChannelError) -> bool:
    """Whether the next provider may be given the same message: this one surely hasn't got it.

    An address is as bad at the next one; a device that is gone isn't, as the next one reaches others.
    """
    return isinstance(error, TransientError | AccountError) or (
        isinstance(error, RecipientError) and bool(error.gone)
    )


class ProviderPool:
    """A channel over several providers: the next one is asked where one surely hasn't taken the message.

    It keeps no books on who failed before; activities do, and hand messages to `providers` themselves.
    """

    def __init__(self, name: str, providers: Sequence[Provider]) -> None:
        self.name = name
        self.providers = tuple(providers)
        self.provider = self.providers[0].name

    async def send(self, message: OutgoingMessage) -> Receipt:
        """Hand it to the first provider that takes it; raises the last one's ChannelError."""
        reaching = [one for one in self.providers if one.reaches(message)] or list(self.providers)
        for provider in reaching[:-1]:
            try:
                return await provider.channel.send(message)
            except ChannelError as error:
                if not moves_on(error):
                    raise
        return await reaching[-1].channel.send(message)

    async def look_up(self, message: OutgoingMessage, since: datetime) -> Receipt | Unanswerable | None:
        """Ask them all: the receipt of whoever has it; None only when each of them surely hasn't."""
        answers = []
        for provider in self.providers:
            answer = await provider.channel.look_up(message, since)
            if isinstance(answer, Receipt):
                return answer
            answers.append(answer)
        return UNANSWERABLE if UNANSWERABLE in answers else None

    async def close(self) -> None:
        """Give back the connections of all."""
        for provider in self.providers:
            await provider.channel.close()


def providers_of(channel: Channel) -> tuple[Provider, ...]:
    """A channel's providers in order; a channel that isn't a pool is its only one."""
    return channel.providers if isinstance(channel, ProviderPool) else (Provider(channel),)
