"""`make bench`: latency, milestones, throughput, one customer, histories, loading, matching, simulating, sending,
scoring, pages, serving.

All of it as ratios to what is wanted, or to a rival.

`python -m bench --quick` is a smoke test of the benchmark itself: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import (
    history,
    latency,
    loading,
    matching,
    milestones,
    one_customer,
    pages,
    scoring,
    sending,
    serving,
    simulating,
    throughput,
)
from bench.base import load_base
from bench.report import Report, describe_machine, format_table
from bench.system import Say, System, run_system
from cli.leaving import leave
from loops import event_loop

PARTS = (
    "history",
    "latency",
    "milestones",
    "throughput",
    "one_customer",
    "loading",
    "matching",
    "simulating",
    "sending",
    "scoring",
    "pages",
    "serving",
)
# Those that send events to a system.
EVENTS = frozenset({"latency", "milestones", "throughput", "one_customer"})


@dataclass(frozen=True)
class Size:
    """How much of each is done: single events, a load for some time, customers of whom all is read."""

    events: int
    rate: float
    seconds: float
    customers: int


def say(line: str) -> None:
    """Progress."""
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {line}", file=sys.stderr, flush=True)


_BEGUN = time.monotonic()


async def measure(arguments: argparse.Namespace) -> Report:
    """Make the measurements that were asked for."""
    quick, parts = arguments.quick, arguments.only or PARTS
    report = Report(describe_machine())
    if "history" in parts:
        say("history: events of a run, engine against hand-written workflow")
        async with run_system(say, processes=False) as system:
            report.history = await history.measure(system, say, runs=2 if quick else 10)
    if quick:
        await _measure_small(report, set(parts))
    else:
        await _measure_large(report, set(parts), arguments)
    if "loading" in parts:
        say("loading: playbook files, anew and unchanged")
        report.loading = loading.measure(say, **({"files": 20, "validated": 10, "times": 1} if quick else {}))
    if "matching" in parts:
        say("matching: triggers against a population and against one event, beside other rule engines")
        size = (2_000, 20, 50, 20) if quick else (1_000_000, 200, 2_000, 1_000)
        customers, triggers, playbooks, events = size
        report.matching = matching.measure(
            say, customers=customers, triggers=triggers, playbooks=playbooks, events=events
        )
    if "simulating" in parts:
        say("simulating: one customer through three months")
        report.simulating = simulating.measure(say, **({"days": 3, "times": 1} if quick else {}))
    if "sending" in parts:
        say("sending: messages through the SMTP channel, with claims, checks and records")
        messages, alone = (120, 20) if quick else (2000, 500)
        report.sending = await sending.measure(say, messages=messages, alone=alone)
    if "scoring" in parts:
        customers = 100 if quick else arguments.scored
        say(f"scoring: {customers:,} customers with 120 days behind them, everybody scored")
        report.scoring = await scoring.measure(
            say, customers=customers, triggers=20 if quick else scoring.TRIGGERS
        )
    report.machine = {**report.machine, "load_after": os.getloadavg()[0]}
    return report


async def _measure_large(report: Report, parts: set[str], arguments: argparse.Namespace) -> None:
    """What is measured of a whole system: one of many events, and one each of many customers to be looked at."""
    if EVENTS & parts:
        customers = arguments.customers
        say(f"latency, milestones, throughput, one customer: a system with {customers} customers")
        async with run_system(say, prepare=partial(load_base, customers=customers)) as system:
            await throughput.settle(system, say)
            size = Size(200, arguments.rate, arguments.seconds, 500)
            await _measure_events(report, parts, system, size)
    if "pages" in parts:
        say(f"pages: the overview of {pages.CUSTOMERS:,} customers, and {pages.DASHBOARDS} dashboards")
        report.pages = await pages.measure(say)
    if "serving" in parts:
        say(f"serving: {serving.RATE:.0f} API reads a second of {serving.CUSTOMERS:,} customers")
        report.serving = await serving.measure(say)


async def _measure_small(report: Report, parts: set[str]) -> None:
    """The same of a few customers, all of it on one system: to start one takes longest."""
    if not parts & {"pages", "serving", *EVENTS}:
        return

    async def prepare(url: str, say: Say) -> None:
        await serving.fill(url, say, customers=200, today=datetime.now(UTC).date())
        await load_base(url, say, customers=50)

    say("pages, serving, latency, milestones, throughput, one customer: a system with 250 customers")
    async with run_system(say, prepare=prepare) as system:
        if "pages" in parts:
            report.pages = await pages.measure_system(system, say, repeats=1, dashboards=3)
        else:
            await throughput.settle(system, say)
        if "serving" in parts:
            report.serving = await serving.measure_system(system, say, rate=40.0, seconds=1.0, alternated=2)
        await _measure_events(report, parts, system, Size(20, 100.0, 2.0, 10))


async def _measure_events(report: Report, parts: set[str], system: System, size: Size) -> None:
    if "latency" in parts:
        report.latency = await latency.measure(system, say, events=size.events)
    if "milestones" in parts:
        report.milestones = await milestones.measure(system, say, events=size.events)
    if "throughput" in parts:
        report.throughput = await throughput.measure(system, say, seconds=size.seconds, rate=size.rate)
    if "one_customer" in parts:
        # Last: from here on a model serves.
        report.one_customer = await one_customer.measure(system, say, customers=size.customers)


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that it works, in about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    parser.add_argument(
        "--customers", type=int, default=throughput.CUSTOMERS, help="of the throughput [5000]"
    )
    parser.add_argument(
        "--scored", type=int, default=scoring.CUSTOMERS, help="customers of the scoring [20000]"
    )
    parser.add_argument("--rate", type=float, default=throughput.RATE, help="events a second [1000]")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the load lasts [30]")
    arguments = parser.parse_args()
    report = event_loop.run(measure(arguments))
    print(format_table(report.rows()))
    machine = report.machine
    print(
        f"\n{machine['processors']} x {machine['processor']}, {machine['memory_gb']} GB, Python {machine['python']}, "
        f"load average {machine['load_before']:.2f} before and {machine['load_after']:.2f} after, {machine['at']}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    leave(main())
