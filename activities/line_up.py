"""Who is asked to take a message: the providers of its channel in order, without those that can't be used just now."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from channels.outcome import (
    AccountError,
    Channel,
    ChannelError,
    Device,
    KnowsRepetition,
    OutgoingMessage,
    TransientError,
    UnknownOutcomeError,
)
from channels.pool import Provider, providers_of
from store import providers as states
from store.database import Connection
from store.deliveries import Delivery
from store.providers import ProviderState
from store.push_tokens import find_devices

# Other processes learn of what one found out after at most so long.
CACHE_SECONDS = 2.0
# How long a message waits for a provider before it asks again.
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=60)
PARKED_WAIT = timedelta(seconds=30)


@dataclass(frozen=True)
class LineUp:
    """Who may be asked, first one first. Where nobody is left, `waiting` says why, and `wait` when to ask again."""

    providers: tuple[Provider, ...]
    devices: tuple[Device, ...] = ()
    # This provider may have the message already, and knows a repetition.
    repeated: bool = False
    waiting: str = ""
    wait: timedelta = PARKED_WAIT


class ProviderBook:
    """What this process knows of its providers, read from the table that all processes share."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._pools = {name: providers_of(channel) for name, channel in channels.items()}
        self._states: Mapping[tuple[str, str], ProviderState] = {}
        self._read_at = float("-inf")
        self._adopted = False

    def find(self, channel: str, provider: str | None) -> Provider | None:
        """The provider that the ledger calls so, if this process has it; the only one where the ledger says nothing."""
        pool = self._pools.get(channel, ())
        if provider is None:
            return pool[0] if len(pool) == 1 else None
        return next((one for one in pool if one.name == provider), None)

    def repeats(self, row: Delivery, now: datetime) -> bool:
        """Whether what may have been sent can simply be sent again: its provider makes one message of both."""
        found = self.find(row.channel, row.provider)
        if found is None or not isinstance(found.channel, KnowsRepetition) or row.claimed_at is None:
            return False
        return now < row.claimed_at + timedelta(seconds=found.channel.repeatable_seconds)

    async def line_up(
        self,
        connection: Connection,
        channel: str,
        customer_id: str,
        address: str,
        row: Delivery | None,
        now: datetime,
    ) -> LineUp:
        """Whom to ask; under the customer's lock, in the transaction that claims."""
        devices: tuple[Device, ...] = ()
        if channel == "push":
            found = await find_devices(connection, customer_id, address, now)
            devices = tuple(_device(token.kind, token.token, token.keys) for token in found)
        asked = OutgoingMessage("", address, "", devices=devices)
        pool = [one for one in self._pools.get(channel, ()) if one.reaches(asked)]
        if not pool:
            # An address that nobody can do anything with: the first one says what is wrong with it.
            pool = list(self._pools.get(channel, ())[:1])
        repeated = row is not None and row.state == "unknown"
        if repeated and row is not None:
            pool = [one for one in pool if one.name == (row.provider or one.name)]
        known = await self._load(connection, now)
        usable = [
            one
            for one in pool
            if await self._is_usable(connection, channel, one, known.get((channel, one.name)), now)
        ]
        if usable:
            return LineUp(tuple(usable), devices, repeated)
        return replace(_explain(channel, pool, known, now), devices=devices, repeated=repeated)

    def forget(self) -> None:
        """What was read may be wrong now."""
        self._read_at = float("-inf")

    def is_clean(self, channel: str, provider: Provider) -> bool:
        """Whether nothing is held against it, as far as this process knows."""
        state = self._states.get((channel, provider.name))
        return state is not None and state.state == "ok" and state.failures == 0

    async def note_failure(
        self, connection: Connection, channel: str, provider: Provider, error: ChannelError, now: datetime
    ) -> None:
        """Remember what a failure says of the provider; of one message's own trouble it says nothing."""
        if error.of_message or not isinstance(error, TransientError | UnknownOutcomeError | AccountError):
            return
        self.forget()
        code = error.provider_code or error.code
        if isinstance(error, AccountError):
            await states.park_provider(
                connection, channel, provider.name, code=code, reason=hide_people(error.message),
                settings=provider.fingerprint, now=now,
            )  # fmt: skip
            return
        asked = error.retry_after_seconds if isinstance(error, TransientError) else None
        await states.count_failure(
            connection, channel, provider.name, code=code, reason=hide_people(error.message), now=now,
            leave_for_seconds=asked,
        )  # fmt: skip

    async def note_success(
        self, connection: Connection, channel: str, provider: Provider, now: datetime
    ) -> None:
        """It took a message: nothing is held against it any more."""
        if not self.is_clean(channel, provider):
            self.forget()
            await states.clear_provider(connection, channel, provider.name, now)

    async def _load(self, connection: Connection, now: datetime) -> Mapping[tuple[str, str], ProviderState]:
        if time.monotonic() - self._read_at < CACHE_SECONDS:
            return self._states
        used = [(channel, one.name, one.fingerprint) for channel, pool in self._pools.items() for one in pool]
        found = await states.load_providers(connection)
        missing = {one[:2] for one in used} - {(state.channel, state.provider) for state in found}
        # The transaction in which they were adopted first may have come to nothing.
        if missing or not self._adopted:
            await states.adopt_providers(connection, used, now)
            self._adopted = True
            found = await states.load_providers(connection)
        self._states = {(state.channel, state.provider): state for state in found}
        self._read_at = time.monotonic()
        return self._states

    async def _is_usable(
        self,
        connection: Connection,
        channel: str,
        provider: Provider,
        state: ProviderState | None,
        now: datetime,
    ) -> bool:
        if state is None or state.state == "ok":
            return True
        over = state.until is None or state.until <= now
        if state.state == "resting":
            return over
        if state.settings is not None and state.settings != provider.fingerprint:
            return True  # another process was refused, with other settings
        if not over or not await states.take_trial(connection, channel, provider.name, now):
            return False
        self.forget()
        return True


def hide_people(words: str) -> str:
    """What a provider said, without the addresses and numbers that it may have repeated."""
    return re.sub(r"(?<!\S)\S+@\S+|\+?\d[\d ()-]{6,}\d", "…", words)[:500]


def _device(kind: str, token: str, keys: Mapping[str, str]) -> Device:
    return Device("web" if kind == "web" else "fcm", token, keys)


def _explain(
    channel: str, pool: list[Provider], known: Mapping[tuple[str, str], ProviderState], now: datetime
) -> LineUp:
    told, waits = [], []
    for provider in pool:
        state = known.get((channel, provider.name))
        if state is None:
            continue
        if state.state == "parked":
            told.append(f"{provider.name} refuses us ({state.code})")
            waits.append(PARKED_WAIT)
        else:
            told.append(f"{provider.name} rests ({state.code})")
            waits.append((state.until or now) - now)
    wait = min(max(min(waits, default=PARKED_WAIT), SHORTEST_WAIT), LONGEST_WAIT)
    return LineUp((), waiting=f"no provider of {channel} can be used now: {'; '.join(told)}", wait=wait)
