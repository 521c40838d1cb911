"""Health and churn per customer and day, the models that said so, the runs over everybody, and repairs of the past."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata, one_of

EMPTY_LIST = text("'[]'::jsonb")

# One row per customer and day. `midnight_score` is the score at the day's midnight (UTC), once known never changed but
# by a repair; `health_score` the latest of the day. `factors` are in the order of the model whose digest `model` is;
# the four scores named are those of its factors, 0–100, where it has them.
customer_health = Table(
    "customer_health",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("health_score", SmallInteger),
    Column("risk_level", Text),
    Column("midnight_score", SmallInteger),
    Column("previous_score", SmallInteger),
    Column("score_trend", Text),
    Column("enhanced_score", SmallInteger),
    Column("last_login", instant()),
    Column("feature_adoption_score", SmallInteger),
    Column("client_engagement_score", SmallInteger),
    Column("support_ticket_score", SmallInteger),
    Column("billing_health_score", SmallInteger),
    Column("factors", ARRAY(REAL), nullable=False, server_default=text("'{}'")),
    Column("model", Text, nullable=False),
    Column("intervention_triggered", Boolean, nullable=False, server_default=text("false")),
    Column("next_review_date", Date),
    Column("calculated_at", instant(), nullable=False),
    # How everybody stood on one day.
    Index("customer_health_day_idx", "day", "customer_id"),
    postgresql_partition_by="RANGE (day)",
)

# One row per customer and day. `churn_probability` is that of the policy's horizon; `source` says who predicted:
# model, health or rule_of_thumb. `actual_churn` is filled in once the horizon is over.
churn_predictions = Table(
    "churn_predictions",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("prediction_date", Date, primary_key=True),
    Column("churn_probability", Double, nullable=False),
    Column("within_30d", REAL),
    Column("within_60d", REAL),
    Column("within_90d", REAL),
    Column("risk_level", Text, nullable=False),
    Column("prediction_factors", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("reasons", JSONB, nullable=False, server_default=EMPTY_LIST),
    Column("predicted_churn_date", Date),
    Column("earliest_churn_date", Date),
    Column("latest_churn_date", Date),
    Column("source", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("model_confidence", Text, nullable=False),
    Column("intervention_recommended", Boolean, nullable=False),
    Column("intervention_priority", SmallInteger, nullable=False),
    Column("ltv_at_risk", Double),
    Column("prevention_cost_estimate", Double),
    Column("intervention_sent", Boolean, nullable=False, server_default=text("false")),
    Column("held_out", Boolean, nullable=False, server_default=text("false")),
    Column("actual_churn", Boolean),
    Column("calculated_at", instant(), nullable=False),
    # Who predicted on one day.
    Index("churn_predictions_day_idx", "prediction_date", "source", "customer_id"),
    postgresql_partition_by="RANGE (prediction_date)",
)

# `kind` health: the health score alone, recalibrated; what serves where the model doesn't.
churn_models = Table(
    "churn_models",
    metadata,
    Column("version", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("trained_at", instant(), nullable=False),
    Column("promoted_at", instant()),
    Column("retired_at", instant()),
    Column("approved_by", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("metrics", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    one_of("kind", "kind", "model", "health"),
    one_of("state", "state", "champion", "challenger", "retired", "refused"),
    Index("churn_models_champion_key", "kind", unique=True, postgresql_where=text("state = 'champion'")),
)

model_reports = Table(
    "model_reports",
    metadata,
    Column("day", Date, primary_key=True),
    Column("at", instant(), nullable=False),
    Column("report", JSONB, nullable=False),
)

population_runs = Table(
    "population_runs",
    metadata,
    Column("day", Date, primary_key=True),
    Column("started_at", instant(), nullable=False),
    Column("finished_at", instant()),
    Column("customers", Integer, nullable=False, server_default=text("0")),
    Column("health_model", Text, nullable=False, server_default=""),
    Column("churn_model", Text, nullable=False, server_default=""),
)

# A shard that is done; `requested` is how many of its customers the evaluator was asked to look at.
population_shards = Table(
    "population_shards",
    metadata,
    Column("day", Date, primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("scored", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("requested", Integer, nullable=False),
    Column("seconds", REAL, nullable=False),
    Column("finished_at", instant(), nullable=False),
)

scoring_failures = Table(
    "scoring_failures",
    metadata,
    Column("day", Date, primary_key=True),
    customer(primary_key=True),
    Column("code", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("at", instant(), nullable=False),
)

# Customers whose past is to be worked out again from `since` on; `whole`: their totals and latest values, too.
repairs = Table(
    "repairs",
    metadata,
    customer(primary_key=True),
    Column("since", Date, nullable=False),
    Column("whole", Boolean, nullable=False, server_default=text("false")),
    Column("reason", Text, nullable=False),
    Column("requested_at", instant(), nullable=False),
)

# What was said of an event afterwards: other `properties` or another time, or (both None) that it never happened. The
# event itself stays as it was sent.
corrections = Table(
    "corrections",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    customer(),
    Column("properties", JSONB),
    Column("occurred_at", instant()),
    Column("reason", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False),
    Column("at", instant(), nullable=False),
    Index("corrections_message_idx", "source", "message_id"),
    Index("corrections_customer_id_idx", "customer_id"),
)
