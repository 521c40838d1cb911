"""Everybody scored, end to end: out of PostgreSQL, signals, health, churn, reasons, 200 triggers, and back into it.

The whole way of the nightly run: Temporal, a batch worker as a process of its own, PostgreSQL as durable as in
`holdfast dev`. Beside it stands PostgreSQL's own time to copy the same rows out and in, with nobody at the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import psutil  # type: ignore[import-untyped]

from bench.copying import copy_in, copy_out
from bench.scoring_base import make_customers
from bench.system import Say, System, run_system
from bench.triggers import make_triggers
from loops.schedules import start_population
from rules.needs import needs_of
from schemas.condition import AllOf
from schemas.plan import CompiledPlaybook, Elapsed, Enter, Wait
from schemas.policy import Policy
from schemas.settings import Settings
from store.database import Database
from store.publishing import publish
from worker import connect

CUSTOMERS = 20_000
TRIGGERS = 200
MEMORY_LIMIT_MB = 4096.0
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Scoring:
    """What one run took. `phases` are the seconds of all shards together, two of which are at work at a time.

    `copy_out` and `copy_in` are PostgreSQL's own seconds for the rows that the run reads and writes, by table; memory
    is the highest that was seen, of PostgreSQL without what its processes share several times over.
    """

    customers: int
    triggers: int
    seconds: float
    phases: Mapping[str, float]
    scored: int
    failed: int
    requested: int
    copy_out: Mapping[str, float]
    copy_in: Mapping[str, float]
    worker_mb: float
    worker_cpu_seconds: float
    postgres_mb: float
    postgres_cpu_seconds: float
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def copy_seconds(self) -> float:
        """Out and in, one after the other."""
        return sum(self.copy_out.values()) + sum(self.copy_in.values())

    @property
    def rate(self) -> float:
        """Customers a second."""
        return self.customers / self.seconds


async def measure(say: Say, *, customers: int = CUSTOMERS, triggers: int = TRIGGERS) -> Scoring:
    """Make that many customers, and score them as they are scored every night."""
    today = datetime.now(UTC).date()

    async def prepare(url: str, say: Say) -> None:
        await make_customers(url, say, customers=customers, today=today)
        await _publish(url, triggers)

    async with run_system(say, prepare=prepare, processes=False) as system:
        copied_out = await copy_out(system, today, say)
        rows = await _count(system)
        with _batch_worker(system) as worker, _watched(system, worker) as memory:
            client = await connect(Settings.read(system.development.environ))
            begun, spent = time.monotonic(), worker.cpu_times()
            postgres_before = _postgres_seconds(system)
            handle = await start_population(client, today)
            last = 0.0
            result = asyncio.ensure_future(handle.result())
            while not result.done():
                await asyncio.wait({result}, timeout=1)
                if time.monotonic() - last > 15 and not result.done():
                    last = time.monotonic()
                    with contextlib.suppress(Exception):
                        seen = await handle.query("progress", result_type=dict)
                        say(f"  {seen['scored']:,} of {seen['customers']:,} customers, {last - begun:.0f} s")
            done = await result
            seconds = time.monotonic() - begun
            cpu = worker.cpu_times()
            postgres_cpu = _postgres_seconds(system) - postgres_before
        copied_in = await copy_in(system, today, say)
    return Scoring(
        customers=customers,
        triggers=triggers,
        seconds=seconds,
        phases={"read": done.read_seconds, "work out": done.work_seconds, "write": done.write_seconds},
        scored=done.scored,
        failed=done.failed,
        requested=done.requested,
        copy_out=copied_out,
        copy_in=copied_in,
        worker_mb=memory["worker"],
        worker_cpu_seconds=cpu.user + cpu.system - spent.user - spent.system,
        postgres_mb=memory["postgres"],
        postgres_cpu_seconds=postgres_cpu,
        rows=rows,
    )


def _postgres_seconds(system: System) -> float:
    """CPU time of PostgreSQL so far, that of connections that are closed included."""
    pid = system.development.supervisor.pid("postgres")
    if pid is None:
        return 0.0
    postgres = psutil.Process(pid)
    total = 0.0
    for process in (postgres, *postgres.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += times.children_user + times.children_system if process is postgres else 0
    return total


async def _publish(url: str, count: int) -> None:
    """That many playbooks which are entered by one of the triggers and only wait."""
    playbooks = {}
    for name, condition in make_triggers(count).items():
        when = condition if isinstance(condition, AllOf) else AllOf(items=(condition,))
        needs = needs_of([when])
        enter = Enter(when=when, signals=tuple(sorted(needs.signals | set(needs.events))))
        playbooks[name] = CompiledPlaybook(
            name=name, title=name, owner="bench", status="live", steps=(Wait(id="w", spec=Elapsed(seconds=86400)),),
            enter=enter,
        )  # fmt: skip
    async with Database(url, connections=1) as database, database.transaction() as connection:
        await publish(connection, playbooks, {}, Policy(), author="bench", now=datetime.now(UTC))


@contextlib.contextmanager
def _batch_worker(system: System) -> Iterator[psutil.Process]:
    """`holdfast worker --batch`, until the block ends."""
    environ = dict(system.development.environ)
    ready = system.development.data.running / "bench-batch.ready"
    environ["HOLDFAST_READY_FILE"] = str(ready)
    log = (system.development.data.logs / "batch.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "worker", "--batch"],
        cwd=_ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the batch worker ended with {process.returncode}; see {log.name}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        log.close()


@contextlib.contextmanager
def _watched(system: System, worker: psutil.Process) -> Iterator[dict[str, float]]:
    """The highest memory seen, in MB, of the worker and of all of PostgreSQL."""
    found = {"worker": 0.0, "postgres": 0.0}
    pid = system.development.supervisor.pid("postgres")
    postgres = psutil.Process(pid) if pid else None
    over = Event()

    def look() -> None:
        while not over.wait(0.5):
            with contextlib.suppress(psutil.Error):
                found["worker"] = max(found["worker"], worker.memory_info().rss / 2**20)
            if postgres is not None:
                total = 0.0
                for process in [postgres, *postgres.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        total += process.memory_full_info().pss / 2**20
                found["postgres"] = max(found["postgres"], total)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


async def _count(system: System) -> dict[str, int]:
    return {
        table: int(await system.value(f"SELECT count(*) FROM {table}"))
        for table in ("customers", "tallies", "customer_health", "signal_history", "events")
    }


def main() -> int:
    """`python -m bench.scoring [CUSTOMERS]`: this alone, for a large population."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    begun = time.monotonic()
    found = asyncio.run(
        measure(
            lambda line: print(f"[{time.monotonic() - begun:5.0f} s] {line}", flush=True), customers=customers
        )
    )
    for line in (
        f"{found.customers:,} customers, {found.triggers} triggers: {found.seconds:.1f} s, {found.rate:,.0f} a second",
        f"  phases, all shards together: {_told(found.phases)}",
        f"  {found.scored:,} scored, {found.failed} passed over, {found.requested:,} for the evaluator",
        f"  PostgreSQL's own COPY out and in: {found.copy_seconds:.1f} s, "
        f"which is the run's time by {found.seconds / found.copy_seconds:.2f}",
        f"    out {_told(found.copy_out)}",
        f"    in {_told(found.copy_in)}",
        f"  batch worker: {found.worker_mb:.0f} MB at most, {found.worker_cpu_seconds:.1f} CPU s",
        f"  PostgreSQL: {found.postgres_mb:.0f} MB at most, {found.postgres_cpu_seconds:.1f} CPU s",
        f"  stored: {', '.join(f'{count:,} {table}' for table, count in found.rows.items())}",
    ):
        print(line)
    return 0


def _told(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items())


if __name__ == "__main__":
    from cli.leaving import leave

    leave(main())
