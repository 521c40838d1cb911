"""What `holdfast doctor` says of Temporal, and of the workers that ask it for work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from cli.findings import Finding
from cli.workflow_findings import examine_workflows
from loops.temporal_health import examine_temporal
from schemas.population_run import BATCH_QUEUE
from schemas.run import RUN_QUEUE, SEND_QUEUE
from schemas.settings import Settings

QUEUES = (RUN_QUEUE, SEND_QUEUE)
SHORTEST_RETENTION_DAYS = 7


def examine_server(settings: Settings) -> Iterator[Finding]:
    """The server and its namespace, who works on its queues, and the workflows."""
    health = asyncio.run(examine_temporal(settings, (*QUEUES, BATCH_QUEUE)))
    kept = f"closed runs kept {health.retention_days:g} days"
    yield Finding(
        "temporal", health.retention_days >= SHORTEST_RETENTION_DAYS,
        f"{health.address} answers, namespace {health.namespace}, {kept}",
        f"temporal operator namespace update --retention 720h -n {health.namespace}",
    )  # fmt: skip
    wrong = health.wrong_attributes()
    yield Finding(
        "attributes", not wrong,
        f"not registered as Keyword: {', '.join(wrong)}" if wrong else "all search attributes are registered",
        "temporal operator search-attribute create -n " + health.namespace
        + "".join(f" --name {name} --type Keyword" for name in wrong),
    )  # fmt: skip
    idle = [queue for queue in QUEUES if health.pollers[queue] == 0]
    yield Finding(
        "worker", not idle,
        f"nobody works on {', '.join(idle)}" if idle else "works on " + ", ".join(QUEUES),
        "Start `holdfast worker` with the same environment; its log says why if it ends.",
    )  # fmt: skip
    batch = health.pollers[BATCH_QUEUE] > 0
    yield Finding(
        "batch worker", batch,
        f"works on {BATCH_QUEUE}" if batch
        else f"nobody works on {BATCH_QUEUE}: nobody is scored at night, no model is trained",
        "Start `holdfast worker --batch` with the same environment (or `--all` instead of the other one).",
    )  # fmt: skip
    yield from examine_workflows(settings, health)
