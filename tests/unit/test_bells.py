"""Waiting for a bell: it rings, it doesn't, and who waits is told to end just as it rings."""

from __future__ import annotations

import asyncio

import pytest

from store.bells import until_rung


async def test_a_ring_is_told_from_the_end_of_the_time() -> None:
    bell = asyncio.Event()
    assert not await until_rung(bell, 0.01)
    asyncio.get_running_loop().call_soon(bell.set)
    assert await until_rung(bell, 60)


@pytest.mark.parametrize("turns", range(6))
async def test_a_loop_that_is_cancelled_as_the_bell_rings_ends(turns: int) -> None:
    """`turns`: how many turns of the event loop lie between the ring and the cancellation."""
    bell = asyncio.Event()

    async def loop() -> None:
        while True:
            bell.clear()
            await asyncio.sleep(0)
            await until_rung(bell, 60)

    looping = asyncio.create_task(loop())
    await asyncio.sleep(0.01)
    bell.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    looping.cancel()
    done, _ = await asyncio.wait([looping], timeout=30)
    assert done
    assert looping.cancelled()
