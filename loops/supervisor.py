"""Keeps child processes running: starts them, starts them again when they die, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loops.child import Child, ask_to_stop, how_it_ended, kill, look_at, not_ready, spawn
from schemas.errors import HoldfastError, UnavailableError

LOOK_EVERY_SECONDS = 0.05
# A child that lived this long before it died counts as healthy: its deaths don't add up.
HEALTHY_SECONDS = 20.0
MOST_FAST_DEATHS = 6
LONGEST_PAUSE_SECONDS = 5.0


@dataclass
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    was_ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    restarts: int = 0


class Supervisor:
    """Children by name. `say` gets a line per happening; `failure` is set when a child is given up."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kept: dict[str, _Kept] = {}
        self.failure: asyncio.Future[HoldfastError] = asyncio.get_running_loop().create_future()

    async def start(self, child: Child) -> None:
        """Start `child`, keep it, and return when it is ready. Raises UnavailableError if it never is."""
        kept = _Kept(child)
        self._kept[child.name] = kept
        kept.task = asyncio.create_task(self._keep(kept), name=f"keep {child.name}")
        ready = asyncio.create_task(kept.was_ready.wait())
        try:
            await asyncio.wait({kept.task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not kept.was_ready.is_set():
            await kept.task

    async def run(self, child: Child) -> None:
        """Run `child` to its end. Raises UnavailableError unless that is good; killed when cancelled."""
        process = spawn(child)
        try:
            await _end(process)
        finally:
            if process.poll() is None:
                kill(child, process)
        if process.returncode != 0:
            raise UnavailableError(f"{child.name} {how_it_ended(process)}.", remedy=look_at(child))

    def pid(self, name: str) -> int | None:
        """The process id of the child `name`, while it runs."""
        process = self._kept[name].process
        return process.pid if process is not None and process.poll() is None else None

    def restarts(self, name: str) -> int:
        """How often the child `name` was started again and got ready."""
        return self._kept[name].restarts

    async def _keep(self, kept: _Kept) -> None:
        deaths = 0
        while True:
            born = time.monotonic()
            try:
                await self._live(kept)
            except UnavailableError as error:
                if not kept.was_ready.is_set():
                    raise
                deaths = 1 if time.monotonic() - born > HEALTHY_SECONDS else deaths + 1
                if deaths >= MOST_FAST_DEATHS:
                    self._give_up(kept, error)
                    return
                pause = min(0.1 * 2 ** (deaths - 1), LONGEST_PAUSE_SECONDS) if deaths > 1 else 0.0
                self._say(
                    f"{error.message.rstrip('.')}; starting it again"
                    + (f" in {pause:.1f} s" if pause else "")
                )
                await asyncio.sleep(pause)

    async def _live(self, kept: _Kept) -> None:
        """One life of the child; always ends by raising UnavailableError, or by being cancelled."""
        child = kept.child
        again = kept.was_ready.is_set()
        process = kept.process = spawn(child)
        give_up_at = time.monotonic() + child.patience_seconds
        while not await asyncio.to_thread(child.ready):
            if process.poll() is not None:
                break
            if time.monotonic() > give_up_at:
                kill(child, process)
                raise not_ready(child)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        else:
            kept.was_ready.set()
            if again:
                kept.restarts += 1
                self._say(f"{child.name} is back")
        await _end(process)
        # Whatever it had started in its session goes with it.
        kill(child, process)
        raise UnavailableError(f"{child.name} {how_it_ended(process)}.", remedy=look_at(child))

    def _give_up(self, kept: _Kept, error: UnavailableError) -> None:
        if not self.failure.done():
            self.failure.set_result(
                UnavailableError(
                    f"{kept.child.name} died {MOST_FAST_DEATHS} times in a row, each within "
                    f"{HEALTHY_SECONDS:.0f} s of its start, and is given up.",
                    remedy=error.remedy,
                )
            )

    async def stop(self, stages: Sequence[tuple[Sequence[str], float]]) -> None:
        """Stop the children stage by stage: names, and the seconds from now at which the rest is killed.

        Children that no stage names are killed at the end.
        """
        begun = time.monotonic()
        for kept in self._kept.values():
            if kept.task is not None:
                kept.task.cancel()
        await asyncio.gather(
            *(kept.task for kept in self._kept.values() if kept.task is not None), return_exceptions=True
        )
        for names, seconds in stages:
            await self._stop([self._kept[name] for name in names if name in self._kept], begun + seconds)
        await self._stop(list(self._kept.values()), begun)
        self._kept.clear()

    async def _stop(self, several: Sequence[_Kept], killed_at: float) -> None:
        living = [(kept.child, kept.process) for kept in several if kept.process is not None]
        for child, process in living:
            if process.poll() is None:
                ask_to_stop(child, process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(killed_at - time.monotonic(), 0)):
                for _, process in living:
                    await _end(process)
        for child, process in living:
            if process.poll() is None:
                self._say(f"{child.name} didn't stop in time and is killed")
            # Also after a good end: what it left in its session must not outlive it.
            with contextlib.suppress(OSError):
                kill(child, process)
            if child.pid_file is not None:
                child.pid_file.unlink(missing_ok=True)


async def _end(process: subprocess.Popen[bytes]) -> None:
    # Asking is what every system can do; a handle on the process would save these few wake-ups on Linux only.
    while process.poll() is None:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_SECONDS)
