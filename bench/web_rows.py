"""What each measurement of pages and the API says, line by line."""

from __future__ import annotations

from bench.pages import FILTER_LIMIT_MS, MEMORY_LIMIT_MB, ROWS_LIMIT_MS, SHOWN_LIMIT_MS, Pages
from bench.row import Row, rows_of
from bench.serving import LIMIT_MS, Serving


@rows_of.register
def _pages_rows(found: Pages) -> list[Row]:
    rows: list[Row] = []
    named = {f"overview of {found.customers:,} customers": found.overview, **found.pages}
    for what, times in named.items():
        if times is None:
            continue
        limit = FILTER_LIMIT_MS if what.startswith(("filter", "search", "sorted")) else ROWS_LIMIT_MS
        rows.append(
            Row(
                f"{what}, p99", f"{times.p99_ms:.0f} ms (p50 {times.p50_ms:.0f})", f"under {limit:.0f} ms",
                times.p99_ms / limit, times.p99_ms < limit,
            )
        )  # fmt: skip
        if times.database_p50_ms:
            rows.append(
                Row(
                    "  p50, against its list's query alone", f"{times.p50_ms:.0f} ms",
                    f"{times.database_p50_ms:.0f} ms", times.p50_ms / times.database_p50_ms,
                )
            )  # fmt: skip
    rows.append(Row("  the first page after the start", f"{found.first_ms:.0f} ms"))
    for what, took in found.browser_ms.items():
        limit = FILTER_LIMIT_MS if "filter" in what else ROWS_LIMIT_MS
        rows.append(Row(what, f"{took:.0f} ms", f"under {limit:.0f} ms", took / limit, took < limit))
    if (watched := found.watched) is not None:
        rows += [
            Row(
                f"{found.dashboards} open dashboards, memory of the web process",
                f"{watched.open_mb:.0f} MB ({watched.at_rest_mb:.0f} at rest)",
                f"under {MEMORY_LIMIT_MB:.0f} MB", watched.open_mb / MEMORY_LIMIT_MB,
                watched.open_mb < MEMORY_LIMIT_MB,
            ),
            Row(
                "  a change shown by a dashboard, p99",
                f"{watched.shown_p99_ms:.0f} ms (p50 {watched.shown_p50_ms:.0f})", f"under {SHOWN_LIMIT_MS:.0f} ms",
                watched.shown_p99_ms / SHOWN_LIMIT_MS, watched.shown_p99_ms < SHOWN_LIMIT_MS,
            ),
            Row(
                "  a change heard by a dashboard, p50 / worst",
                f"{watched.heard_p50_ms:.0f} / {watched.heard_worst_ms:.0f} ms",
            ),
            Row("  processors that the web process used", f"{watched.processors:.2f}"),
        ]  # fmt: skip
    return rows


@rows_of.register
def _serving_rows(found: Serving) -> list[Row]:
    limit, wanted = LIMIT_MS, f"under {LIMIT_MS:.0f} ms"
    rows = [
        Row(
            f"API reads of {found.customers:,} customers at {found.rate:.0f} a second, p99",
            f"{found.p99_ms:.1f} ms ({found.refused} refused)", wanted, found.p99_ms / limit,
            found.p99_ms < limit and not found.refused and found.rate >= 0.98 * found.rate_wanted,
        )
    ]  # fmt: skip
    for what, times in found.reads.items():
        measured = f"{times.p99_ms:.1f} ms (p50 {times.p50_ms:.1f})"
        rows += [
            Row(f"  {what}, p99", measured, wanted, times.p99_ms / limit, times.p99_ms < limit),
            Row(
                f"    at rest, against its {times.statements} statements alone", f"{times.rest_p50_ms:.1f} ms",
                f"{times.sql_p50_ms:.1f} ms (p99 {times.sql_p99_ms:.1f})", times.rest_p50_ms / times.sql_p50_ms,
            ),
        ]  # fmt: skip
    processes = ", ".join(f"{name} {spent:.2f}" for name, spent in found.cpu_ms.items())
    rows += [
        Row(
            "  CPU per read, the events' share included", f"{sum(found.cpu_ms.values()):.2f} ms ({processes})"
        ),
        Row(
            "  processors busy, and taken by other programs",
            f"{found.processors_busy:.2f}, {found.processors_taken:.2f}; {found.events} events meanwhile",
        ),
    ]
    return rows
