"""Runs: their rows, their steps, and what reaches them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata, one_of

runs = Table(
    "runs",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    customer(),
    Column("key", Text, nullable=False, server_default=""),
    Column("run_group", Text),
    Column("arm", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trigger", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("variants", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("health_at_entry", Double),
    Column("churn_at_entry", Double),
    Column("entered_at", instant(), nullable=False),
    Column("goal_by", instant()),
    Column("workflow_id", Text, nullable=False),
    Column("execution_id", Text),
    Column("next_start_at", instant()),
    Column("start_attempts", Integer, nullable=False, server_default=text("0")),
    Column("step", Text),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    # When `paused` was last made another, for those who watch.
    Column("pause_noted_at", instant()),
    # What ends the run before its steps do, once the evaluator has seen it: a message claimed after this can't leave.
    Column("interruption", JSONB),
    Column("outcome", Text),
    Column("reason", Text),
    Column("ended_at", instant()),
    # The trace that led to it (W3C Trace Context), where there is one.
    Column("traceparent", Text),
    CheckConstraint("(ended_at IS NULL) = (state <> 'ended')", name="ended"),
    one_of("arm", "arm", "treated", "held_out", "shadow"),
    one_of("state", "state", "starting", "running", "observed", "ended"),
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
    # In their order, for whoever looks whether each has its workflow.
    Index("runs_running_idx", "id", postgresql_where=text("state = 'running'")),
    Index("runs_goal_by_idx", "goal_by", postgresql_where=text("state = 'observed'")),
    Index("runs_customer_id_idx", "customer_id", "entered_at"),
    Index("runs_playbook_idx", "playbook", "entered_at"),
    Index("runs_entered_at_idx", "entered_at"),
    Index("runs_ended_at_idx", "ended_at"),
    Index("runs_pause_noted_at_idx", "pause_noted_at", postgresql_where=text("pause_noted_at IS NOT NULL")),
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
    Column("at", instant(), nullable=False),
    # What the step gave to later ones, as in {{ steps.ask.status }}.
    Column("output", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Index("run_steps_at_idx", "at"),
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
    Column("at", instant(), nullable=False),
    Column("occurrence", Integer, nullable=False, server_default=text("0")),
)

doorbells = Table(
    "doorbells",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("rings", Integer, nullable=False, server_default=text("1")),
    Column("next_at", instant(), nullable=False),
    Index("doorbells_next_at_idx", "next_at"),
)

waits = Table(
    "waits",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("occurrence", Integer, primary_key=True),
    customer(),
    Column("since", instant(), nullable=False),
    Column("until", instant(), nullable=False),
    Index("waits_customer_id_idx", "customer_id"),
)

# Exposures and outcomes outlive their customer, under an id that is nobody's: without them the counts would be wrong.
exposures = Table(
    "exposures",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("experiment", Text, primary_key=True),
    Column("variant", Text, nullable=False),
    Column("run_id", UUID(as_uuid=False), nullable=False),
    Column("at", instant(), nullable=False),
)

intervention_executions = Table(
    "intervention_executions",
    metadata,
    Column("run_id", UUID(as_uuid=False), primary_key=True),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("arm", Text, nullable=False),
    Column("triggered_at", instant(), nullable=False),
    Column("trigger_reason", Text, nullable=False),
    Column("health_score_at_trigger", Double),
    Column("executed_at", instant()),
    Column("completed_at", instant(), nullable=False),
    Column("success_measured", Boolean, nullable=False),
    Column("success_achieved", Boolean),
    Column("improvement_metrics", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("cost_to_execute", Numeric(12, 4), nullable=False, server_default=text("0")),
    Column("estimated_retention_value", Numeric(14, 2)),
    Column("outcome", Text, nullable=False),
    Column("outcome_notes", Text, nullable=False, server_default=""),
    Index("intervention_executions_playbook_idx", "playbook", "completed_at"),
)
