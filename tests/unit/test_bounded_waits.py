"""Waiting for a database only so long, also where cancelling takes its time."""

from __future__ import annotations

import asyncio

import pytest

from store.patience import within


async def test_what_is_done_in_time_is_answered_and_its_error_told() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("no")

    assert await within(60, answer()) == 7
    with pytest.raises(ValueError, match="no"):
        await within(60, fail())


async def test_whoever_is_cancelled_slowly_is_not_waited_for() -> None:
    begun, told, let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
            await let_go.wait()
            raise OSError("the connection is broken") from None

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    await told.wait()
    # It ends some time later, with an error that nobody misses.
    let_go.set()
    await asyncio.sleep(0)


async def test_whoever_gives_up_waiting_cancels_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(within(60, hang()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
