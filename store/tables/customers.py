"""Customers, what is known of them, and what they agreed to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
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
from sqlalchemy.types import TypeEngine

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata

# By which numbers are looked for, in whatever way they are written.
LAST_DIGITS = "right(regexp_replace(phone, '[^0-9]', '', 'g'), 4)"

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
    Column("created_at", instant(), nullable=False),
    CheckConstraint("external_id <> ''", name="external_id_not_empty"),
    # Whoever writes to us is known by their address.
    Index("customers_phone_idx", text(LAST_DIGITS)),
    Index("customers_email_idx", text("lower(btrim(email))")),
    Index("customers_csm_idx", "csm"),
    Index("customers_name_idx", text("lower(coalesce(business_name, first_name, external_id))"), "id"),
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
    "enhanced_score": NUMBER, "churn_probability": NUMBER, "churn_risk_level": TEXT_, "predicted_churn_date": DATE, "ltv_at_risk": NUMBER,
    "recent_features": LIST, "best_templates": LIST, "referrals": NUMBER, "recent_viral_activity": BOOL,
    "influencer": BOOL,
}  # fmt: skip

_COLUMN_TYPES: dict[str, TypeEngine[Any]] = {
    NUMBER: Double(),
    TEXT_: Text(),
    BOOL: Boolean(),
    TIME: instant(),
    DATE: Date(),
    LIST: ARRAY(Text),
}

signals = Table(
    "signals",
    metadata,
    customer(primary_key=True),
    *(Column(name, _COLUMN_TYPES[kind]) for name, kind in SIGNAL_COLUMNS.items()),
    Column("custom", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    # When each last-writer-wins signal was last set, by the time of the event that set it.
    Column("stamps", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("changed_at", instant(), nullable=False),
    CheckConstraint("health_score BETWEEN 0 AND 100", name="health_score_range"),
    CheckConstraint("churn_probability BETWEEN 0 AND 1", name="churn_probability_range"),
    Index("signals_risk_level_idx", "risk_level", "health_score", "customer_id"),
    Index("signals_health_score_idx", "health_score", "customer_id"),
    # Who can still be kept, the least healthy first: those who left have the lowest scores, and would be in between.
    Index(
        "signals_current_idx",
        "health_score",
        "customer_id",
        postgresql_where=text("subscription_status IS DISTINCT FROM 'cancelled'"),
    ),
    Index("signals_monthly_price_idx", "monthly_price", "customer_id"),
    Index("signals_ltv_at_risk_idx", "ltv_at_risk"),
    Index(
        "signals_churn_probability_idx",
        "churn_probability",
        postgresql_include=["ltv_at_risk", "churn_risk_level", "segment"],
    ),
    Index("signals_predicted_churn_date_idx", "predicted_churn_date", "customer_id"),
)

signal_history = Table(
    "signal_history",
    metadata,
    Column("customer_id", UUID(as_uuid=False), primary_key=True),
    Column("day", Date, primary_key=True),
    # 0 is what was known first; a repair appends another, and the highest is what holds.
    Column("revision", SmallInteger, primary_key=True, server_default=text("0")),
    *(Column(name, _COLUMN_TYPES[kind]) for name, kind in SIGNAL_COLUMNS.items()),
    Column("custom", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("known_at", instant(), nullable=False),
    postgresql_partition_by="RANGE (day)",
)

consents = Table(
    "consents",
    metadata,
    customer(primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("topic", Text, primary_key=True, server_default=""),
    Column("granted", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("at", instant(), nullable=False),
)

# What a customer is to reach on the way to success, and when they did.
success_milestones = Table(
    "success_milestones",
    metadata,
    customer(primary_key=True),
    Column("milestone_type", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("target_days", Integer, nullable=False),
    Column("achieved_at", instant()),
    Column("days_to_achieve", Integer),
    Column("celebrated", Boolean, nullable=False, server_default=text("false")),
    Column("celebration_sent_at", instant()),
    Column("is_critical_path", Boolean, nullable=False, server_default=text("false")),
    Column("weight_score", Double, nullable=False, server_default=text("10")),
    Column("metadata", JSONB, nullable=False, server_default=EMPTY_OBJECT),
)

# Every yes and no, in the order in which they became known; `consents` is where they stand.
consent_events = Table(
    "consent_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    customer(),
    Column("channel", Text, nullable=False),
    Column("topic", Text, nullable=False, server_default=""),
    Column("granted", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("at", instant(), nullable=False),
    Column("received_at", instant(), nullable=False),
    Index("consent_events_customer_id_idx", "customer_id", "at"),
)

# Suppressions that somebody took back.
suppression_lifts = Table(
    "suppression_lifts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("address_hash", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("at", instant(), nullable=False),
    Column("lifted_at", instant(), nullable=False),
    Column("lifted_by", Text, nullable=False),
    Index("suppression_lifts_address_hash_idx", "address_hash"),
)

# By the address's hash, so that it outlives the customer; one row per reason, as some are lifted and others stay.
suppressions = Table(
    "suppressions",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("address_hash", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("source", Text, nullable=False, server_default=""),
    Column("at", instant(), nullable=False),
    # Of a customer's addresses, whatever channel they are of, before every message.
    Index("suppressions_address_hash_idx", "address_hash"),
)
