"""What each measurement of the engine says, line by line."""

from __future__ import annotations

from bench.history import Histories
from bench.latency import Latency
from bench.loading import CACHED_LIMIT_SECONDS, COLD_LIMIT_SECONDS, VALIDATE_LIMIT_SECONDS, Loading
from bench.matching import BATCH_LIMIT_SECONDS, EVENT_LIMIT_MS, SKIPPED, Matching
from bench.milestones import MilestoneDetection
from bench.one_customer import OneCustomer
from bench.row import Row, rows_of
from bench.scoring import MEMORY_LIMIT_MB, Scoring
from bench.sending import PREPARE_LIMIT_MS, RATE_WANTED, Sending
from bench.simulating import LIMIT_SECONDS as SIMULATE_LIMIT_SECONDS
from bench.simulating import Simulating
from bench.throughput import Throughput

P50_LIMIT_MS = 150.0
P99_LIMIT_MS = 500.0
MILESTONE_LIMIT_MS = 100.0
# One customer: features included, in a process; a prediction and a score by HTTP.
ASSESS_LIMIT_MS, PREDICT_LIMIT_MS, SCORE_LIMIT_MS = 20.0, 200.0, 100.0


@rows_of.register
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


@rows_of.register
def _milestone_rows(found: MilestoneDetection) -> list[Row]:
    limit = MILESTONE_LIMIT_MS
    return [
        Row(
            "an event's commit to its milestone's, p99", f"{found.p99_ms:.0f} ms (p50 {found.p50_ms:.0f})",
            f"under {limit:.0f} ms", found.p99_ms / limit, found.p99_ms < limit and not found.lost,
        ),
        Row("  worst", f"{found.worst_ms:.0f} ms of {found.events} events, {found.lost} lost"),
    ]  # fmt: skip


@rows_of.register
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


@rows_of.register
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


@rows_of.register
def _history_rows(found: Histories) -> list[Row]:
    holds = found.ratio <= 1
    wanted = f"{found.rival:.1f} by hand"
    return [Row("Temporal events of a run", f"{found.engine:.1f}", wanted, found.ratio, holds)]


@rows_of.register
def _simulating_rows(found: Simulating) -> list[Row]:
    row = Row(
        f"simulate, {found.days} days, {found.messages} messages, the whole command",
        f"{found.seconds:.1f} s",
        f"under {SIMULATE_LIMIT_SECONDS:.0f} s",
        found.seconds / SIMULATE_LIMIT_SECONDS,
        found.seconds < SIMULATE_LIMIT_SECONDS,
    )
    return [row]


@rows_of.register
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
        row(f"`validate` of {found.validated_files} files, cold", found.validate_seconds, VALIDATE_LIMIT_SECONDS),
        row(
            f"`validate` of {found.validated_files} files, unchanged", found.validate_cached_seconds,
            VALIDATE_LIMIT_SECONDS,
        ),
    ]  # fmt: skip


@rows_of.register
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


@rows_of.register
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


@rows_of.register
def _sending_rows(found: Sending) -> list[Row]:
    rate, prepared = found.per_second, found.prepare_p99_ms
    return [
        Row(
            f"messages by SMTP, {found.processes} processes", f"{rate:.0f} a second",
            f"{RATE_WANTED:.0f} a second", rate / RATE_WANTED, rate >= RATE_WANTED,
        ),
        Row("  computing of one, in those processes", f"{found.cpu_ms:.1f} ms"),
        Row(
            "  without claims, checks and records (aiosmtplib alone)", f"{found.bare_per_second:.0f} a second",
            "times ours", found.bare_per_second / rate,
        ),
        Row(
            "  checks, rendering and claim of one, p99", f"{prepared:.1f} ms (p50 {found.prepare_p50_ms:.1f})",
            f"under {PREPARE_LIMIT_MS:.0f} ms", prepared / PREPARE_LIMIT_MS, prepared < PREPARE_LIMIT_MS,
        ),
        Row(
            "  taken twice, lost", f"{found.taken_twice}, {found.lost}", "0, 0",
            holds=found.taken_twice + found.lost == 0,
        ),
    ]  # fmt: skip
