"""How the sinks behave: they take everything, until they are told to fail, delay, cut, double or swap messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeVar, get_args

from schemas.errors import InputError

SinkChannel = Literal["email", "sms", "whatsapp", "voice", "push"]
CHANNELS: tuple[SinkChannel, ...] = get_args(SinkChannel)

# Not taken: busy (asks to be left alone for a while), error (of the provider's own), refuse (this recipient), account
# (our credentials), cut_before (hangs up). Taken: cut_after (hangs up instead of answering), duplicate (twice, as
# carriers do), reorder (after the next one), delay (the answer comes late).
Fault = Literal[
    "ok", "busy", "error", "refuse", "account", "cut_before", "cut_after", "duplicate", "reorder", "delay"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
# How long a message that is to be swapped waits for the next one.
TURN_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 60.0

_Answer = TypeVar("_Answer")


class Cut(Exception):  # noqa: N818
    """Hang up without an answer."""


class ConductError(InputError):
    """The sinks can't behave as they are told to."""

    remedy = f"Faults are {', '.join(FAULTS)}."


@dataclass
class ChannelConduct:
    """One channel's behaviour: `next` meets the next messages in turn, afterwards `rates` (0 to 1) by chance."""

    next: deque[Fault] = field(default_factory=deque)
    rates: dict[Fault, float] = field(default_factory=dict)
    delay_seconds: float = 1.0
    retry_after_seconds: int = 2
    taken: int = 0

    def to_json(self) -> dict[str, Any]:
        """What the control API shows."""
        return {
            "next": list(self.next), "rates": dict(self.rates), "delay_seconds": self.delay_seconds,
            "retry_after_seconds": self.retry_after_seconds, "taken": self.taken,
        }  # fmt: skip


class Conduct:
    """The behaviour of all channels; chance is drawn from `seed`."""

    def __init__(self, seed: int = 0) -> None:
        self.channels: dict[SinkChannel, ChannelConduct] = {name: ChannelConduct() for name in CHANNELS}
        self._random = Random(seed)  # noqa: S311 - faults, no secrets
        self._news = asyncio.Condition()

    def tell(
        self,
        channel: str,
        *,
        next: Sequence[str] = (),  # noqa: A002 - the API's word
        rates: Mapping[str, float] | None = None,
        delay_seconds: float | None = None,
        retry_after_seconds: int | None = None,
        seed: int | None = None,
    ) -> None:
        """Have a channel behave so from now on; what is left out stays. Raises ConductError."""
        told = self._find(channel)
        shares = (
            told.rates if rates is None else {_fault(name): float(share) for name, share in rates.items()}
        )
        if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1.000001:
            raise ConductError("Rates lie between 0 and 1, and so does their sum.")
        if delay_seconds is not None and not 0 <= delay_seconds <= LONGEST_DELAY_SECONDS:
            raise ConductError(f"A delay lasts from 0 to {LONGEST_DELAY_SECONDS:.0f} seconds.")
        coming = [_fault(name) for name in next]
        told.next.extend(coming)
        told.rates = dict(shares)
        told.delay_seconds = told.delay_seconds if delay_seconds is None else delay_seconds
        if retry_after_seconds is not None:
            told.retry_after_seconds = max(0, retry_after_seconds)
        if seed is not None:
            self._random.seed(seed)

    def reset(self, channel: str | None = None) -> None:
        """Take everything again."""
        wanted = list(self.channels.values()) if channel is None else [self._find(channel)]
        usual = ChannelConduct()
        for told in wanted:
            told.next.clear()
            told.rates = {}
            told.delay_seconds, told.retry_after_seconds = usual.delay_seconds, usual.retry_after_seconds

    def draw(self, channel: SinkChannel) -> Fault:
        """What the next message of this channel meets."""
        told = self.channels[channel]
        if told.next:
            return told.next.popleft()
        drawn = self._random.random()
        for fault, share in told.rates.items():
            drawn -= share
            if drawn < 0:
                return fault
        return "ok"

    async def take(
        self, channel: SinkChannel, fault: Fault, keep: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """Keep a message that isn't refused, as `fault` says; raises Cut where nothing is to be answered."""
        if fault == "cut_before":
            raise Cut
        if fault == "delay":
            await asyncio.sleep(self.channels[channel].delay_seconds)
        if fault == "reorder":
            await self._wait_for_another(channel)
        answer = await keep()
        if fault == "duplicate":
            answer = await keep()
        async with self._news:
            self.channels[channel].taken += 1
            self._news.notify_all()
        if fault == "cut_after":
            raise Cut
        return answer

    async def _wait_for_another(self, channel: SinkChannel) -> None:
        told = self.channels[channel]
        before = told.taken
        async with self._news:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await self._news.wait_for(lambda: told.taken > before)
            except TimeoutError:
                return

    def _find(self, channel: str) -> ChannelConduct:
        for name, told in self.channels.items():
            if name == channel:
                return told
        raise ConductError(
            f"There is no channel {channel[:40]!r}.", remedy=f"Channels are {', '.join(CHANNELS)}."
        )


def _fault(name: str) -> Fault:
    for fault in FAULTS:
        if fault == name:
            return fault
    raise ConductError(f"There is no fault {name[:40]!r}.")
