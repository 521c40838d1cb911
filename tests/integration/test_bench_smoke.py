"""The benchmark runs to its end, and a run is no longer than one written by hand. No time is looked at here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(560)
def test_the_benchmark_completes_and_the_engine_makes_no_more_events_than_a_hand_written_workflow(
    checkout: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.json"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(found)],
        cwd=checkout, env=environ, capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    measured = json.loads(found.read_text())
    assert measured["history"]["engine"] > 0
    assert measured["history"]["engine"] <= measured["history"]["rival"]
    assert (measured["latency"]["events"], measured["latency"]["lost"]) == (20, 0)
    assert (measured["milestones"]["events"], measured["milestones"]["lost"]) == (20, 0)
    assert measured["throughput"]["refused"] == 0
    assert measured["throughput"]["events"] == 200
    for what in ("Temporal events of a run", "HTTP event to provider, p50", "events decided"):
        assert what in done.stdout
