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
from bench.system import run_system
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
    if {"latency", "milestones", "throughput", "one_customer"} & set(parts):
        customers = 50 if quick else arguments.customers
        say(f"latency, milestones, throughput, one customer: a system with {customers} customers")
        async with run_system(say, prepare=partial(load_base, customers=customers)) as system:
            await throughput.settle(system, say)
            if "latency" in parts:
                report.latency = await latency.measure(system, say, events=20 if quick else 200)
            if "milestones" in parts:
                report.milestones = await milestones.measure(system, say, events=20 if quick else 200)
            if "throughput" in parts:
                rate, seconds = (100.0, 2.0) if quick else (arguments.rate, arguments.seconds)
                report.throughput = await throughput.measure(system, say, seconds=seconds, rate=rate)
            if "one_customer" in parts:
                # Last: from here on a model serves.
                report.one_customer = await one_customer.measure(system, say, customers=10 if quick else 500)
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
    if "pages" in parts:
        customers, repeats, dashboards = (
            (200, 2, 3) if quick else (pages.CUSTOMERS, pages.REPEATS, pages.DASHBOARDS)
        )
        say(f"pages: the overview of {customers:,} customers, and {dashboards} dashboards")
        report.pages = await pages.measure(say, customers=customers, repeats=repeats, dashboards=dashboards)
    if "serving" in parts:
        customers, seconds = (200, 2.0) if quick else (serving.CUSTOMERS, serving.SECONDS)
        rate = 40.0 if quick else serving.RATE
        say(f"serving: {rate:.0f} API reads a second of {customers:,} customers")
        report.serving = await serving.measure(say, customers=customers, rate=rate, seconds=seconds)
    report.machine = {**report.machine, "load_after": os.getloadavg()[0]}
    return report


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that it works, in about half a minute")
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
