"""Playing one customer through three months: `holdfast simulate` as a whole command, its start included.

Every day of the playbook has a wait and a message, so that 90 of each are played.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.system import Say

ROOT = Path(__file__).parent.parent
LIMIT_SECONDS = 5.0
PLAYBOOK = """\
playbook: three-months
title: A message a day
owner: bench
status: draft
steps:
  - repeat:
      at_most: {days}
      steps:
        - wait: 1d
        - in_app: {{title: Hello, text: "Hello {{{{ customer.first_name }}}}"}}
"""
FACTS = {
    "customer": "c1",
    "now": "2026-03-02T09:00:00Z",
    "profile": {"first_name": "Ada"},
    "signals": {"plan": "pro"},
}


@dataclass(frozen=True)
class Simulating:
    """Seconds of the whole command, the median of several runs; `messages` that were sent in it."""

    days: int
    messages: int
    seconds: float


def measure(say: Say, *, days: int = 90, times: int = 3) -> Simulating:
    """Simulate `days` days, a wait and a message each."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        home = Path(name)
        (home / "three-months.yaml").write_text(PLAYBOOK.format(days=days))
        (home / "facts.json").write_text(json.dumps(FACTS))
        took, sent = [], 0
        for _ in range(times):
            begun = time.perf_counter()
            sent = _simulate(home)
            took.append(time.perf_counter() - begun)
    say(f"  {days} days, {sent} messages: {median(took):.1f} s")
    return Simulating(days, sent, median(took))


def _simulate(home: Path) -> int:
    command = [sys.executable, "-m", "cli.main", "simulate", str(home / "three-months.yaml")]
    done = subprocess.run(
        [*command, "--facts", str(home / "facts.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return sum(line.get("outcome") == "sent" for line in lines)
