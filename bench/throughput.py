"""Events per second, ingested and decided, with everything on one machine, the load included."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.percentiles import percentile
from bench.system import Say, System, machine_seconds, poll

CUSTOMERS = 5000
RATE = 1000.0
SAMPLE_SECONDS = 0.5
DRAIN_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Throughput:
    """What the load came to; `lag` is the age of the oldest request for evaluation, sampled twice a second."""

    rate_wanted: float
    ingested_per_second: float
    # All events decided, over the time from the first request to the empty queue.
    decided_per_second: float
    drained_after_seconds: float
    lag_p50_seconds: float
    lag_worst_seconds: float
    queue_worst: int
    evaluations: int
    events: int
    refused: int
    answer_p50_ms: float
    answer_p99_ms: float
    cpu_ms_per_event: Mapping[str, float]
    # Of the machine's processors, the load's own share included.
    processors_busy: float
    # Of the machine's processors, what other programs (this one's watching among them) took meanwhile.
    processors_taken: float
    runs_started: int


async def measure(system: System, say: Say, *, seconds: float, rate: float = RATE) -> Throughput:
    """Let a process of its own post at `rate` for `seconds`, and watch the queue until it is empty again."""
    customers = [name for (name,) in await system.rows("SELECT external_id FROM customers")]
    decided_before = await _decided(system)
    runs_before = int(await system.value("SELECT count(*) FROM runs"))
    cpu_before, machine_before = system.cpu_seconds(), machine_seconds()
    begin = time.monotonic()
    wanted = {"port": system.port, "api_key": system.api_key, "rate": rate, "seconds": seconds}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", json.dumps(wanted),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    posting = asyncio.create_task(process.communicate(json.dumps(customers).encode()))
    lags: list[float] = []
    queues: list[int] = []
    say(f"  throughput: {rate:.0f} events a second for {seconds:.0f} s over {len(customers)} customers")
    ended = 0.0
    while True:
        posted = posting.done()
        [(waiting, lag)] = await system.rows(
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 FROM evaluations"
        )
        if posted:
            ended = ended or time.monotonic()
            if waiting == 0:
                break
        queues.append(waiting)
        lags.append(lag)
        if time.monotonic() - begin > seconds * 4 + 60:
            break
        if posted:
            await asyncio.sleep(DRAIN_SAMPLE_SECONDS)
        else:
            await asyncio.wait({posting}, timeout=SAMPLE_SECONDS)
    drained = time.monotonic()
    machine = machine_seconds() - machine_before
    cpu = {name: used - cpu_before[name] for name, used in system.cpu_seconds().items()}
    output, _ = await posting
    if process.returncode:
        raise RuntimeError(f"the load ended with exit status {process.returncode}")
    load = json.loads(output)
    cpu["load"] = load["cpu_seconds"]
    await asyncio.sleep(1.5)  # PostgreSQL's counts are a second late
    return Throughput(
        rate_wanted=rate,
        ingested_per_second=load["accepted"] / load["seconds"],
        decided_per_second=load["accepted"] / (load["seconds"] + drained - ended),
        drained_after_seconds=drained - ended,
        lag_p50_seconds=percentile(lags, 50),
        lag_worst_seconds=max(lags),
        queue_worst=max(queues),
        evaluations=await _decided(system) - decided_before,
        events=load["accepted"],
        refused=load["refused"],
        answer_p50_ms=load["answer_p50_ms"],
        answer_p99_ms=load["answer_p99_ms"],
        cpu_ms_per_event={name: 1000 * used / max(load["accepted"], 1) for name, used in cpu.items()},
        processors_busy=sum(cpu.values()) / (drained - begin),
        processors_taken=max(0.0, machine - sum(cpu.values())) / (drained - begin),
        runs_started=int(await system.value("SELECT count(*) FROM runs")) - runs_before,
    )


async def settle(system: System, say: Say) -> None:
    """The first day's work (everybody is looked at, whoever qualifies enters) is done before anything is timed."""

    async def settled() -> bool:
        waiting, starting, bells = (await system.rows(
            "SELECT (SELECT count(*) FROM evaluations), (SELECT count(*) FROM runs WHERE state = 'starting'), "
            "(SELECT count(*) FROM doorbells)"
        ))[0]  # fmt: skip
        done = await system.value("SELECT count(*) > 0 FROM upkeep WHERE name = 'daily'")
        say(f"  settling: {waiting} customers to be looked at, {starting} runs to be started")
        return bool(done) and waiting == 0 and starting == 0 and bells == 0

    await poll(settled, every_seconds=2, patience_seconds=600, what="the first day's work to be done")
    await asyncio.sleep(2)


async def _decided(system: System) -> int:
    """Requests for evaluation that were taken so far."""
    return int(await system.value("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'evaluations'"))
