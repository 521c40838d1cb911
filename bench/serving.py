"""API reads at a steady rate of a web process that holds 100,000 customers, while a worker decides about events.

Each endpoint is set beside the very statements that it makes, repeated on a connection of psycopg alone: no answer as
fresh can be quicker. Requests are due at fixed moments whether or not earlier ones were answered.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
import psycopg

from bench.pages_base import make_customers
from bench.percentiles import percentile
from bench.posting import Poster
from bench.system import Say, System, machine_seconds, run_system
from bench.throughput import settle
from loops.assessing import assess_customer
from schemas.catalogue import load_catalogue
from schemas.settings import Settings
from scoring.moving import make_mover
from store.database import Database
from web.application import build_application

CUSTOMERS = 100_000
RATE, SECONDS = 200.0, 30.0
# What the worker has to do meanwhile.
EVENTS_PER_SECOND = 20.0
ASKED_FOR = 400
ALTERNATED = 60
LIMIT_MS = 20.0
Statement = tuple[str, Any]

_PREDICTIONS = """
INSERT INTO churn_predictions (customer_id, prediction_date, churn_probability, risk_level, prediction_factors, reasons,
  source, model_version, model_confidence, intervention_recommended, intervention_priority, ltv_at_risk, calculated_at)
SELECT customer_id, %(today)s, churn_probability, churn_risk_level, '{"low_engagement": 0.4, "billing_issues": 0.1}',
  '[{"signal": "days_since_last_login", "effect": 0.8}]', 'rule_of_thumb', 'rules', 'low', churn_probability >= .6, 3,
  ltv_at_risk, %(today)s
FROM signals WHERE churn_probability IS NOT NULL ON CONFLICT DO NOTHING
"""
# Runs begin and calls fall due one after the other, not all at one moment. The runs are over: there are no workflows
# behind them, and a worker would look for those again and again.
_SPREAD = """
UPDATE runs SET state = 'ended', outcome = 'success', reason = 'bench', ended_at = now(),
  entered_at = entered_at - random() * interval '20 days';
UPDATE tasks SET created_at = created_at - random() * interval '2 days', due_at = due_at + random() * interval '3 days'
"""


@dataclass(frozen=True)
class ReadTimes:
    """One endpoint under load, and at rest in turn with its own statements on psycopg alone; in ms."""

    p50_ms: float
    p99_ms: float
    requests: int
    rest_p50_ms: float
    sql_p50_ms: float
    sql_p99_ms: float
    statements: int


@dataclass(frozen=True)
class Serving:
    """What the load came to; CPU is that of a request, by process, the events' own share included."""

    customers: int
    rate_wanted: float
    rate: float
    reads: Mapping[str, ReadTimes]
    p99_ms: float
    refused: int
    cpu_ms: Mapping[str, float]
    events: int
    processors_busy: float
    # By other programs.
    processors_taken: float


async def measure(
    say: Say, *, customers: int = CUSTOMERS, rate: float = RATE, seconds: float = SECONDS
) -> Serving:
    """Make the customers, let the first day's work be done, then read."""
    prepare = partial(fill, customers=customers, today=datetime.now(UTC).date())
    async with run_system(say, prepare=prepare) as system:
        await settle(system, say)
        return await measure_system(system, say, rate=rate, seconds=seconds)


async def fill(database_url: str, say: Say, *, customers: int, today: date) -> None:
    """The customers of the pages, each with a prediction."""
    await make_customers(database_url, say, customers=customers, today=today)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(_PREDICTIONS, {"today": today})
        await connection.execute(_SPREAD)
        await connection.execute("VACUUM ANALYZE")


async def measure_system(
    system: System, say: Say, *, rate: float = RATE, seconds: float = SECONDS, alternated: int = ALTERNATED
) -> Serving:
    """Read from a system that runs and has nothing else to do."""
    paths = await _paths(system)
    statements = await _record(system, {what: some[0] for what, some in paths.items()})
    rest = await _alternate(system, paths, statements, alternated)
    customers = int(await system.value("SELECT count(*) FROM customers"))
    say(f"  {rate:.0f} reads and {EVENTS_PER_SECOND:.0f} events a second for {seconds:.0f} s")
    some = [name for (name,) in await system.rows("SELECT external_id FROM customers LIMIT 5000")]
    asked = {"port": system.port, "api_key": system.api_key}
    warming = await _start(
        "bench.reading", {**asked, "paths": paths, "rate": rate, "seconds": min(seconds, 3.0)}
    )
    await _end(warming)
    cpu_before, machine_before, begin = system.cpu_seconds(), machine_seconds(), time.monotonic()
    wanted = {**asked, "rate": EVENTS_PER_SECOND, "seconds": seconds}
    load = await _start("bench.load", some, json.dumps(wanted))
    reading = await _start("bench.reading", {**asked, "paths": paths, "rate": rate, "seconds": seconds})
    found, posted = await _end(reading), await _end(load)
    wall, machine = time.monotonic() - begin, machine_seconds() - machine_before
    cpu = {name: used - cpu_before[name] for name, used in system.cpu_seconds().items()}
    cpu |= {"readers": found["cpu_seconds"] + posted["cpu_seconds"]}
    took: Mapping[str, Sequence[float]] = found["took_ms"]
    everything = [one for times in took.values() for one in times]
    reads = {
        what: ReadTimes(
            percentile(times, 50), percentile(times, 99), len(times), percentile(rest[what][0], 50),
            percentile(rest[what][1], 50), percentile(rest[what][1], 99), len(statements[what]),
        )
        for what, times in took.items()
    }  # fmt: skip
    for what, times in reads.items():
        say(f"  {what}: p50 {times.p50_ms:.1f}, p99 {times.p99_ms:.1f}; SQL {times.sql_p50_ms:.1f} ms")
    return Serving(
        customers=customers,
        rate_wanted=rate,
        rate=len(everything) / found["seconds"],
        reads=reads,
        p99_ms=percentile(everything, 99),
        refused=sum(found["refused"].values()) + found["left_out"],
        cpu_ms={name: 1000 * used / max(len(everything), 1) for name, used in cpu.items()},
        events=posted["accepted"],
        processors_busy=sum(cpu.values()) / wall,
        processors_taken=max(0.0, machine - sum(cpu.values())) / wall,
    )


async def _paths(system: System) -> dict[str, list[str]]:
    names = [name for (name,) in await system.rows("SELECT external_id FROM customers ORDER BY id")]
    some = random.Random(1).sample(names, min(ASKED_FOR, len(names)))
    runs = [id_ for (id_,) in await system.rows("SELECT id::text FROM runs ORDER BY id LIMIT %s", ASKED_FOR)]
    success = "/api/customer-success"
    return {
        "health score": [f"{success}/health-score/{name}?includeBreakdown=true" for name in some],
        "churn predictions": [f"{success}/churn-predictions", f"{success}/churn-predictions?riskLevel=high"],
        "one churn prediction": [f"{success}/churn-predictions/{name}" for name in some],
        "customers": [
            "/api/customers",
            "/api/customers?risk=critical&sort=-revenue",
            "/api/customers?limit=20",
        ],
        "one customer": [f"/api/customers/{name}" for name in some],
        "runs": ["/api/runs", "/api/runs?state=open&limit=20"],
        "one run": [f"/api/runs/{one}" for one in runs],
        "tasks": ["/api/tasks", "/api/tasks?assignee=anna@example.com"],
    }


async def _record(system: System, paths: Mapping[str, str]) -> dict[str, list[Statement]]:
    """What each path's handler asks of the database once its process is warm, as the driver gets it."""
    catalogue, heard = load_catalogue(), list[Statement]()
    database = Database(system.database_url, connections=2)
    app = build_application(
        Settings.read({"HOLDFAST_DATABASE_URL": system.database_url, "HOLDFAST_API_KEY": system.api_key}),
        database,
        move=make_mover(catalogue),
        assess=lambda name, _: assess_customer(database, catalogue, name),
    )
    found = {}
    try:
        transport = httpx.ASGITransport(app)
        # Whether SQLAlchemy asks or the store itself, here it passes.
        execute = psycopg.AsyncCursor.execute

        async def hear(cursor: Any, query: Any, params: Any = None, **more: Any) -> Any:
            heard.append((query, params))
            return await execute(cursor, query, params, **more)

        async with httpx.AsyncClient(
            transport=transport, base_url="http://bench", auth=(system.api_key, ""), timeout=60
        ) as client:
            with patch.object(psycopg.AsyncCursor, "execute", hear):
                for what, path in paths.items():
                    for _ in range(2):
                        heard.clear()
                        (await client.get(path)).raise_for_status()
                    found[what] = list(heard)
    finally:
        await database.close()
    return found


async def _alternate(
    system: System,
    paths: Mapping[str, Sequence[str]],
    statements: Mapping[str, Sequence[Statement]],
    turns: int,
) -> dict[str, tuple[list[float], list[float]]]:
    """A request and its statements in turn, so that both see the same machine."""
    found: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in paths}
    poster = await Poster(system.port, system.api_key).open()
    async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
        await connection.execute("SET timezone TO 'UTC'")
        await connection.commit()
        for turn in range(turns + 5):
            for what, some in paths.items():
                begun = time.perf_counter()
                status = await poster.get(some[0])
                between = time.perf_counter()
                assert status == 200, f"{some[0]} answered {status}"
                for statement, parameters in statements[what]:
                    cursor = await connection.execute(_text_of(statement), parameters or None, prepare=True)
                    if cursor.description:
                        await cursor.fetchall()
                await connection.rollback()
                if turn >= 5:
                    found[what][0].append(1000 * (between - begun))
                    found[what][1].append(1000 * (time.perf_counter() - between))
    poster.close()
    return found


def _text_of(statement: Any) -> bytes:
    return statement if isinstance(statement, bytes) else str(statement).encode()


async def _start(
    module: str, given: Any, *arguments: str
) -> tuple[asyncio.subprocess.Process, asyncio.Task[Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    return process, asyncio.create_task(process.communicate(json.dumps(given).encode()))


async def _end(started: tuple[asyncio.subprocess.Process, asyncio.Task[Any]]) -> Any:
    process, talking = started
    output, _ = await talking
    if process.returncode:
        raise RuntimeError(f"the load ended with exit status {process.returncode}")
    return json.loads(output)
