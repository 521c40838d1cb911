"""Every metric that Holdfast exports: what it is called, what it counts, by which labels, and by whom it is told.

What a process counts itself are objects here, in one registry per process. What the database knows (`by` says both) is
described here and read by `store.metrics`. Labels take few values: routes and not paths, playbooks up to a number, no
customer, run or address ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

By = Literal["web", "worker", "both"]
Kind = Literal["counter", "gauge", "histogram"]

# When each series began is told by nobody's dashboard, and doubles what is told.
disable_created_metrics()  # type: ignore[no-untyped-call]
# What each kind of process counts itself.
REGISTRIES = {"web": CollectorRegistry(auto_describe=True), "worker": CollectorRegistry(auto_describe=True)}
# Playbooks beyond so many are counted together.
MOST_PLAYBOOKS = 200
OTHER = "other"


@dataclass(frozen=True)
class Described:
    """One metric as the documents tell it; `labels` are the names of its labels."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    by: By


DESCRIBED: list[Described] = []


def _counter(name: str, told: str, labels: Sequence[str], by: By) -> Counter:
    DESCRIBED.append(Described(name, "counter", tuple(labels), told, by))
    return Counter(name.removesuffix("_total"), told, labels, registry=REGISTRIES[by])


def _histogram(name: str, told: str, labels: Sequence[str], by: By, buckets: Sequence[float]) -> Histogram:
    DESCRIBED.append(Described(name, "histogram", tuple(labels), told, by))
    return Histogram(name, told, labels, buckets=tuple(buckets), registry=REGISTRIES[by])


def _gauge(name: str, told: str, labels: Sequence[str], by: By) -> Gauge:
    DESCRIBED.append(Described(name, "gauge", tuple(labels), told, by))
    return Gauge(name, told, labels, registry=REGISTRIES[by])


def _stored(name: str, told: str, *labels: str) -> Described:
    DESCRIBED.append(Described(name, "gauge", labels, told, "both"))
    return DESCRIBED[-1]


_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10)
_WORK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800)

HTTP_SECONDS = _histogram(
    "holdfast_http_request_duration_seconds",
    "From a request to the beginning of its answer, by the route's template",
    ("method", "route", "status"), "web", _ANSWERS,
)  # fmt: skip
INGESTED = _counter(
    "holdfast_ingest_calls_total", "Calls of the tracking API: accepted, or rejected as dead letters",
    ("result",), "web",
)  # fmt: skip
STREAM_LISTENERS = _gauge(
    "holdfast_stream_listeners", "Open event streams: pages and API clients that follow changes", (), "web"
)
EVALUATION_SECONDS = _histogram(
    "holdfast_evaluation_batch_duration_seconds", "How long one batch of customers took to be looked at",
    (), "worker", _WORK,
)  # fmt: skip
EVALUATION_LAG = _histogram(
    "holdfast_evaluation_lag_seconds", "From a change of a customer to the look at it", (), "worker", _WAITS
)
EVALUATED = _counter("holdfast_evaluations_total", "Customers looked at", (), "worker")
RUNS_STARTED = _counter(
    "holdfast_runs_started_total", "Runs begun, held-out ones included", ("playbook",), "worker"
)
RUNS_ENDED = _counter(
    "holdfast_runs_ended_total", "Runs closed, by what they came to", ("playbook", "outcome"), "worker"
)
DELIVERIES = _counter(
    "holdfast_deliveries_total",
    "Messages settled: accepted, failed, retrying or unknown, by the provider that had them last",
    ("channel", "provider", "state"), "worker",
)  # fmt: skip
REQUEST_SECONDS = _histogram(
    "holdfast_provider_request_duration_seconds",
    "One request to a provider: accepted, or the class of its failure",
    ("channel", "provider", "result"), "worker", _WORK,
)  # fmt: skip
ACCEPT_SECONDS = _histogram(
    "holdfast_claim_to_accept_duration_seconds",
    "From a message's claim in the ledger to its settlement after the provider took it",
    ("channel",), "worker", _WORK,
)  # fmt: skip
LOOP_FAILURES = _counter(
    "holdfast_loop_failures_total",
    "Rounds of a loop that ended in an error and are tried again",
    ("loop",),
    "worker",
)
ALERTS_TOLD = _counter(
    "holdfast_alert_webhook_requests_total",
    "Alerts sent to the alert webhook: taken or failed",
    ("result",),
    "worker",
)
POOL = _stored("holdfast_database_pool_connections", "This process's connections to the database", "state")

DATABASE_UP = _stored(
    "holdfast_database_up", "Whether the last reading of the figures below went well (1) or not (0)"
)
READ_AT = _stored(
    "holdfast_figures_timestamp_seconds", "When the figures below were read, by the database's clock"
)
QUEUE_AGE = _stored(
    "holdfast_queue_oldest_age_seconds", "How long the oldest entry of a queue has waited", "queue"
)
QUEUE_ENTRIES = _stored(
    "holdfast_queue_entries", "How many entries of a queue wait, counted up to 100,000", "queue"
)
PROVIDER_UP = _stored(
    "holdfast_provider_usable",
    "Whether a provider can be used (1), or is parked or resting (0)",
    "channel",
    "provider",
)
MARKETING_PARKED = _stored(
    "holdfast_marketing_parked", "1 where complaints parked what isn't critical", "channel"
)
DELAY = _stored(
    "holdfast_delivery_delay_seconds",
    "From claim to acceptance of the last hour's messages, by quantile",
    "quantile",
)
RUNS_OPEN = _stored("holdfast_runs_open", "Runs under way", "playbook", "arm")
TASKS_OPEN = _stored("holdfast_tasks_open", "Work that waits for people")
TASKS_OVERDUE = _stored("holdfast_tasks_overdue", "Work of those whose time is over")
ALERTS_OPEN = _stored("holdfast_alerts_open", "Open alerts", "severity")
DEAD_LETTERS = _stored("holdfast_dead_letters_recent", "Calls that couldn't be taken within 24 hours")
SUCCESS = _stored(
    "holdfast_intervention_success_ratio",
    "Of the treated runs that ended within 24 hours and were measured, those that succeeded",
)
MEASURED = _stored("holdfast_interventions_measured", "How many runs the success ratio is of")
POPULATION_AGE = _stored(
    "holdfast_population_run_age_seconds",
    "Since the last run over the population that is finished was finished",
)
POPULATION_DONE = _stored(
    "holdfast_population_run_progress_ratio", "Of the customers of the latest run, those who are done"
)
POPULATION_FAILED = _stored(
    "holdfast_population_run_failed_customers", "Customers whom the latest run couldn't score"
)
MODEL_STATUS = _stored(
    "holdfast_model_status",
    "1 for what the newest report says: unknown, healthy, warning or critical",
    "status",
)
MODEL_ACCURACY = _stored(
    "holdfast_model_accuracy_ratio", "Share of right predictions on matured, untreated customers"
)
MODEL_MAJORITY = _stored(
    "holdfast_model_majority_ratio",
    "What always saying the more frequent outcome gets right; beside accuracy",
)
MODEL_AUC = _stored("holdfast_model_auc_ratio", "How well the model ranks: area under the ROC curve")
MODEL_OE = _stored(
    "holdfast_model_observed_expected_ratio", "Who left over who was expected to, by 28-day outcomes"
)
MODEL_AGE = _stored("holdfast_model_age_seconds", "Since what predicts now was trained", "kind")
REPORT_AGE = _stored("holdfast_model_report_age_seconds", "Since the newest report on the model")

_playbooks: set[str] = set()


def bound_playbook(name: str) -> str:
    """`name`, or `other` where this process has counted too many different ones."""
    if name in _playbooks:
        return name
    if len(_playbooks) >= MOST_PLAYBOOKS:
        return OTHER
    _playbooks.add(name)
    return name


def write_table() -> str:
    """All metrics as a table in Markdown."""
    told = {"web": "web", "worker": "worker", "both": "web, worker"}
    lines = ["| metric | kind | labels | what | told by |", "|---|---|---|---|---|"]
    for one in DESCRIBED:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} | {told[one.by]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(write_table(), end="")
