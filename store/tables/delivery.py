"""What comes back from providers and customers, and which providers can be used."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from store.tables.columns import EMPTY_OBJECT, customer, instant, metadata, one_of

# Everything that a provider said of a message, once each; one that is about no delivery that we know is kept, too.
delivery_reports = Table(
    "delivery_reports",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("report_id", Text, primary_key=True),
    Column("provider_id", Text),
    Column("delivery_id", UUID(as_uuid=False)),
    Column("kind", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("at", instant(), nullable=False),
    Column("received_at", instant(), nullable=False),
    Index("delivery_reports_provider_id_idx", "provider", "provider_id"),
    Index("delivery_reports_delivery_id_idx", "delivery_id"),
    Index("delivery_reports_received_at_idx", "received_at"),
)

# Verified requests as they came: stored and acknowledged first, worked on afterwards.
hook_requests = Table(
    "hook_requests",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", Text, nullable=False, server_default=""),
    Column("query", Text, nullable=False, server_default=""),
    Column("received_at", instant(), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", instant()),
    Column("done_at", instant()),
    Column("error", Text),
    UniqueConstraint("source", "request_id", name="hook_requests_source_key"),
    Index("hook_requests_open_idx", "next_at", postgresql_where=text("done_at IS NULL")),
    Index("hook_requests_received_at_idx", "received_at"),
    Index("hook_requests_given_up_idx", "done_at", postgresql_where=text("error IS NOT NULL")),
)

# What customers wrote to us; `keyword` is what it was understood as: stop, start, help.
inbound_messages = Table(
    "inbound_messages",
    metadata,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    customer(nullable=True),
    Column("delivery_id", UUID(as_uuid=False)),
    Column("address_hash", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("keyword", Text),
    Column("at", instant(), nullable=False),
    Column("received_at", instant(), nullable=False),
    UniqueConstraint("provider", "provider_id", name="inbound_messages_provider_key"),
    Index("inbound_messages_customer_id_idx", "customer_id", "at"),
    Index("inbound_messages_address_hash_idx", "channel", "address_hash", "at"),
)

# ok; parked: it refuses us until somebody changes something; resting: it failed too often, until `until`.
providers = Table(
    "providers",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("code", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("since", instant(), nullable=False),
    Column("until", instant()),
    one_of("state", "state", "ok", "parked", "resting"),
)

push_tokens = Table(
    "push_tokens",
    metadata,
    customer(primary_key=True),
    Column("token_hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("keys", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("device", Text, nullable=False, server_default=""),
    Column("created_at", instant(), nullable=False),
    Column("seen_at", instant(), nullable=False),
    Column("gone_at", instant()),
    one_of("kind", "kind", "fcm", "web"),
)
