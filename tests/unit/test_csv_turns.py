"""Exports take turns: whoever saves one slowly keeps no more connections from the others than a few."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from web.csv_export import in_turn


async def lines(open_now: set[str], name: str) -> AsyncIterator[bytes]:
    open_now.add(name)
    try:
        yield name.encode()
        yield b"end"
    finally:
        open_now.discard(name)


async def test_what_has_no_turn_waits_until_one_is_given_back() -> None:
    turns, open_now = asyncio.Semaphore(1), set[str]()
    first, second = (in_turn(turns, lines(open_now, name)) for name in ("first", "second"))
    assert await anext(first) == b"first"
    waiting = asyncio.ensure_future(anext(second))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.05)
    assert open_now == {"first"}
    assert [line async for line in first] == [b"end"]
    assert await waiting == b"second"
    # Nobody wants the rest.
    await second.aclose()  # type: ignore[attr-defined]
    assert not turns.locked()
