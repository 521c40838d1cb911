"""The load of the throughput benchmark, a process of its own: `python -m bench.load '{"port": …}'`.

Open loop: what is due is posted at its time whether or not earlier requests were answered, up to `MOST_OPEN` requests;
beyond that the rate falls, and the report shows it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import resource
import sys
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.percentiles import percentile
from bench.posting import Poster

TICK_SECONDS = 0.05
MOST_OPEN = 64
# One event in five comes by a request of its own, the others in batches as Segment's clients send them.
SINGLE_SHARE = 0.2
# The events of the demo base by how often they happen there.
MIX: dict[str, tuple[int, dict[str, Any]]] = {
    "feature_used": (
        3700,
        {"feature": ["form_builder", "templates", "analytics", "client_management", "email_campaigns"]},
    ),
    "session_ended": (2230, {"minutes": [4, 11, 25, 48]}),
    "login": (2230, {}),
    "client_active": (1670, {"client": [f"k{number}" for number in range(12)]}),
    "form_created": (310, {}),
    "milestone_completed": (25, {"milestone": ["tenth_client", "first_journey"]}),
    "template_used": (180, {"template": ["t1", "t2", "t3"]}),
    "client_added": (130, {}),
    "payment_succeeded": (95, {}),
    "journey_created": (77, {}),
    "client_imported": (49, {"count": [3, 9, 20]}),
    "ticket_opened": (40, {}),
    "ticket_closed": (40, {}),
    "ticket_rated": (30, {"rating": [1, 2, 4, 5, 5]}),
    "payment_failed": (21, {}),
}


class _Load:
    def __init__(
        self, port: int, api_key: str, customers: list[str], rate: float, seconds: float, seed: int
    ) -> None:
        self._port, self._key = port, api_key
        self._customers, self._rate, self._seconds = customers, rate, seconds
        self._random = random.Random(seed)
        self._run = f"{seed}-{time.time_ns()}"
        self._numbers = itertools.count()
        self._idle: list[Poster] = []
        self._room = asyncio.Semaphore(MOST_OPEN)
        self.accepted = self.refused = 0
        self.took: list[float] = []

    async def run(self) -> dict[str, Any]:
        begin = time.perf_counter()
        due, sent = 0.0, 0
        async with asyncio.TaskGroup() as group:
            while (passed := time.perf_counter() - begin) < self._seconds:
                due = min(passed + TICK_SECONDS, self._seconds) * self._rate
                events = [self._event() for _ in range(int(due) - sent)]
                sent += len(events)
                singles = int(len(events) * SINGLE_SHARE)
                for event in events[:singles]:
                    await self._room.acquire()
                    group.create_task(self._post("/v1/track", event, 1))
                if events[singles:]:
                    await self._room.acquire()
                    group.create_task(
                        self._post("/v1/batch", {"batch": events[singles:]}, len(events) - singles)
                    )
                await asyncio.sleep(max(0.0, begin + passed + TICK_SECONDS - time.perf_counter()))
        wall = time.perf_counter() - begin
        used = resource.getrusage(resource.RUSAGE_SELF)
        for poster in self._idle:
            poster.close()
        return {
            "accepted": self.accepted,
            "refused": self.refused,
            "seconds": wall,
            "requests": len(self.took),
            "answer_p50_ms": percentile(self.took, 50) * 1000,
            "answer_p99_ms": percentile(self.took, 99) * 1000,
            "cpu_seconds": used.ru_utime + used.ru_stime,
        }

    def _event(self) -> dict[str, Any]:
        [name] = self._random.choices(list(MIX), [weight for weight, _ in MIX.values()])
        return {
            "type": "track",
            "userId": self._random.choice(self._customers),
            "event": name,
            "messageId": f"{self._run}-{next(self._numbers)}",
            "timestamp": datetime.now(UTC).isoformat(),
            "properties": {key: self._random.choice(values) for key, values in MIX[name][1].items()},
        }

    async def _post(self, path: str, body: dict[str, Any], events: int) -> None:
        begin = time.perf_counter()
        try:
            poster = self._idle.pop() if self._idle else Poster(self._port, self._key)
            status = await poster.post(path, msgspec.json.encode(body))
            self._idle.append(poster)
        finally:
            self._room.release()
        self.took.append(time.perf_counter() - begin)
        if status == 200:
            self.accepted += events
        else:
            self.refused += events


def main() -> None:
    """Post as the one argument says, then print what came of it as JSON."""
    wanted = json.loads(sys.argv[1])
    customers = json.loads(sys.stdin.read())
    load = _Load(
        wanted["port"], wanted["api_key"], customers, wanted["rate"], wanted["seconds"], wanted.get("seed", 1)
    )
    print(json.dumps(asyncio.run(load.run())))


if __name__ == "__main__":
    main()
