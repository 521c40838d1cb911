"""What the database knows as metrics: read in one round trip, at most every ten seconds, however often it is asked for."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from schemas import metrics
from schemas.metrics import MOST_PLAYBOOKS, REGISTRIES, Described
from store.database import DATABASE_AWAY, Database
from store.patience import within
from store.system_health import (
    DAY,
    LATENCY_MESSAGES,
    LATENCY_WITHIN,
    MOST_COUNTED,
    READ_ALERTS,
    READ_CHAMPIONS,
    READ_FIGURES,
    READ_LATENCY,
    READ_QUEUES,
)

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READ_EVERY_SECONDS = 10.0
# Whoever asks is answered with the last figures then; a worker's port answers within five seconds.
READ_WITHIN_SECONDS = 4.0
QUANTILES = ("0.5", "0.95")
SEVERITIES = ("info", "warning", "critical")
STATUSES = ("unknown", "healthy", "warning", "critical")
_PROCESS = ProcessCollector(registry=None)

_RUNS = (
    "SELECT playbook, arm, count(*) AS n FROM runs WHERE ended_at IS NULL GROUP BY 1, 2 "
    f"ORDER BY 3 DESC, 1, 2 LIMIT {MOST_PLAYBOOKS}"
)
_TASKS = "SELECT count(*) AS open, count(*) FILTER (WHERE due_at < :now) AS overdue FROM tasks WHERE state = 'open'"
_PROVIDERS = "SELECT channel, provider, state FROM providers ORDER BY 1, 2 LIMIT 100"
_PARKED = (
    "SELECT DISTINCT substr(kind, 18) AS channel FROM alerts "
    "WHERE resolved_at IS NULL AND starts_with(kind, 'marketing_parked:')"
)
_POPULATION = (
    "SELECT r.customers, (SELECT max(finished_at) FROM population_runs) AS finished_at, r.finished_at IS NOT NULL AS over, "
    "(SELECT sum(scored) FROM population_shards s WHERE s.day = r.day) AS scored, "
    "(SELECT sum(failed) FROM population_shards s WHERE s.day = r.day) AS failed "
    "FROM population_runs r ORDER BY day DESC LIMIT 1"
)
_MODEL = (
    "SELECT at, report->>'status' AS status, report#>'{matured,untreated,accuracy}' AS accuracy, "
    "report#>'{matured,untreated,majority_rate}' AS majority, report#>'{matured,untreated,auc}' AS auc, "
    "report#>'{early,overall,ratio}' AS observed_expected FROM model_reports ORDER BY day DESC LIMIT 1"
)


def _many(query: object) -> str:
    return f"(SELECT coalesce(json_agg(row_to_json(x)), '[]') FROM ({query}) x)"


def _one(query: object) -> str:
    return f"(SELECT row_to_json(x) FROM ({query}) x)"


# The parts are those of the alerts page (`store.system_health`), and what only metrics tell; asked as one.
_READ = text(
    "SELECT json_build_object('queues', " + _many(READ_QUEUES) + ", 'figures', " + _one(READ_FIGURES)
    + ", 'latency', " + _one(READ_LATENCY) + ", 'champions', " + _many(READ_CHAMPIONS) + ", 'alerts', " + _many(READ_ALERTS)
    + ", 'runs', " + _many(_RUNS) + ", 'tasks', " + _one(_TASKS) + ", 'providers', " + _many(_PROVIDERS)
    + ", 'parked', " + _many(_PARKED) + ", 'population', " + _one(_POPULATION) + ", 'model', " + _one(_MODEL)
    + ", 'now', extract(epoch FROM CAST(:now AS timestamptz))) AS told"
)  # fmt: skip
# Ages are told in seconds by the database, whose clock set the moments.
_AGES = text(
    "SELECT told, (SELECT json_object_agg(q->>'name', greatest(0, told_at - extract(epoch FROM "
    "CAST(q->>'oldest' AS timestamptz)))) FROM json_array_elements(told->'queues') q) AS ages, "
    "told_at - extract(epoch FROM CAST(told#>>'{population,finished_at}' AS timestamptz)) AS population_age, "
    "told_at - extract(epoch FROM CAST(told#>>'{model,at}' AS timestamptz)) AS report_age, "
    "(SELECT json_object_agg(c->>'kind', told_at - extract(epoch FROM CAST(c->>'trained_at' AS timestamptz))) "
    "FROM json_array_elements(told->'champions') c) AS model_ages "
    f"FROM (SELECT t.told, CAST(t.told->>'now' AS double precision) AS told_at FROM ({_READ}) t) y"
)

# One statement without parameters is one round trip; the others take a moment that was read before.
_MOMENTS = {
    "now": "statement_timestamp()",
    "day": f"(statement_timestamp() - interval '{DAY.total_seconds():.0f} seconds')",
    "since": f"(statement_timestamp() - interval '{LATENCY_WITHIN.total_seconds():.0f} seconds')",
    "most": str(max(MOST_COUNTED, LATENCY_MESSAGES)),
}
_STATEMENT = text(re.sub(r":(now|day|since|most)\b", lambda found: _MOMENTS[found[1]], str(_AGES)))

Sample = tuple[Sequence[str], float]


class Figures(Collector):
    """The database's figures, as of the last reading, and this process's connections, as of now."""

    def __init__(self, database: Database, *, read_every_seconds: float = READ_EVERY_SECONDS) -> None:
        self._database = database
        self._every = read_every_seconds
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._row: Mapping[str, Any] | None = None
        self._well = False
        self.readings = 0

    async def refresh(self) -> None:
        """Read anew unless that was done just now; whoever asks meanwhile waits for the same reading."""
        async with self._reading:
            if time.monotonic() - self._read_at < self._every:
                return
            self._read_at = time.monotonic()
            try:
                self._row = await within(READ_WITHIN_SECONDS, self._read())
                self._well = True
            except (*DATABASE_AWAY, OSError) as error:
                # What was read last stays, told to be old by its timestamp.
                self._well = False
                log.warning("the figures can't be read: %s", type(error).__name__)

    async def _read(self) -> Mapping[str, Any]:
        self.readings += 1
        async with self._database.single() as connection:
            return dict((await connection.execute(_STATEMENT)).one()._mapping)

    def collect(self) -> Iterable[Metric]:
        """The families, in the order in which they are described."""
        samples = self._sample_pool() | {metrics.DATABASE_UP: [((), float(self._well))]}
        if self._row is not None:
            samples |= dict(_sample(self._row))
        for described, values in samples.items():
            family = GaugeMetricFamily(described.name, described.help, labels=described.labels)
            for labels, value in values:
                family.add_metric(labels, value)
            yield family

    def _sample_pool(self) -> dict[Described, list[Sample]]:
        pool = self._database.engine.pool
        assert isinstance(pool, QueuePool)
        return {
            metrics.POOL: [
                (("used",), float(pool.checkedout())),
                (("free",), float(pool.size() - pool.checkedout())),
            ]
        }


async def expose(figures: Figures, by: Literal["web", "worker"]) -> bytes:
    """Everything that a process of this kind has to tell, in the text format of Prometheus."""
    await figures.refresh()
    others = CollectorRegistry()
    others.register(figures)
    others.register(_PROCESS)
    return generate_latest(REGISTRIES[by]) + generate_latest(others)


def _sample(row: Mapping[str, Any]) -> Iterator[tuple[Described, list[Sample]]]:
    told: Mapping[str, Any] = row["told"]
    ages = row["ages"] or {}
    yield metrics.READ_AT, [((), float(told["now"]))]
    yield metrics.QUEUE_AGE, [((one["name"],), float(ages.get(one["name"]) or 0)) for one in told["queues"]]
    yield metrics.QUEUE_ENTRIES, [((one["name"],), float(one["waiting"])) for one in told["queues"]]
    yield (
        metrics.PROVIDER_UP,
        [((one["channel"], one["provider"]), float(one["state"] == "ok")) for one in told["providers"]],
    )
    yield metrics.MARKETING_PARKED, [((one["channel"],), 1.0) for one in told["parked"]]
    delays = (told["latency"] or {}).get("seconds")
    if delays:
        yield metrics.DELAY, [((name,), float(value)) for name, value in zip(QUANTILES, delays, strict=True)]
    yield metrics.RUNS_OPEN, [((one["playbook"], one["arm"]), float(one["n"])) for one in told["runs"]]
    yield metrics.TASKS_OPEN, _plain(told["tasks"]["open"])
    yield metrics.TASKS_OVERDUE, _plain(told["tasks"]["overdue"])
    severities = {one["severity"]: one["n"] for one in told["alerts"]}
    yield metrics.ALERTS_OPEN, [((name,), float(severities.get(name, 0))) for name in SEVERITIES]
    figures = told["figures"]
    yield metrics.DEAD_LETTERS, _plain(figures["dead_letters"] or 0)
    yield metrics.MEASURED, _plain(figures["measured"])
    if figures["measured"]:
        yield metrics.SUCCESS, _plain(figures["succeeded"] / figures["measured"])
    yield from _sample_models(row, told)


def _sample_models(
    row: Mapping[str, Any], told: Mapping[str, Any]
) -> Iterator[tuple[Described, list[Sample]]]:
    """What was scored, and by what; figures that there are none of yet aren't told."""
    population, model = told["population"], told["model"]
    yield metrics.POPULATION_AGE, _plain(row["population_age"])
    if population:
        done = (population["scored"] or 0) + (population["failed"] or 0)
        share = 1.0 if population["over"] else min(1.0, done / max(population["customers"], 1))
        yield metrics.POPULATION_DONE, _plain(share)
        yield metrics.POPULATION_FAILED, _plain(population["failed"] or 0)
    if model:
        status = model["status"] or "unknown"
        yield metrics.MODEL_STATUS, [((name,), float(name == status)) for name in STATUSES]
        yield metrics.MODEL_ACCURACY, _plain(model["accuracy"])
        yield metrics.MODEL_MAJORITY, _plain(model["majority"])
        yield metrics.MODEL_AUC, _plain(model["auc"])
        yield metrics.MODEL_OE, _plain(model["observed_expected"])
        yield metrics.REPORT_AGE, _plain(row["report_age"])
    yield (
        metrics.MODEL_AGE,
        [((kind,), float(seconds)) for kind, seconds in (row["model_ages"] or {}).items()],
    )


def _plain(value: Any) -> list[Sample]:
    return [] if value is None else [((), float(value))]
