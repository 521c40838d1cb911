"""Waiting for a bell that a notification rings."""

from __future__ import annotations

import asyncio


async def until_rung(bell: asyncio.Event, at_most_seconds: float) -> bool:
    """Wait until `bell` is set, at most so long; whether it is.

    `asyncio.wait_for` of Python 3.11 isn't used: where a cancellation and the ring come together it returns, the
    cancellation is forgotten, and a loop that was to end goes on for ever.
    """
    try:
        async with asyncio.timeout(at_most_seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True
