"""Waiting for a database only so long: cancelling a statement waits itself, for a server that may hang."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. Raises TimeoutError after so many seconds; it is cancelled then, and not waited for."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    task.add_done_callback(_forget)
    task.cancel()
    raise TimeoutError(f"not done within {seconds:g} s")


def _forget(task: asyncio.Future[Any]) -> None:
    # Whatever it ended with, nobody is there any more to hear of it.
    if not task.cancelled():
        task.exception()
