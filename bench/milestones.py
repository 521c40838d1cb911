"""From an event's commit to the milestone that it reaches: one event at a time, on an otherwise idle system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass

from bench.percentiles import percentile
from bench.posting import Poster
from bench.system import Say, System, poll
from store.database import Database
from store.score_news import listen_for_scores

EVERY_SECONDS = 0.25
WARMING = 10
PATIENCE_SECONDS = 10.0
REACHED = "first_client"


@dataclass(frozen=True)
class MilestoneDetection:
    """Milliseconds from the answer to the event, which comes after its commit, to the commit of the milestone's row.

    That one is heard by the notification which the row's own transaction sends; one that came first took none.
    """

    p50_ms: float
    p99_ms: float
    worst_ms: float
    events: int
    lost: int


async def measure(system: System, say: Say, *, events: int) -> MilestoneDetection:
    """Have `events` customers reach a milestone, one after the other."""
    poster = await Poster(system.port, system.api_key).open()
    names = [f"starter-{number}" for number in range(WARMING + events)]
    calls = [{"type": "identify", "userId": name, "traits": {"timezone": "UTC"}} for name in names]
    for start in range(0, len(calls), 100):
        body = json.dumps({"batch": calls[start : start + 100]}).encode()
        assert await poster.post("/v1/batch", body) == 200
    await poll(
        lambda: system.value("SELECT count(*) = 0 FROM evaluations"),
        every_seconds=0.5, patience_seconds=60, what="the customers to be looked at",
    )  # fmt: skip
    database = Database(system.database_url, connections=1)
    answered: dict[str, float] = {}
    reached: dict[str, float] = {}
    all_reached = asyncio.Event()
    hearing = asyncio.create_task(_hear(database, reached, len(names), all_reached))
    try:
        await asyncio.sleep(1)
        for number, name in enumerate(names):
            await asyncio.sleep(EVERY_SECONDS)
            call = {
                "userId": name, "event": "client_imported", "messageId": f"{name}-import", "properties": {"count": 1},
            }  # fmt: skip
            status = await poster.post("/v1/track", json.dumps(call).encode())
            answered[name] = time.perf_counter()
            assert status == 200, f"the web process answered {status}"
            if number % 50 == 49:
                say(f"  milestones: {number + 1} of {len(names)} events")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await all_reached.wait()
    finally:
        hearing.cancel()
        await asyncio.wait([hearing])
        await database.close()
        poster.close()
    timed = names[WARMING:]
    took = [max(0.0, reached[name] - answered[name]) * 1000 for name in timed if name in reached]
    return MilestoneDetection(
        p50_ms=percentile(took, 50),
        p99_ms=percentile(took, 99),
        worst_ms=max(took),
        events=len(took),
        lost=len(timed) - len(took),
    )


async def _hear(
    database: Database, reached: dict[str, float], wanted: int, all_reached: asyncio.Event
) -> None:
    async for heard in listen_for_scores(database):
        now = time.perf_counter()
        for one in heard:
            if one.kind == "milestone" and one.state == REACHED:
                reached.setdefault(one.user_id, now)
        if len(reached) == wanted:
            all_reached.set()
