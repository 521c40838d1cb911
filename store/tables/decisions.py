"""Who is to be looked at, what was decided, and why."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata, one_of

evaluations = Table(
    "evaluations",
    metadata,
    customer(primary_key=True),
    Column("since", instant(), nullable=False),
    Column("changed", ARRAY(Text), nullable=False),
    Column("everything", Boolean, nullable=False, server_default=text("false")),
    # The trace that asked for it (W3C Trace Context), where there is one.
    Column("traceparent", Text),
    Index("evaluations_since_idx", "since"),
)

due = Table(
    "due",
    metadata,
    customer(primary_key=True),
    Column("at", instant(), nullable=False),
    Index("due_at_idx", "at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", instant(), primary_key=True),
    Column("customer_id", UUID(as_uuid=False), nullable=False),
    Column("playbook", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("until", instant()),
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
    customer(primary_key=True),
    Column("playbook", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", instant(), nullable=False),
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

# What people and services ask for by hand; the evaluator decides, as on everything else, and answers here.
entry_requests = Table(
    "entry_requests",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    customer(),
    Column("playbook", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_at", instant(), nullable=False),
    Column("decided_at", instant()),
    Column("decision", Text),
    Column("detail", Text, nullable=False, server_default=""),
    Column("run_id", UUID(as_uuid=False)),
    Column("priority", Text),
    # What whoever asked wants said, in their own words: templates of the run may use it.
    Column("customization", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("asked_by", Text, nullable=False, server_default=""),
    # Those that were asked for together.
    Column("batch", UUID(as_uuid=False)),
    # What the preview of a batch said would be decided.
    Column("expected", Text),
    one_of("priority", "priority", "low", "medium", "high", "critical"),
    Index("entry_requests_batch_idx", "batch", postgresql_where=text("batch IS NOT NULL")),
    Index("entry_requests_open_idx", "customer_id", postgresql_where=text("decided_at IS NULL")),
)

# What the nightly comparison of evaluators found.
comparisons = Table(
    "comparisons",
    metadata,
    Column("at", instant(), primary_key=True),
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
    Column("at", instant(), nullable=False),
    Column("resolved_at", instant()),
    Column("severity", Text, nullable=False, server_default="warning"),
    Column("acknowledged_at", instant()),
    Column("acknowledged_by", Text),
    # When the alert webhook took it last, what it was told then, and when what is to be told next is tried again.
    Column("told_at", instant()),
    Column("told_as", Text, nullable=False, server_default=""),
    Column("tell_attempts", Integer, nullable=False, server_default=text("0")),
    Column("tell_next_at", instant()),
    one_of("severity", "severity", "info", "warning", "critical"),
    one_of("told_as", "told_as", "", "info", "warning", "critical", "resolved"),
    Index(
        "alerts_over_idx", "id", postgresql_where=text("resolved_at IS NOT NULL AND told_as <> 'resolved'")
    ),
    Index("alerts_open_idx", "at", postgresql_where=text("resolved_at IS NULL")),
)

upkeep = Table(
    "upkeep",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", instant(), nullable=False),
)
