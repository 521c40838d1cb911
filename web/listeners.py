"""Who listens to changes, and what each is told: a queue apiece, so that nobody waits for the slowest."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from store.page_marks import Watched
from store.reading_changes import ChangeRow

# What a listener hears; None is the end.
Heard = asyncio.Queue[ChangeRow | None]


@dataclass(frozen=True)
class About:
    """Whom or what a listener wants to hear of: one customer (by the caller's id), one run, one playbook; else all.

    `page`: of the customer or the run everything that a page shows, not only what is told to everybody.
    """

    customer: str | None = None
    run: str | None = None
    playbook: str | None = None
    page: bool = False

    @property
    def watched(self) -> Watched | None:
        """Whose page it is."""
        if self.page and self.run is not None:
            return Watched("run", self.run)
        return Watched("customer", self.customer) if self.page and self.customer is not None else None

    def concerns(self, change: ChangeRow) -> bool:
        """Whether this change is to be heard."""
        return (
            self.customer in (None, change.user_id)
            and self.run in (None, change.run_id)
            and self.playbook in (None, change.playbook)
        )


ALL = About()


class Listeners:
    """The queues of those who listen; whoever falls too far behind is let go."""

    MOST_BEHIND = 1000
    # After so many, those who listen are let go on.
    TOLD_TOGETHER = 100
    PATIENCE_SECONDS = 0.2

    def __init__(self) -> None:
        self._all: dict[Heard, About] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, queue: Heard) -> bool:
        return queue in self._all

    @contextlib.contextmanager
    def join(self, about: About) -> Iterator[Heard]:
        """The queue of one more, until the block ends."""
        queue: Heard = asyncio.Queue(self.MOST_BEHIND)
        self._all[queue] = about
        try:
            yield queue
        finally:
            self._all.pop(queue, None)

    @property
    def watched(self) -> set[Watched]:
        """Whose pages somebody has open."""
        return {about.watched for about in self._all.values() if about.watched is not None}

    def tell(self, row: ChangeRow) -> None:
        """Tell whom it concerns."""
        for queue, about in list(self._all.items()):
            if about.concerns(row):
                self._put(queue, row)

    def tell_watchers(self, watched: Watched, row: ChangeRow) -> None:
        """Tell those who have this page open."""
        for queue, about in list(self._all.items()):
            if about.watched == watched:
                self._put(queue, row)

    def tell_all(self, row: ChangeRow) -> None:
        """Tell everybody, whatever it is about."""
        for queue in list(self._all):
            self._put(queue, row)

    async def tell_in_order(self, rows: Sequence[ChangeRow]) -> None:
        """Tell so many one by one, at the pace of those who keep up."""
        for place, row in enumerate(rows, 1):
            self.tell(row)
            if place % self.TOLD_TOGETHER == 0:
                await self._let_hear()

    def end(self) -> None:
        """Tell everybody that this is the end."""
        for queue in list(self._all):
            self._drop(queue)

    async def _let_hear(self) -> None:
        """Let those who listen catch up, as long as they do; whoever takes too long over it falls behind."""
        await asyncio.sleep(0)
        behind, give_up_at = self._furthest_behind(), time.monotonic() + self.PATIENCE_SECONDS
        while behind > self.MOST_BEHIND // 2 and time.monotonic() < give_up_at:
            await asyncio.sleep(0.001)
            if (now := self._furthest_behind()) < behind:
                behind, give_up_at = now, time.monotonic() + self.PATIENCE_SECONDS

    def _furthest_behind(self) -> int:
        return max((queue.qsize() for queue in self._all), default=0)

    def _put(self, queue: Heard, row: ChangeRow) -> None:
        try:
            queue.put_nowait(row)
        except asyncio.QueueFull:
            self._drop(queue)

    def _drop(self, queue: Heard) -> None:
        self._all.pop(queue, None)
        with contextlib.suppress(asyncio.QueueFull, asyncio.QueueEmpty):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
