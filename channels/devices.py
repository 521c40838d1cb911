"""One notification to all of a customer's devices of a kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from channels.outcome import ChannelError, Device, FailureClass, Receipt, RecipientError

# Of several failures the one that says most about what may be done next.
_WEIGHT: tuple[FailureClass, ...] = ("unknown", "account", "transient", "content", "consent", "recipient")


async def send_to_all(devices: Sequence[Device], send_one: Callable[[Device], Awaitable[Receipt]]) -> Receipt:
    """Hand it to every device at once: the first one's receipt, with the tokens that are gone.

    One device that took it is enough: what failed at others isn't repeated, as the customer has got it. Raises the
    weightiest ChannelError where none took it.
    """
    results = await asyncio.gather(*(send_one(device) for device in devices), return_exceptions=True)
    gone = tuple(
        device.token
        for device, result in zip(devices, results, strict=True)
        if isinstance(result, RecipientError)
    )
    for result in results:
        if isinstance(result, Receipt):
            return Receipt(result.provider, result.provider_id, gone)
    errors = [result for result in results if isinstance(result, BaseException)]
    strange = [error for error in errors if not isinstance(error, ChannelError)]
    if strange:
        raise strange[0]
    failures = [error for error in errors if isinstance(error, ChannelError)]
    worst = min(failures, key=lambda error: _WEIGHT.index(error.klass))
    worst.gone = gone
    raise worst
