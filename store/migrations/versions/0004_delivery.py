"""Delivery: what providers report, what comes in, consent with its history, providers that are parked, teams.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE deliveries
  ADD COLUMN status TEXT DEFAULT '' NOT NULL,
  ADD COLUMN status_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN delivered_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN opened_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN clicked_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN replied_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN critical BOOLEAN DEFAULT false NOT NULL,
  ADD COLUMN evidence JSONB DEFAULT '{}'::jsonb NOT NULL;

CREATE TABLE delivery_reports (
  provider TEXT NOT NULL,
  report_id TEXT NOT NULL,
  provider_id TEXT,
  delivery_id UUID,
  kind TEXT NOT NULL,
  detail JSONB DEFAULT '{}'::jsonb NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT delivery_reports_pkey PRIMARY KEY (provider, report_id)
);
CREATE INDEX delivery_reports_provider_id_idx ON delivery_reports (provider, provider_id);
CREATE INDEX delivery_reports_delivery_id_idx ON delivery_reports (delivery_id);
CREATE INDEX delivery_reports_received_at_idx ON delivery_reports (received_at);

CREATE TABLE hook_requests (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  source TEXT NOT NULL,
  request_id TEXT NOT NULL,
  body BYTEA NOT NULL,
  content_type TEXT DEFAULT '' NOT NULL,
  query TEXT DEFAULT '' NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  attempts INTEGER DEFAULT 0 NOT NULL,
  next_at TIMESTAMP WITH TIME ZONE,
  done_at TIMESTAMP WITH TIME ZONE,
  error TEXT,
  CONSTRAINT hook_requests_pkey PRIMARY KEY (id),
  CONSTRAINT hook_requests_source_key UNIQUE (source, request_id)
);
CREATE INDEX hook_requests_open_idx ON hook_requests (next_at) WHERE done_at IS NULL;

CREATE TABLE inbound_messages (
  id UUID NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  customer_id UUID,
  delivery_id UUID,
  address_hash TEXT NOT NULL,
  text TEXT NOT NULL,
  keyword TEXT,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT inbound_messages_pkey PRIMARY KEY (id),
  CONSTRAINT inbound_messages_provider_key UNIQUE (provider, provider_id),
  CONSTRAINT inbound_messages_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE INDEX inbound_messages_customer_id_idx ON inbound_messages (customer_id, at);
CREATE INDEX inbound_messages_address_hash_idx ON inbound_messages (channel, address_hash, at);

CREATE TABLE consent_events (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  customer_id UUID NOT NULL,
  channel TEXT NOT NULL,
  topic TEXT DEFAULT '' NOT NULL,
  granted BOOLEAN NOT NULL,
  source TEXT NOT NULL,
  evidence JSONB DEFAULT '{}'::jsonb NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT consent_events_pkey PRIMARY KEY (id),
  CONSTRAINT consent_events_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE INDEX consent_events_customer_id_idx ON consent_events (customer_id, at);
INSERT INTO consent_events (customer_id, channel, topic, granted, source, at, received_at)
  SELECT customer_id, channel, topic, granted, source, at, at FROM consents;

ALTER TABLE suppressions
  DROP CONSTRAINT suppressions_pkey,
  ADD CONSTRAINT suppressions_pkey PRIMARY KEY (channel, address_hash, reason),
  ADD COLUMN source TEXT DEFAULT '' NOT NULL;

CREATE TABLE providers (
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  state TEXT NOT NULL,
  code TEXT DEFAULT '' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  failures INTEGER DEFAULT 0 NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  until TIMESTAMP WITH TIME ZONE,
  CONSTRAINT providers_pkey PRIMARY KEY (channel, provider),
  CONSTRAINT providers_state_check CHECK (state IN ('ok', 'parked', 'resting'))
);

CREATE TABLE push_tokens (
  customer_id UUID NOT NULL,
  token_hash TEXT NOT NULL,
  kind TEXT NOT NULL,
  token TEXT NOT NULL,
  keys JSONB DEFAULT '{}'::jsonb NOT NULL,
  device TEXT DEFAULT '' NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  gone_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT push_tokens_pkey PRIMARY KEY (customer_id, token_hash),
  CONSTRAINT push_tokens_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE,
  CONSTRAINT push_tokens_kind_check CHECK (kind IN ('fcm', 'web'))
);

ALTER TABLE tasks
  ADD COLUMN team TEXT,
  ADD COLUMN taken_by TEXT,
  ADD COLUMN taken_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN remind_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN reminded_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN starts_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN calendar_sequence INTEGER DEFAULT 0 NOT NULL;

CREATE INDEX customers_phone_idx ON customers (phone);
CREATE INDEX customers_email_idx ON customers (lower(email));
CREATE INDEX deliveries_address_hash_idx ON deliveries (channel, address_hash, claimed_at);
CREATE INDEX tasks_remind_at_idx ON tasks (remind_at) WHERE state = 'open' AND reminded_at IS NULL;
"""


def upgrade() -> None:
    """Add what trustworthy delivery needs."""
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    """What was reported and consented to would be lost."""
    raise RuntimeError("0004 can't be undone; restore a backup of the database instead")
