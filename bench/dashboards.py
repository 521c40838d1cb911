"""Open dashboards, a process of its own: `python -m bench.dashboards` with what it is to do as JSON on standard input.

Each does what live.js does: it hears the stream of changes, and asks for its page anew, a little later than the others,
and about once a second at most.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import time
from datetime import UTC, datetime
from typing import Any

from bench.posting import Poster
from loops import event_loop

# As in live.js.
SPREAD_SECONDS, LEAST_SECONDS, TIMES_ANSWER = 0.25, 0.8, 3.0


class Dashboards:
    """So many open pages, shared out evenly between the `paths`."""

    def __init__(self, port: int, api_key: str, paths: list[str], count: int, seed: int = 1) -> None:
        self._port, self._key = port, api_key
        self._paths = [paths[number % len(paths)] for number in range(count)]
        self._random = random.Random(seed)
        # From the moment of a change until a page heard of it, and until an answer that has it was there; in ms.
        self.heard: list[float] = []
        self.shown: list[float] = []
        self.loads = 0

    async def run(self, seconds: float) -> dict[str, Any]:
        """Look for so long, from when all listen; then tell."""
        looking = [asyncio.create_task(self._look(path)) for path in self._paths]
        await asyncio.sleep(seconds)
        broken = [one.exception() for one in looking if one.done()]
        for one in looking:
            one.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        if broken:
            raise RuntimeError(f"{len(broken)} dashboards ended: {broken[0]}")
        return {"heard_ms": self.heard, "shown_ms": self.shown, "loads": self.loads}

    async def _look(self, path: str) -> None:
        changes: list[datetime] = []
        bell = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(changes, bell))
            group.create_task(self._load(path, changes, bell))

    async def _hear(self, changes: list[datetime], bell: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            credentials = base64.b64encode(f"{self._key}:".encode()).decode()
            writer.write(
                f"GET /changes HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {credentials}\r\n\r\n".encode()
            )
            while line := await reader.readline():
                if line.startswith(b"data:") and b'"at"' in line:
                    at = datetime.fromisoformat(json.loads(line.removeprefix(b"data:"))["at"])
                    self.heard.append(_since(at))
                    changes.append(at)
                    bell.set()
        finally:
            writer.close()
        raise ConnectionError("the stream ended")

    async def _load(self, path: str, changes: list[datetime], bell: asyncio.Event) -> None:
        page = await Poster(self._port, self._key, headers="X-Live: 1\r\nAccept: text/html\r\n").open()
        begun, pause = 0.0, 0.0
        try:
            while True:
                await bell.wait()
                bell.clear()
                wait = max(self._random.uniform(0, SPREAD_SECONDS), begun + pause - time.monotonic())
                await asyncio.sleep(wait)
                known, changes[:] = list(changes), []
                bell.clear()
                begun = time.monotonic()
                status = await page.get(path)
                if status != 200:
                    raise ConnectionError(f"{path} was answered with {status}")
                self.loads += 1
                self.shown += [_since(at) for at in known]
                pause = max(LEAST_SECONDS, TIMES_ANSWER * (time.monotonic() - begun))
        finally:
            page.close()


def _since(at: datetime) -> float:
    return 1000 * (datetime.now(UTC) - at).total_seconds()


def main() -> None:
    """Look as the JSON on standard input says, then print what came of it as JSON."""
    wanted = json.load(sys.stdin)
    dashboards = Dashboards(wanted["port"], wanted["api_key"], wanted["paths"], wanted["count"])
    print(json.dumps(event_loop.run(dashboards.run(wanted["seconds"]))))


if __name__ == "__main__":
    main()
