"""Many requests, one transaction: what arrives while a commit is under way shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from schemas.errors import UnavailableError
from schemas.incoming import DeadLetter, IncomingEvent, TakenIn
from store.faults import explain_refusal, is_away

logger = logging.getLogger("holdfast.web")

# (events, dead letters) -> committed. What `store.intake.take_in` is, once it has its database and its mover.
TakeIn = Callable[[Sequence[IncomingEvent], Sequence[DeadLetter]], Awaitable[TakenIn]]


@dataclass(slots=True)
class _Job:
    events: Sequence[IncomingEvent]
    dead: Sequence[DeadLetter]
    refused: int = 0
    done: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Gatherer:
    """Takes in what concurrent requests bring, up to `LARGEST` events in one transaction.

    Each request is answered after the commit that holds its events. When a joint transaction is refused, its
    requests are taken in one by one, and what is refused then, event by event: the one that can't be stored
    becomes a dead letter.
    """

    LARGEST = 500
    # When one transaction held what several callers brought, the next begins no sooner than this after it began: each
    # transaction costs as much as ten events. A caller who is alone never waits for others.
    PACE_SECONDS = 0.02
    # More than this waiting means that commits don't keep up: callers are asked to come back.
    MOST_WAITING = 20_000

    def __init__(self, take_in: TakeIn, *, committed: Callable[[], None] = lambda: None) -> None:
        self._take_in = take_in
        self._committed = committed
        self._waiting: deque[_Job] = deque()
        self._count = 0
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def take(self, events: Sequence[IncomingEvent], dead: Sequence[DeadLetter]) -> int:
        """Store these; returns, after the commit, how many events the database itself refused.

        Raises UnavailableError (nothing of it is stored) when the database is away, too slow, or this is
        closing.
        """
        if not events and not dead:
            return 0
        if self._closed or self._count > self.MOST_WAITING:
            raise UnavailableError("Too much is waiting to be stored.", remedy="Send it again in a moment.")
        job = _Job(events, dead)
        self._waiting.append(job)
        self._count += len(events) + len(dead)
        self._arrived.set()
        if self._worker is None:
            # It works for all requests: what is told of the first one isn't told of the others.
            self._worker = asyncio.create_task(self._work(), context=Context())
        return await job.done

    async def close(self) -> None:
        """Store what waits, then stop."""
        self._closed = True
        self._arrived.set()
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                jobs, begun = self._next(), time.monotonic()
                await self._store(jobs)
                if len(jobs) > 1 and not self._closed:
                    await asyncio.sleep(max(0.0, begun + self.PACE_SECONDS - time.monotonic()))
            if self._closed:
                return

    def _next(self) -> list[_Job]:
        jobs: list[_Job] = []
        room = self.LARGEST
        while self._waiting:
            size = len(self._waiting[0].events) + len(self._waiting[0].dead)
            if jobs and size > room:
                break
            room -= size
            self._count -= size
            jobs.append(self._waiting.popleft())
        return jobs

    async def _store(self, jobs: Sequence[_Job]) -> None:
        try:
            await self._take_in(
                [event for job in jobs for event in job.events],
                [letter for job in jobs for letter in job.dead],
            )
        except Exception as error:  # noqa: BLE001 - every request has to hear what became of it
            if len(jobs) > 1 and not is_away(error):
                for job in jobs:
                    await self._store([job])
                return
            await self._store_alone(jobs, error)
            return
        self._tell(jobs)

    async def _store_alone(self, jobs: Sequence[_Job], error: Exception) -> None:
        """After the failure of a single request, or of all because the database is away."""
        if is_away(error):
            logger.warning("events could not be stored, the database is away: %s", type(error).__name__)
            self._fail(jobs, UnavailableError("The database can't be reached; nothing was stored."))
            return
        (job,) = jobs
        if explain_refusal(error) is None:
            self._fail(jobs, error)
            return
        try:
            if job.dead:
                await self._take_in([], job.dead)
            for event in job.events:
                try:
                    await self._take_in([event], [])
                except Exception as refusal:
                    reason = explain_refusal(refusal)
                    if reason is None:
                        raise
                    job.refused += 1
                    await self._take_in([], [_bury(event, reason)])
        except Exception as later:  # noqa: BLE001 - told to the caller, who repeats it; what is stored stays stored
            self._fail(jobs, UnavailableError("The database can't be reached.") if is_away(later) else later)
            return
        self._tell(jobs)

    def _tell(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            if not job.done.done():
                job.done.set_result(job.refused)
        with contextlib.suppress(Exception):
            self._committed()

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> None:
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error)


def _bury(event: IncomingEvent, reason: str) -> DeadLetter:
    body = {
        "userId": event.external_id,
        "messageId": event.message_id,
        "event": event.name,
        "timestamp": event.at,
        "properties": event.properties,
        "traits": event.traits,
    }
    received: datetime = event.received_at
    text = msgspec.json.encode(body).decode()
    return DeadLetter(event.source, "HF119", f"the database refuses it: {reason}", text, received)
