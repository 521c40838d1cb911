"""From an event's HTTP request to the provider: one event at a time, a customer each, on an otherwise idle system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from bench.percentiles import percentile
from bench.posting import Poster
from bench.system import Say, System, poll

EVERY_SECONDS = 0.25
WARMING = 10
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds from just before the request is written to the mail server having the whole message."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    worst_ms: float
    events: int
    lost: int
    # Medians of the parts of the way, in milliseconds.
    parts_ms: Mapping[str, float]


async def measure(system: System, say: Say, *, events: int) -> Latency:
    """Post `events` events and time each one's mail."""
    poster = await Poster(system.port, system.api_key).open()
    names = [f"asker-{number}" for number in range(WARMING + events)]
    batch = [
        {
            "type": "identify",
            "userId": name,
            "traits": {"email": f"{name}@example.com", "firstName": "Ada", "timezone": "UTC"},
        }
        for name in names
    ]
    for start in range(0, len(batch), 100):
        assert (
            await poster.post("/v1/batch", json.dumps({"batch": batch[start : start + 100]}).encode()) == 200
        )
    await poll(
        lambda: system.value("SELECT count(*) = 0 FROM evaluations"),
        every_seconds=0.5, patience_seconds=60, what="the customers to be looked at",
    )  # fmt: skip
    await asyncio.sleep(1)
    taken: dict[str, float] = {}
    posted: dict[str, float] = {}
    answered: dict[str, float] = {}
    all_taken = asyncio.Event()
    original = system.smtp.take

    def take(sender: str, recipients: list[str], data: bytes) -> None:
        at = time.time()
        original(sender, recipients, data)
        taken.setdefault(recipients[0].partition("@")[0], at)
        if len(taken) == len(names):
            all_taken.set()

    system.smtp.take = take  # type: ignore[method-assign]
    try:
        begin = time.perf_counter()
        for number, name in enumerate(names):
            await asyncio.sleep(max(0.0, begin + number * EVERY_SECONDS - time.perf_counter()))
            body = json.dumps(
                {
                    "userId": name,
                    "event": "bench_asked",
                    "messageId": f"{name}-asked",
                    "timestamp": datetime.now(UTC).isoformat(),
                }
            ).encode()
            posted[name] = time.time()
            status = await poster.post("/v1/track", body)
            answered[name] = time.time()
            assert status == 200, f"the web process answered {status}"
            if number % 50 == 49:
                say(f"  latency: {number + 1} of {len(names)} events")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_taken.wait(), PATIENCE_SECONDS)
    finally:
        system.smtp.take = original  # type: ignore[method-assign]
        poster.close()
    timed = names[WARMING:]
    took = [(taken[name] - posted[name]) * 1000 for name in timed if name in taken]
    return Latency(
        p50_ms=percentile(took, 50),
        p90_ms=percentile(took, 90),
        p99_ms=percentile(took, 99),
        worst_ms=max(took),
        events=len(took),
        lost=len(timed) - len(took),
        parts_ms=await _parts(system, timed, posted, answered, taken),
    )


async def _parts(
    system: System,
    names: Sequence[str],
    posted: dict[str, float],
    answered: dict[str, float],
    taken: dict[str, float],
) -> Mapping[str, float]:
    rows = await system.rows(
        "SELECT c.external_id, extract(epoch FROM r.entered_at)::float8, extract(epoch FROM d.claimed_at)::float8 "
        "FROM runs r JOIN customers c ON c.id = r.customer_id JOIN deliveries d ON d.run_id = r.id "
        "WHERE r.playbook = 'bench-answer'"
    )
    found: dict[str, tuple[float, float]] = {name: (entered, claimed) for name, entered, claimed in rows}
    whole: list[tuple[Any, ...]] = [
        (posted[name], answered[name], *found[name], taken[name])
        for name in names
        if name in found and name in taken
    ]
    if not whole:
        return {}
    return {
        "request to answer (stored)": median((answer - post) * 1000 for post, answer, *_ in whole),
        "request to evaluation": median((entered - post) * 1000 for post, _, entered, *_ in whole),
        "evaluation to claim": median((claimed - entered) * 1000 for _, _, entered, claimed, _ in whole),
        "claim to provider": median((took - claimed) * 1000 for *_, claimed, took in whole),
    }
