"""Every table, as SQLAlchemy knows it. Migrations make them; a test holds the two together.

Times are timestamptz; ids that leave the system are random UUIDs; what grows without end (events, signal history,
health, predictions, decisions) is partitioned by month.
"""

from store.tables.access import api_keys
from store.tables.columns import metadata
from store.tables.customers import (
    SIGNAL_COLUMNS,
    consent_events,
    consents,
    customers,
    signal_history,
    signals,
    suppressions,
)
from store.tables.decisions import (
    alerts,
    comparisons,
    decision_counts,
    decisions,
    due,
    entry_requests,
    evaluations,
    standings,
    upkeep,
)
from store.tables.delivery import delivery_reports, hook_requests, inbound_messages, providers, push_tokens
from store.tables.events import dead_letters, event_ids, events, tallies
from store.tables.ledger import deliveries, rewards, tasks, team_turns
from store.tables.playbooks import file_problems, governance, playbook_versions, playbooks, publications
from store.tables.runs import (
    doorbells,
    exposures,
    intervention_executions,
    run_inbox,
    run_steps,
    runs,
    waits,
)
from store.tables.scoring import (
    churn_models,
    churn_predictions,
    corrections,
    customer_health,
    model_reports,
    population_runs,
    population_shards,
    repairs,
    scoring_failures,
)

__all__ = [
    "SIGNAL_COLUMNS", "alerts", "api_keys", "churn_models", "churn_predictions", "comparisons",
    "consent_events", "consents", "corrections", "customer_health", "customers", "dead_letters",
    "decision_counts", "decisions", "deliveries", "delivery_reports", "doorbells", "due",
    "entry_requests", "evaluations", "event_ids", "events", "exposures", "file_problems", "governance",
    "hook_requests", "inbound_messages", "intervention_executions", "metadata", "model_reports",
    "playbook_versions", "playbooks", "population_runs", "population_shards", "providers", "publications",
    "push_tokens", "repairs", "rewards", "run_inbox", "run_steps", "runs", "scoring_failures",
    "signal_history", "signals", "standings", "suppressions", "tallies", "tasks", "team_turns", "upkeep",
    "waits",
]  # fmt: skip
