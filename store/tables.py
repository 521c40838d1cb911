"""Every table, as SQLAlchemy knows it. Migrations make them; a test holds the two together.

Times are timestamptz; ids that leave the system are random UUIDs; what grows without end (events, signal history,
decisions) is partitioned by month.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _instant() -> TypeEngine[Any]:
    return TIMESTAMP(timezone=True)


def _customer(*, primary_key: bool = False) -> Column[object]:
    return Column(
        "customer_id",
        UUID(as_uuid=False),
        ForeignKey("customers.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


def _one_of(name: str, column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=name)


EMPTY_OBJECT = text("'{}'::jsonb")

customers = Table(
    "customers",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True, server_default=text("gen_random_uuid()")),
    Column("external_id", Text, nullable=False, unique=True),
    Column("first_name", Text),
    Column("business_name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("timezone", Text),
    Column("locale", Text),
    Column("csm", Text),
    Column("traits", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("demo", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", _instant(), nullable=False),
    CheckConstraint("external_id <> ''", name="external_id_not_empty"),
)

# The catalogue's core signals have typed columns; others live in `custom`. A test keeps this list and the
# catalogue in step.
NUMBER, TEXT_, BOOL, TIME, DATE, LIST = "number", "text", "bool", "time", "date", "list"
SIGNAL_COLUMNS: dict[str, str] = {
    "plan": TEXT_, "subscription_status": TEXT_, "monthly_price": NUMBER, "team_size": NUMBER,
    "vendor_type": TEXT_, "segment": TEXT_, "country": TEXT_, "tags": LIST, "renewal_date": DATE,
    "trial_ends_at": TIME, "signed_up_at": TIME, "last_login": TIME, "last_milestone_at": TIME,
    "session_count_30d": NUMBER, "active_days_30d": NUMBER, "avg_session_minutes": NUMBER,
    "usage_drop_percent": NUMBER, "unique_features_used": NUMBER, "features_adopted": NUMBER,
    "forms_created": NUMBER, "clients_imported": NUMBER, "journeys_created": NUMBER, "templates_used": NUMBER,
    "clients_total": NUMBER, "clients_active_30d": NUMBER, "form_completion_rate": NUMBER,
    "journey_performance": NUMBER, "support_tickets_30d": NUMBER, "open_tickets": NUMBER,
    "last_support_rating": NUMBER, "avg_support_rating_30d": NUMBER, "failed_payments_30d": NUMBER,
    "milestones_completed": NUMBER, "critical_milestones_done": NUMBER, "critical_milestones_total": NUMBER,
    "health_score": NUMBER, "risk_level": TEXT_, "health_trend": TEXT_, "avg_health_30d": NUMBER,
    "churn_probability": NUMBER, "churn_risk_level": TEXT_, "predicted_churn_date": DATE, "ltv_at_risk": NUMBER,
    "recent_features": LIST, "best_templates": LIST, "referrals": NUMBER, "recent_viral_activity": BOOL,
    "influencer": BOOL,
}  # fmt: skip

_COLUMN_TYPES: dict[str, TypeEngine[Any]] = {
    NUMBER: Double(),
    TEXT_: Text(),
    BOOL: Boolean(),
    TIME: _instant(),
    DATE: Date(),
    LIST: ARRAY(Text),
}

signals = Table(
    "signals",
    metadata,
    _customer(primary_key=True),
    *(Column(name, _COLUMN_TYPES[kind]) for name, kind in SIGNAL_COLUMNS.items()),
    Column("custom", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    # When each last-writer-wins signal was last set, by the time of the event that set it.
    Column("stamps", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("changed_at", _instant(), nullable=False),
    CheckConstraint("health_score BETWEEN 0 AND 100", name="health_score_range"),
    CheckConstraint("churn_probability BETWEEN 0 AND 1", name="churn_probability_range"),
    Index("signals_risk_level_idx", "risk_level"),
)

signal_history = Table(
    "signal_history",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("values", JSONB, nullable=False),
    Column("known_at", _instant(), nullable=False),
    postgresql_partition_by="RANGE (day)",
)

events = Table(
    "events",
    metadata,
    # The client's own UTC day is part of the key because a partitioned table's unique keys hold its partition key.
    Column("day", Date, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("name", Text, nullable=False),
    Column("at", _instant(), nullable=False),
    Column("received_at", _instant(), nullable=False),
    Column("properties", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Index("events_customer_id_idx", "customer_id", "name", "at"),
    postgresql_partition_by="RANGE (day)",
)

# Events without a timestamp have no day of their own: their ids are remembered here instead.
event_ids = Table(
    "event_ids",
    metadata,
    Column("source", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("received_at", _instant(), nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("detail", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("total", Double, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("received_at", _instant(), nullable=False),
    Column("source", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    # One row per broken message, however often its sender repeats it.
    Column("digest", Text, nullable=False, unique=True),
    Column("times", Integer, nullable=False, server_default=text("1")),
    Index("dead_letters_received_at_idx", "received_at"),
)

playbooks = Table(
    "playbooks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False),
    # The live definition, limits included: limits make no version.
    Column("compiled", JSONB, nullable=False),
    Column("file", Text, nullable=False),
    Column("updated_at", _instant(), nullable=False),
    _one_of("status", "status", "draft", "shadow", "live", "paused", "retired"),
)

playbook_versions = Table(
    "playbook_versions",
    metadata,
    Column("playbook", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("compiled", JSONB, nullable=False),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("published_at", _instant(), nullable=False),
)

# Everything that was ever made live, in order: who did it, when, from which text. A change of limits is here too.
publications = Table(
    "publications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # A playbook's name, or `policy`.
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("at", _instant(), nullable=False),
    _one_of("kind", "kind", "playbook", "policy", "retired", "rollback"),
    Index("publications_name_idx", "name", "id"),
)

# The files that can't be made live as they stand, with what is wrong; a file that is mended leaves.
file_problems = Table(
    "file_problems",
    metadata,
    Column("file", Text, primary_key=True),
    Column("problems", JSONB, nullable=False),
    Column("at", _instant(), nullable=False),
)

# What the nightly comparison of evaluators found.
comparisons = Table(
    "comparisons",
    metadata,
    Column("at", _instant(), primary_key=True),
    Column("customers", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("differences", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("at", _instant(), nullable=False),
    Column("resolved_at", _instant()),
    Index("alerts_open_idx", "at", postgresql_where=text("resolved_at IS NULL")),
)

governance = Table(
    "governance",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("updated_at", _instant(), nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    _customer(primary_key=True),
    Column("since", _instant(), nullable=False),
    Column("changed", ARRAY(Text), nullable=False),
    Column("everything", Boolean, nullable=False, server_default=text("false")),
    Index("evaluations_since_idx", "since"),
)

due = Table(
    "due",
    metadata,
    _customer(primary_key=True),
    Column("at", _instant(), nullable=False),
    Index("due_at_idx", "at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _instant(), primary_key=True),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("until", _instant()),
    Column("run_id", UUID(as_uuid=False)),
    Column("checks", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Index("decisions_customer_id_idx", "customer_id", "at"),
    Index("decisions_playbook_idx", "playbook", "at"),
    Index("decisions_at_idx", "at"),
    postgresql_partition_by="RANGE (at)",
)

# Where each customer stands with each playbook whose condition held: a decision is logged when this changes.
standings = Table(
    "standings",
    metadata,
    _customer(primary_key=True),
    Column("playbook", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", _instant(), nullable=False),
)

decision_counts = Table(
    "decision_counts",
    metadata,
    Column("playbook", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    _customer(),
    Column("key", Text, nullable=False, server_default=""),
    Column("run_group", Text),
    Column("arm", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trigger", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("variants", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("health_at_entry", Double),
    Column("churn_at_entry", Double),
    Column("entered_at", _instant(), nullable=False),
    Column("goal_by", _instant()),
    Column("workflow_id", Text, nullable=False),
    Column("execution_id", Text),
    Column("next_start_at", _instant()),
    Column("start_attempts", Integer, nullable=False, server_default=text("0")),
    Column("step", Text),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    # What ends the run before its steps do, once the evaluator has seen it: a message claimed after this can't leave.
    Column("interruption", JSONB),
    Column("outcome", Text),
    Column("reason", Text),
    Column("ended_at", _instant()),
    CheckConstraint("(ended_at IS NULL) = (state <> 'ended')", name="ended"),
    _one_of("arm", "arm", "treated", "held_out", "shadow"),
    _one_of("state", "state", "starting", "running", "observed", "ended"),
    # A shadow run stands in nobody's way.
    Index(
        "runs_open_playbook_key", "customer_id", "playbook", "key",
        unique=True, postgresql_where=text("ended_at IS NULL AND arm <> 'shadow'"),
    ),
    Index(
        "runs_open_shadow_key", "customer_id", "playbook", "key",
        unique=True, postgresql_where=text("ended_at IS NULL AND arm = 'shadow'"),
    ),
    Index(
        "runs_open_group_key", "customer_id", "run_group",
        unique=True, postgresql_where=text("ended_at IS NULL AND run_group IS NOT NULL AND arm <> 'shadow'"),
    ),
    Index("runs_open_version_idx", "playbook", "version", postgresql_where=text("ended_at IS NULL")),
    Index("runs_next_start_at_idx", "next_start_at", postgresql_where=text("state = 'starting'")),
    Index("runs_goal_by_idx", "goal_by", postgresql_where=text("state = 'observed'")),
    Index("runs_customer_id_idx", "customer_id", "entered_at"),
    Index("runs_playbook_idx", "playbook", "entered_at"),
    Index("runs_entered_at_idx", "entered_at"),
    Index("runs_ended_at_idx", "ended_at"),
)  # fmt: skip

# What each step came to, in order: the trace that outlives Temporal's retention, and where a lost run goes on.
run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("occurrence", Integer, primary_key=True),
    Column("word", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("at", _instant(), nullable=False),
    # What the step gave to later ones, as in {{ steps.ask.status }}.
    Column("output", JSONB, nullable=False, server_default=EMPTY_OBJECT),
)

run_inbox = Table(
    "run_inbox",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("step", Text),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("at", _instant(), nullable=False),
    Column("occurrence", Integer, nullable=False, server_default=text("0")),
)

doorbells = Table(
    "doorbells",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("rings", Integer, nullable=False, server_default=text("1")),
    Column("next_at", _instant(), nullable=False),
    Index("doorbells_next_at_idx", "next_at"),
)

waits = Table(
    "waits",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("occurrence", Integer, primary_key=True),
    _customer(),
    Column("since", _instant(), nullable=False),
    Column("until", _instant(), nullable=False),
    Index("waits_customer_id_idx", "customer_id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    _customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("topic", Text),
    Column("template", Text),
    Column("address_hash", Text),
    Column("content", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("error_code", Text),
    Column("error", Text),
    Column("cost", Numeric(12, 6), nullable=False, server_default=text("0")),
    Column("created_at", _instant(), nullable=False),
    Column("claimed_at", _instant()),
    Column("settled_at", _instant()),
    Column("reconciled_at", _instant()),
    Column("seen_at", _instant()),
    UniqueConstraint("run_id", "step", "occurrence"),
    _one_of("state", "state", "claimed", "retrying", "accepted", "failed", "unknown", "skipped"),
    Index("deliveries_customer_id_idx", "customer_id", "claimed_at"),
    Index("deliveries_unsettled_idx", "claimed_at", postgresql_where=text("state IN ('claimed', 'unknown')")),
    Index("deliveries_provider_id_idx", "provider", "provider_id"),
    Index("deliveries_created_at_idx", "created_at"),
    Index("deliveries_settled_at_idx", "settled_at"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    _customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("about", Text, nullable=False, server_default=""),
    Column("assignee", Text, nullable=False),
    Column("escalated_to", Text),
    Column("outcomes", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("notes", Text, nullable=False, server_default=""),
    Column("completed_by", Text),
    Column("created_at", _instant(), nullable=False),
    Column("due_at", _instant(), nullable=False),
    Column("escalate_at", _instant()),
    Column("give_up_at", _instant(), nullable=False),
    Column("closed_at", _instant()),
    UniqueConstraint("run_id", "step", "occurrence"),
    _one_of("kind", "kind", "call", "task"),
    _one_of("state", "state", "open", "done", "overdue", "cancelled"),
    Index("tasks_assignee_idx", "assignee", "due_at", postgresql_where=text("state = 'open'")),
)

rewards = Table(
    "rewards",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    _customer(),
    Column("step", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("feature", Text, nullable=False),
    Column("granted_at", _instant(), nullable=False),
    # None: for good.
    Column("until", _instant()),
    Column("revoked_at", _instant()),
    UniqueConstraint("run_id", "step", "occurrence"),
    Index("rewards_customer_id_idx", "customer_id", "feature"),
    Index("rewards_until_idx", "until", postgresql_where=text("revoked_at IS NULL")),
)

consents = Table(
    "consents",
    metadata,
    _customer(primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("topic", Text, primary_key=True, server_default=""),
    Column("granted", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("at", _instant(), nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("address_hash", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", _instant(), nullable=False),
)

exposures = Table(
    "exposures",
    metadata,
    _customer(primary_key=True),
    Column("experiment", Text, primary_key=True),
    Column("variant", Text, nullable=False),
    Column("run_id", UUID(as_uuid=False), nullable=False),
    Column("at", _instant(), nullable=False),
)

intervention_executions = Table(
    "intervention_executions",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    _customer(),
    Column("arm", Text, nullable=False),
    Column("triggered_at", _instant(), nullable=False),
    Column("trigger_reason", Text, nullable=False),
    Column("health_score_at_trigger", Double),
    Column("executed_at", _instant()),
    Column("completed_at", _instant(), nullable=False),
    Column("success_measured", Boolean, nullable=False),
    Column("success_achieved", Boolean),
    Column("improvement_metrics", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("cost_to_execute", Numeric(12, 4), nullable=False, server_default=text("0")),
    Column("estimated_retention_value", Numeric(14, 2)),
    Column("outcome", Text, nullable=False),
    Column("outcome_notes", Text, nullable=False, server_default=""),
    Index("intervention_executions_playbook_idx", "playbook", "completed_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("secret_hash", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", _instant(), nullable=False),
)

# What people and services ask for by hand; the evaluator decides, as on everything else, and answers here.
entry_requests = Table(
    "entry_requests",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    _customer(),
    Column("playbook", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_at", _instant(), nullable=False),
    Column("decided_at", _instant()),
    Column("decision", Text),
    Column("detail", Text, nullable=False, server_default=""),
    Column("run_id", UUID(as_uuid=False)),
    Index("entry_requests_open_idx", "customer_id", postgresql_where=text("decided_at IS NULL")),
)

upkeep = Table(
    "upkeep",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", _instant(), nullable=False),
)
