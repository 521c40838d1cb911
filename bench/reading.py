"""The reads of the serving benchmark, a process of its own: `python -m bench.reading '{"port": …, "paths": …}'`.

Open loop: what is due is asked for at its time whether or not earlier requests were answered, and how long an answer
took counts from the moment at which it was due, so that a server that falls behind can't hide it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bench.posting import Poster
from loops import event_loop

# Beyond so many open requests the server is far behind, and what more would be asked says nothing new.
MOST_OPEN = 200


class Reads:
    """Requests at a steady rate: of the endpoints in `paths` one drawn at a time, and one of its paths."""

    def __init__(
        self,
        port: int,
        api_key: str,
        paths: Mapping[str, Sequence[str]],
        rate: float,
        seconds: float,
        seed: int,
    ) -> None:
        self._port, self._key, self._paths = port, api_key, paths
        self._rate, self._seconds = rate, seconds
        self._random = random.Random(seed)
        self._idle: list[Poster] = []
        self._open = 0
        self.took: dict[str, list[float]] = defaultdict(list)
        self.refused: Counter[int] = Counter()
        self.left_out = 0

    async def run(self) -> dict[str, Any]:
        """Ask, then tell: ms by endpoint, statuses other than 200, requests that found too many open, CPU seconds."""
        gc.disable()
        names = list(self._paths)
        self._idle = [await Poster(self._port, self._key).open() for _ in range(8)]
        begin = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as group:
            for number in range(int(self._rate * self._seconds)):
                due = begin + number / self._rate
                if (left := due - time.perf_counter()) > 0:
                    await asyncio.sleep(left)
                what = self._random.choice(names)
                path = self._random.choice(self._paths[what])
                if self._open >= MOST_OPEN:
                    self.left_out += 1
                else:
                    self._open += 1
                    group.create_task(self._ask(what, path, due))
        used = resource.getrusage(resource.RUSAGE_SELF)
        for poster in self._idle:
            poster.close()
        return {
            "took_ms": self.took,
            "refused": dict(self.refused),
            "left_out": self.left_out,
            "seconds": time.perf_counter() - begin,
            "cpu_seconds": used.ru_utime + used.ru_stime,
        }

    async def _ask(self, what: str, path: str, due: float) -> None:
        try:
            poster = self._idle.pop() if self._idle else Poster(self._port, self._key)
            status = await poster.get(path)
            self._idle.append(poster)
        finally:
            self._open -= 1
        self.took[what].append(1000 * (time.perf_counter() - due))
        if status != 200:
            self.refused[status] += 1


def main() -> None:
    """Read as the JSON on standard input says, then print what came of it as JSON."""
    wanted = json.load(sys.stdin)
    reads = Reads(
        wanted["port"],
        wanted["api_key"],
        wanted["paths"],
        wanted["rate"],
        wanted["seconds"],
        wanted.get("seed", 1),
    )
    print(json.dumps(event_loop.run(reads.run())))


if __name__ == "__main__":
    main()
