"""Who may come in and what they did: people, sessions, roles of keys, audit, saved views; milestones; erasures.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHANGES = """
CREATE TABLE people (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  password_hash TEXT,
  oidc_issuer TEXT,
  oidc_subject TEXT,
  active BOOLEAN DEFAULT true NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  signed_in_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT people_pkey PRIMARY KEY (id),
  CONSTRAINT people_role_check CHECK (role IN ('csm', 'ops', 'admin'))
);
CREATE UNIQUE INDEX people_email_idx ON people (lower(email));
CREATE UNIQUE INDEX people_oidc_idx ON people (oidc_issuer, oidc_subject);

CREATE TABLE sessions (
  token_hash TEXT NOT NULL,
  person_id UUID NOT NULL,
  csrf TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  agent TEXT DEFAULT '' NOT NULL,
  CONSTRAINT sessions_pkey PRIMARY KEY (token_hash),
  CONSTRAINT sessions_person_id_fkey FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
);
CREATE INDEX sessions_person_id_idx ON sessions (person_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE sign_in_links (
  token_hash TEXT NOT NULL,
  person_id UUID NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
  used_at TIMESTAMP WITH TIME ZONE,
  sets_password BOOLEAN DEFAULT true NOT NULL,
  CONSTRAINT sign_in_links_pkey PRIMARY KEY (token_hash),
  CONSTRAINT sign_in_links_person_id_fkey FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
);

CREATE TABLE sign_in_failures (
  subject_hash TEXT NOT NULL,
  failures INTEGER NOT NULL,
  last_at TIMESTAMP WITH TIME ZONE NOT NULL,
  blocked_until TIMESTAMP WITH TIME ZONE,
  CONSTRAINT sign_in_failures_pkey PRIMARY KEY (subject_hash)
);

ALTER TABLE api_keys
  ADD COLUMN role TEXT DEFAULT 'service' NOT NULL,
  ADD COLUMN per_minute INTEGER,
  ADD COLUMN created_by TEXT DEFAULT '' NOT NULL,
  ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE,
  ADD CONSTRAINT api_keys_role_check CHECK (role IN ('csm', 'ops', 'admin', 'service'));

CREATE TABLE audit_log (
  id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  action TEXT NOT NULL,
  object_kind TEXT NOT NULL,
  object_id TEXT NOT NULL,
  before JSONB,
  after JSONB,
  request_id TEXT DEFAULT '' NOT NULL,
  CONSTRAINT audit_log_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_log_at_idx ON audit_log (at);
CREATE INDEX audit_log_object_idx ON audit_log (object_kind, object_id, at);
CREATE INDEX audit_log_actor_idx ON audit_log (actor_id, at);

CREATE TABLE saved_views (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  owner TEXT NOT NULL,
  page TEXT NOT NULL,
  name TEXT NOT NULL,
  query JSONB NOT NULL,
  shared BOOLEAN DEFAULT false NOT NULL,
  is_default BOOLEAN DEFAULT false NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT saved_views_pkey PRIMARY KEY (id),
  CONSTRAINT saved_views_owner_key UNIQUE (owner, page, name)
);
CREATE UNIQUE INDEX saved_views_default_key ON saved_views (owner, page) WHERE is_default;

ALTER TABLE entry_requests
  ADD COLUMN priority TEXT,
  ADD COLUMN customization JSONB DEFAULT '{}'::jsonb NOT NULL,
  ADD COLUMN asked_by TEXT DEFAULT '' NOT NULL,
  ADD CONSTRAINT entry_requests_priority_check CHECK (priority IN ('low', 'medium', 'high', 'critical'));

CREATE TABLE success_milestones (
  customer_id UUID NOT NULL,
  milestone_type TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT DEFAULT '' NOT NULL,
  target_days INTEGER NOT NULL,
  achieved_at TIMESTAMP WITH TIME ZONE,
  days_to_achieve INTEGER,
  celebrated BOOLEAN DEFAULT false NOT NULL,
  celebration_sent_at TIMESTAMP WITH TIME ZONE,
  is_critical_path BOOLEAN DEFAULT false NOT NULL,
  weight_score DOUBLE PRECISION DEFAULT 10 NOT NULL,
  metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
  CONSTRAINT success_milestones_pkey PRIMARY KEY (customer_id, milestone_type),
  CONSTRAINT success_milestones_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

ALTER TABLE alerts
  ADD COLUMN severity TEXT DEFAULT 'warning' NOT NULL,
  ADD COLUMN acknowledged_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN acknowledged_by TEXT,
  ADD COLUMN told_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN told_as TEXT DEFAULT '' NOT NULL,
  ADD COLUMN tell_attempts INTEGER DEFAULT 0 NOT NULL,
  ADD COLUMN tell_next_at TIMESTAMP WITH TIME ZONE,
  ADD CONSTRAINT alerts_severity_check CHECK (severity IN ('info', 'warning', 'critical')),
  ADD CONSTRAINT alerts_told_as_check CHECK (told_as IN ('', 'info', 'warning', 'critical', 'resolved'));
CREATE INDEX alerts_over_idx ON alerts (id) WHERE resolved_at IS NOT NULL AND told_as <> 'resolved';

CREATE INDEX deliveries_state_idx ON deliveries (state, created_at) WHERE state <> 'accepted';
CREATE INDEX deliveries_status_idx ON deliveries (status, created_at) WHERE status NOT IN ('', 'delivered');
CREATE INDEX deliveries_channel_idx ON deliveries (channel, created_at);
CREATE INDEX deliveries_critical_idx ON deliveries (created_at) WHERE critical;
CREATE INDEX deliveries_seen_at_idx ON deliveries (seen_at) WHERE seen_at IS NOT NULL;
CREATE INDEX run_steps_at_idx ON run_steps (at);
CREATE INDEX tasks_changed_idx ON tasks (GREATEST(created_at, closed_at, taken_at, reminded_at));
CREATE INDEX rewards_changed_idx ON rewards (GREATEST(granted_at, revoked_at));
CREATE INDEX hook_requests_received_at_idx ON hook_requests (received_at);
CREATE INDEX hook_requests_given_up_idx ON hook_requests (done_at) WHERE error IS NOT NULL;

CREATE TABLE erasures (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  customer_id UUID NOT NULL,
  external_id_hash TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
  state TEXT NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  allowed_again_at TIMESTAMP WITH TIME ZONE,
  detail JSONB DEFAULT '{}'::jsonb NOT NULL,
  CONSTRAINT erasures_pkey PRIMARY KEY (id),
  CONSTRAINT erasures_state_check CHECK (state IN ('fenced', 'cancelling', 'erasing', 'done'))
);
CREATE INDEX erasures_customer_id_idx ON erasures (customer_id);
CREATE INDEX erasures_external_id_hash_idx ON erasures (external_id_hash);
CREATE INDEX erasures_unfinished_idx ON erasures (requested_at) WHERE state <> 'done';

ALTER TABLE exposures DROP CONSTRAINT exposures_customer_id_fkey;
ALTER TABLE intervention_executions
  DROP CONSTRAINT intervention_executions_customer_id_fkey,
  DROP CONSTRAINT intervention_executions_run_id_fkey;

CREATE TABLE notices (
  id UUID NOT NULL,
  number BIGINT GENERATED ALWAYS AS IDENTITY,
  customer_id UUID NOT NULL,
  task_id UUID NOT NULL,
  kind TEXT NOT NULL,
  recipient TEXT NOT NULL,
  person TEXT DEFAULT '' NOT NULL,
  sequence INTEGER DEFAULT 0 NOT NULL,
  starts_at TIMESTAMP WITH TIME ZONE,
  state TEXT DEFAULT 'waiting' NOT NULL,
  attempts INTEGER DEFAULT 0 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  next_at TIMESTAMP WITH TIME ZONE NOT NULL,
  give_up_at TIMESTAMP WITH TIME ZONE NOT NULL,
  settled_at TIMESTAMP WITH TIME ZONE,
  provider TEXT,
  provider_id TEXT,
  error TEXT,
  CONSTRAINT notices_pkey PRIMARY KEY (id),
  CONSTRAINT notices_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE,
  CONSTRAINT notices_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
  CONSTRAINT notices_kind_check CHECK (kind IN ('reminder', 'invitation', 'cancellation')),
  CONSTRAINT notices_recipient_check CHECK (recipient IN ('staff', 'customer')),
  CONSTRAINT notices_state_check CHECK (state IN ('waiting', 'sent', 'skipped', 'failed'))
);
CREATE INDEX notices_waiting_idx ON notices (next_at) WHERE state = 'waiting';
CREATE INDEX notices_task_id_idx ON notices (task_id);
CREATE INDEX notices_starts_at_idx ON notices (starts_at);
CREATE INDEX notices_customer_id_idx ON notices (customer_id);

CREATE TABLE suppression_lifts (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  channel TEXT NOT NULL,
  address_hash TEXT NOT NULL,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  lifted_at TIMESTAMP WITH TIME ZONE NOT NULL,
  lifted_by TEXT NOT NULL,
  CONSTRAINT suppression_lifts_pkey PRIMARY KEY (id)
);
CREATE INDEX suppression_lifts_address_hash_idx ON suppression_lifts (address_hash);

DROP INDEX signals_risk_level_idx;
CREATE INDEX signals_risk_level_idx ON signals (risk_level, health_score, customer_id);
CREATE INDEX signals_health_score_idx ON signals (health_score, customer_id);
CREATE INDEX signals_ltv_at_risk_idx ON signals (ltv_at_risk);
CREATE INDEX signals_churn_probability_idx ON signals (churn_probability) INCLUDE (ltv_at_risk);
CREATE INDEX signals_predicted_churn_date_idx ON signals (predicted_churn_date, customer_id);
CREATE INDEX churn_predictions_day_idx ON churn_predictions (prediction_date, source, customer_id);
CREATE INDEX signals_monthly_price_idx ON signals (monthly_price, customer_id);
CREATE INDEX customers_csm_idx ON customers (csm);
CREATE INDEX tasks_pressing_idx ON tasks (closed_at DESC, due_at, id);
CREATE INDEX customers_name_idx ON customers (lower(coalesce(business_name, first_name, external_id)), id);
CREATE INDEX customer_health_day_idx ON customer_health (day, customer_id);

-- Searching goes through everybody where pg_trgm isn't installed, or this role may not have it.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX customers_searched_idx ON customers USING gin (
    lower(external_id || E'\\n' || coalesce(business_name, '') || E'\\n' || coalesce(first_name, '') || E'\\n'
      || coalesce(email, '')) gin_trgm_ops);
EXCEPTION
  WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE NOTICE USING MESSAGE = 'customers are searched without an index: ' || sqlerrm;
END
$$;

ALTER TABLE evaluations ADD COLUMN traceparent TEXT;
ALTER TABLE runs ADD COLUMN traceparent TEXT;

ALTER TABLE entry_requests ADD COLUMN batch UUID;
CREATE INDEX entry_requests_batch_idx ON entry_requests (batch) WHERE batch IS NOT NULL;

ALTER TABLE publications DROP CONSTRAINT publications_kind_check;
ALTER TABLE publications ADD CONSTRAINT publications_kind_check
  CHECK (kind IN ('playbook', 'policy', 'health', 'milestones', 'retired', 'rollback'));
"""


def upgrade() -> None:
    """Add what access, audit, views, milestones and erasure need."""
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    """Who did what would be lost."""
    raise RuntimeError("0006 can't be undone; restore a backup of the database instead")
