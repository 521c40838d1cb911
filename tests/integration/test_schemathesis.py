"""The whole API against its own description, by schemathesis: no answer that isn't described, and never a 500."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loops.rollback import roll_back
from schemas.catalogue import load_catalogue
from tests.integration.web_edge import KEY, furnish, run_web

# `make fuzz` sets these: how much is tried per operation, for how long, and from which seed.
EXAMPLES = os.environ.get("HOLDFAST_FUZZ_EXAMPLES", "2")
SEED = os.environ.get("HOLDFAST_FUZZ_SEED", "20260302")
PHASES = os.environ.get("HOLDFAST_FUZZ_PHASES", "examples,coverage,fuzzing")
# An endless answer; a process that stands still for ten seconds until a worker decides, and there is none.
APART = ("/api/stream", "/api/customer-success/interventions/trigger")
NAMED = ("0", "00")
# What is left out, and why. `positive_data_acceptance`: what fits the schema may still name nobody.
# `unsupported_method`: pages live beside the API, under paths that take in every longer one.
LEFT_OUT = "positive_data_acceptance,unsupported_method"
# The tracking API refuses no call: what can't be taken becomes a dead letter.
TRACKING = """
[[operations]]
include-path-regex = "^/v1/"
checks.negative_data_rejection.enabled = false
"""


# So long the application waits for its database and Temporal here: what is slow isn't wrong.
PATIENCE_SECONDS = 120.0


@pytest.mark.timeout(600)
async def test_the_api_does_what_its_description_says(
    database_url: str, temporal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in (
        "api_health.ANSWER_SECONDS", "temporal_state.ANSWER_SECONDS", "executions.Executions.ANSWER_SECONDS",
        "executions.Executions.CONNECT_SECONDS",
    ):  # fmt: skip
        monkeypatch.setattr(f"web.{limit}", PATIENCE_SECONDS)
    catalogue, files = load_catalogue(), tmp_path / "playbooks"
    files.mkdir()
    # Where it is run, it is found by its name.
    (tmp_path / "schemathesis.toml").write_text(TRACKING)

    async def put_back(playbook: str, version: str, author: str, based_on: str | None) -> Mapping[str, Any]:
        return vars(
            await roll_back(web.other, files, catalogue, playbook, version, author=author, based_on=based_on)
        )

    given = {"HOLDFAST_RATE_PER_MINUTE": "0", "HOLDFAST_PLAYBOOKS": str(files)}
    async with run_web(database_url, temporal, roll_back=put_back, **given) as web:
        await furnish(web)
        # The ids that are guessed first.
        for name in NAMED:
            traits = {
                "createdAt": "2025-01-01T00:00:00Z",
                "monthly_price": 49,
                "subscription_status": "active",
            }
            await web.client.post("/v1/identify", json={"userId": name, "messageId": name, "traits": traits})
        words = [
            "-m", "schemathesis.cli", "run", f"{web.address}/openapi.json", "--header", f"Authorization: Bearer {KEY}",
            "--seed", SEED, "--max-examples", EXAMPLES, "--phases", PHASES, "--exclude-checks", LEFT_OUT,
            "--workers", "2", "--no-shrink", "--continue-on-failure", "--request-timeout", str(PATIENCE_SECONDS),
            # How quickly examples are made says something of the machine only.
            "--suppress-health-check", "all",
        ]  # fmt: skip
        for path in APART:
            words += ["--exclude-path", path]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )  # fmt: skip
        told, _ = await process.communicate()
    report = told.decode("utf-8", "replace")
    if place := os.environ.get("HOLDFAST_ARTIFACTS"):
        (Path(place) / "schemathesis.txt").write_text(report)
    assert process.returncode == 0, report[-20_000:]
    assert "0 errors" not in report or "passed" in report
