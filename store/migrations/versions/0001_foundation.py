"""The first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE api_keys (
  secret_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT api_keys_pkey PRIMARY KEY (secret_hash),
  CONSTRAINT api_keys_name_key UNIQUE (name)
);

CREATE TABLE customers (
  id UUID DEFAULT gen_random_uuid() NOT NULL,
  external_id TEXT NOT NULL,
  first_name TEXT,
  business_name TEXT,
  email TEXT,
  phone TEXT,
  timezone TEXT,
  locale TEXT,
  csm TEXT,
  traits JSONB DEFAULT '{}'::jsonb NOT NULL,
  demo BOOLEAN DEFAULT false NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT customers_pkey PRIMARY KEY (id),
  CONSTRAINT customers_external_id_not_empty_check CHECK (external_id <> ''),
  CONSTRAINT customers_external_id_key UNIQUE (external_id)
);

CREATE TABLE dead_letters (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  source TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL,
  digest TEXT NOT NULL,
  times INTEGER DEFAULT 1 NOT NULL,
  CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
  CONSTRAINT dead_letters_digest_key UNIQUE (digest)
);

CREATE INDEX dead_letters_received_at_idx ON dead_letters (received_at);

CREATE TABLE decision_counts (
  playbook TEXT NOT NULL,
  day DATE NOT NULL,
  reason TEXT NOT NULL,
  line TEXT NOT NULL,
  count BIGINT NOT NULL,
  CONSTRAINT decision_counts_pkey PRIMARY KEY (playbook, day, reason, line)
);

CREATE TABLE decisions (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  customer_id UUID NOT NULL,
  playbook TEXT NOT NULL,
  version TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT DEFAULT '' NOT NULL,
  until TIMESTAMP WITH TIME ZONE,
  run_id UUID,
  checks JSONB DEFAULT '[]'::jsonb NOT NULL,
  CONSTRAINT decisions_pkey PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX decisions_at_idx ON decisions (at);

CREATE INDEX decisions_customer_id_idx ON decisions (customer_id, at);

CREATE INDEX decisions_playbook_idx ON decisions (playbook, at);

CREATE TABLE event_ids (
  source TEXT NOT NULL,
  message_id TEXT NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT event_ids_pkey PRIMARY KEY (source, message_id)
);

CREATE TABLE events (
  day DATE NOT NULL,
  source TEXT NOT NULL,
  message_id TEXT NOT NULL,
  customer_id UUID NOT NULL,
  name TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  received_at TIMESTAMP WITH TIME ZONE NOT NULL,
  properties JSONB DEFAULT '{}'::jsonb NOT NULL,
  CONSTRAINT events_pkey PRIMARY KEY (day, source, message_id)
)
 PARTITION BY RANGE (day);

CREATE INDEX events_customer_id_idx ON events (customer_id, name, at);

CREATE TABLE governance (
  name TEXT NOT NULL,
  value JSONB NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT governance_pkey PRIMARY KEY (name)
);

CREATE TABLE playbook_versions (
  playbook TEXT NOT NULL,
  version TEXT NOT NULL,
  compiled JSONB NOT NULL,
  source TEXT NOT NULL,
  author TEXT NOT NULL,
  published_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT playbook_versions_pkey PRIMARY KEY (playbook, version)
);

CREATE TABLE playbooks (
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,
  compiled JSONB NOT NULL,
  file TEXT NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT playbooks_pkey PRIMARY KEY (name),
  CONSTRAINT playbooks_status_check CHECK (status IN ('draft', 'shadow', 'live', 'paused', 'retired'))
);

CREATE TABLE signal_history (
  customer_id UUID NOT NULL,
  day DATE NOT NULL,
  values JSONB NOT NULL,
  known_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT signal_history_pkey PRIMARY KEY (customer_id, day)
)
 PARTITION BY RANGE (day);

CREATE TABLE suppressions (
  channel TEXT NOT NULL,
  address_hash TEXT NOT NULL,
  reason TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT suppressions_pkey PRIMARY KEY (channel, address_hash)
);

CREATE TABLE tallies (
  customer_id UUID NOT NULL,
  day DATE NOT NULL,
  name TEXT NOT NULL,
  detail TEXT NOT NULL,
  count INTEGER NOT NULL,
  total DOUBLE PRECISION NOT NULL,
  CONSTRAINT tallies_pkey PRIMARY KEY (customer_id, day, name, detail)
);

CREATE TABLE upkeep (
  name TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT upkeep_pkey PRIMARY KEY (name)
);

CREATE TABLE consents (
  customer_id UUID NOT NULL,
  channel TEXT NOT NULL,
  topic TEXT DEFAULT '' NOT NULL,
  granted BOOLEAN NOT NULL,
  source TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT consents_pkey PRIMARY KEY (customer_id, channel, topic),
  CONSTRAINT consents_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE TABLE due (
  customer_id UUID NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT due_pkey PRIMARY KEY (customer_id),
  CONSTRAINT due_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX due_at_idx ON due (at);

CREATE TABLE entry_requests (
  id UUID NOT NULL,
  customer_id UUID NOT NULL,
  playbook TEXT NOT NULL,
  reason TEXT NOT NULL,
  requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
  decided_at TIMESTAMP WITH TIME ZONE,
  decision TEXT,
  detail TEXT DEFAULT '' NOT NULL,
  run_id UUID,
  CONSTRAINT entry_requests_pkey PRIMARY KEY (id),
  CONSTRAINT entry_requests_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX entry_requests_open_idx ON entry_requests (customer_id) WHERE decided_at IS NULL;

CREATE TABLE evaluations (
  customer_id UUID NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  changed TEXT[] NOT NULL,
  everything BOOLEAN DEFAULT false NOT NULL,
  CONSTRAINT evaluations_pkey PRIMARY KEY (customer_id),
  CONSTRAINT evaluations_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX evaluations_since_idx ON evaluations (since);

CREATE TABLE exposures (
  customer_id UUID NOT NULL,
  experiment TEXT NOT NULL,
  variant TEXT NOT NULL,
  run_id UUID NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT exposures_pkey PRIMARY KEY (customer_id, experiment),
  CONSTRAINT exposures_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE TABLE runs (
  id UUID NOT NULL,
  playbook TEXT NOT NULL,
  version TEXT NOT NULL,
  customer_id UUID NOT NULL,
  key TEXT DEFAULT '' NOT NULL,
  run_group TEXT,
  arm TEXT NOT NULL,
  state TEXT NOT NULL,
  trigger JSONB DEFAULT '{}'::jsonb NOT NULL,
  variants JSONB DEFAULT '{}'::jsonb NOT NULL,
  health_at_entry DOUBLE PRECISION,
  churn_at_entry DOUBLE PRECISION,
  entered_at TIMESTAMP WITH TIME ZONE NOT NULL,
  goal_by TIMESTAMP WITH TIME ZONE,
  workflow_id TEXT NOT NULL,
  execution_id TEXT,
  next_start_at TIMESTAMP WITH TIME ZONE,
  start_attempts INTEGER DEFAULT 0 NOT NULL,
  step TEXT,
  paused BOOLEAN DEFAULT false NOT NULL,
  interruption JSONB,
  outcome TEXT,
  reason TEXT,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT runs_pkey PRIMARY KEY (id),
  CONSTRAINT runs_ended_check CHECK ((ended_at IS NULL) = (state <> 'ended')),
  CONSTRAINT runs_arm_check CHECK (arm IN ('treated', 'held_out')),
  CONSTRAINT runs_state_check CHECK (state IN ('starting', 'running', 'observed', 'ended')),
  CONSTRAINT runs_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX runs_customer_id_idx ON runs (customer_id, entered_at);

CREATE INDEX runs_ended_at_idx ON runs (ended_at);

CREATE INDEX runs_entered_at_idx ON runs (entered_at);

CREATE INDEX runs_goal_by_idx ON runs (goal_by) WHERE state = 'observed';

CREATE INDEX runs_next_start_at_idx ON runs (next_start_at) WHERE state = 'starting';

CREATE UNIQUE INDEX runs_open_group_key ON runs (customer_id, run_group) WHERE ended_at IS NULL AND run_group IS NOT NULL;

CREATE UNIQUE INDEX runs_open_playbook_key ON runs (customer_id, playbook, key) WHERE ended_at IS NULL;

CREATE INDEX runs_playbook_idx ON runs (playbook, entered_at);

CREATE TABLE signals (
  customer_id UUID NOT NULL,
  plan TEXT,
  subscription_status TEXT,
  monthly_price DOUBLE PRECISION,
  team_size DOUBLE PRECISION,
  vendor_type TEXT,
  segment TEXT,
  country TEXT,
  tags TEXT[],
  renewal_date DATE,
  trial_ends_at TIMESTAMP WITH TIME ZONE,
  signed_up_at TIMESTAMP WITH TIME ZONE,
  last_login TIMESTAMP WITH TIME ZONE,
  last_milestone_at TIMESTAMP WITH TIME ZONE,
  session_count_30d DOUBLE PRECISION,
  active_days_30d DOUBLE PRECISION,
  avg_session_minutes DOUBLE PRECISION,
  usage_drop_percent DOUBLE PRECISION,
  unique_features_used DOUBLE PRECISION,
  features_adopted DOUBLE PRECISION,
  forms_created DOUBLE PRECISION,
  clients_imported DOUBLE PRECISION,
  journeys_created DOUBLE PRECISION,
  templates_used DOUBLE PRECISION,
  clients_total DOUBLE PRECISION,
  clients_active_30d DOUBLE PRECISION,
  form_completion_rate DOUBLE PRECISION,
  journey_performance DOUBLE PRECISION,
  support_tickets_30d DOUBLE PRECISION,
  open_tickets DOUBLE PRECISION,
  last_support_rating DOUBLE PRECISION,
  avg_support_rating_30d DOUBLE PRECISION,
  failed_payments_30d DOUBLE PRECISION,
  milestones_completed DOUBLE PRECISION,
  critical_milestones_done DOUBLE PRECISION,
  critical_milestones_total DOUBLE PRECISION,
  health_score DOUBLE PRECISION,
  risk_level TEXT,
  health_trend TEXT,
  avg_health_30d DOUBLE PRECISION,
  churn_probability DOUBLE PRECISION,
  churn_risk_level TEXT,
  predicted_churn_date DATE,
  ltv_at_risk DOUBLE PRECISION,
  recent_features TEXT[],
  best_templates TEXT[],
  referrals DOUBLE PRECISION,
  recent_viral_activity BOOLEAN,
  influencer BOOLEAN,
  custom JSONB DEFAULT '{}'::jsonb NOT NULL,
  stamps JSONB DEFAULT '{}'::jsonb NOT NULL,
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT signals_pkey PRIMARY KEY (customer_id),
  CONSTRAINT signals_health_score_range_check CHECK (health_score BETWEEN 0 AND 100),
  CONSTRAINT signals_churn_probability_range_check CHECK (churn_probability BETWEEN 0 AND 1),
  CONSTRAINT signals_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX signals_risk_level_idx ON signals (risk_level);

CREATE TABLE standings (
  customer_id UUID NOT NULL,
  playbook TEXT NOT NULL,
  reason TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT standings_pkey PRIMARY KEY (customer_id, playbook),
  CONSTRAINT standings_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE TABLE deliveries (
  id UUID NOT NULL,
  run_id UUID NOT NULL,
  customer_id UUID NOT NULL,
  step TEXT NOT NULL,
  occurrence INTEGER NOT NULL,
  channel TEXT NOT NULL,
  state TEXT NOT NULL,
  attempt INTEGER DEFAULT 0 NOT NULL,
  topic TEXT,
  template TEXT,
  address_hash TEXT,
  content JSONB DEFAULT '{}'::jsonb NOT NULL,
  provider TEXT,
  provider_id TEXT,
  error_code TEXT,
  error TEXT,
  cost NUMERIC(12, 6) DEFAULT 0 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  claimed_at TIMESTAMP WITH TIME ZONE,
  settled_at TIMESTAMP WITH TIME ZONE,
  reconciled_at TIMESTAMP WITH TIME ZONE,
  seen_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT deliveries_pkey PRIMARY KEY (id),
  CONSTRAINT deliveries_run_id_key UNIQUE (run_id, step, occurrence),
  CONSTRAINT deliveries_state_check CHECK (state IN ('claimed', 'retrying', 'accepted', 'failed', 'unknown', 'skipped')),
  CONSTRAINT deliveries_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
  CONSTRAINT deliveries_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX deliveries_created_at_idx ON deliveries (created_at);

CREATE INDEX deliveries_customer_id_idx ON deliveries (customer_id, claimed_at);

CREATE INDEX deliveries_provider_id_idx ON deliveries (provider, provider_id);

CREATE INDEX deliveries_settled_at_idx ON deliveries (settled_at);

CREATE INDEX deliveries_unsettled_idx ON deliveries (claimed_at) WHERE state IN ('claimed', 'unknown');

CREATE TABLE doorbells (
  run_id UUID NOT NULL,
  rings INTEGER DEFAULT 1 NOT NULL,
  next_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT doorbells_pkey PRIMARY KEY (run_id),
  CONSTRAINT doorbells_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX doorbells_next_at_idx ON doorbells (next_at);

CREATE TABLE intervention_executions (
  run_id UUID NOT NULL,
  playbook TEXT NOT NULL,
  version TEXT NOT NULL,
  customer_id UUID NOT NULL,
  arm TEXT NOT NULL,
  triggered_at TIMESTAMP WITH TIME ZONE NOT NULL,
  trigger_reason TEXT NOT NULL,
  health_score_at_trigger DOUBLE PRECISION,
  executed_at TIMESTAMP WITH TIME ZONE,
  completed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  success_measured BOOLEAN NOT NULL,
  success_achieved BOOLEAN,
  improvement_metrics JSONB DEFAULT '{}'::jsonb NOT NULL,
  cost_to_execute NUMERIC(12, 4) DEFAULT 0 NOT NULL,
  estimated_retention_value NUMERIC(14, 2),
  outcome TEXT NOT NULL,
  outcome_notes TEXT DEFAULT '' NOT NULL,
  CONSTRAINT intervention_executions_pkey PRIMARY KEY (run_id),
  CONSTRAINT intervention_executions_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
  CONSTRAINT intervention_executions_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX intervention_executions_playbook_idx ON intervention_executions (playbook, completed_at);

CREATE TABLE run_inbox (
  run_id UUID NOT NULL,
  seq BIGINT GENERATED ALWAYS AS IDENTITY,
  kind TEXT NOT NULL,
  step TEXT,
  outcome TEXT DEFAULT '' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT run_inbox_pkey PRIMARY KEY (run_id, seq),
  CONSTRAINT run_inbox_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_steps (
  run_id UUID NOT NULL,
  step TEXT NOT NULL,
  occurrence INTEGER NOT NULL,
  word TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT DEFAULT '' NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT run_steps_pkey PRIMARY KEY (run_id, step, occurrence),
  CONSTRAINT run_steps_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE tasks (
  id UUID NOT NULL,
  run_id UUID NOT NULL,
  customer_id UUID NOT NULL,
  step TEXT NOT NULL,
  occurrence INTEGER NOT NULL,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  about TEXT DEFAULT '' NOT NULL,
  assignee TEXT NOT NULL,
  escalated_to TEXT,
  outcomes TEXT[] NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT,
  notes TEXT DEFAULT '' NOT NULL,
  completed_by TEXT,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  due_at TIMESTAMP WITH TIME ZONE NOT NULL,
  escalate_at TIMESTAMP WITH TIME ZONE,
  give_up_at TIMESTAMP WITH TIME ZONE NOT NULL,
  closed_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT tasks_pkey PRIMARY KEY (id),
  CONSTRAINT tasks_run_id_key UNIQUE (run_id, step, occurrence),
  CONSTRAINT tasks_kind_check CHECK (kind IN ('call', 'task')),
  CONSTRAINT tasks_state_check CHECK (state IN ('open', 'done', 'overdue', 'cancelled')),
  CONSTRAINT tasks_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
  CONSTRAINT tasks_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX tasks_assignee_idx ON tasks (assignee, due_at) WHERE state = 'open';

CREATE TABLE waits (
  run_id UUID NOT NULL,
  step TEXT NOT NULL,
  occurrence INTEGER NOT NULL,
  customer_id UUID NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  until TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT waits_pkey PRIMARY KEY (run_id, step, occurrence),
  CONSTRAINT waits_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
  CONSTRAINT waits_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX waits_customer_id_idx ON waits (customer_id);
"""

# Whatever no monthly partition was made for in time still has a place.
DEFAULT_PARTITIONS = """
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE signal_history_default PARTITION OF signal_history DEFAULT;
CREATE TABLE decisions_default PARTITION OF decisions DEFAULT;
"""


def upgrade() -> None:
    """Make all tables; the statements hold no parameters, so they go as one script."""
    op.get_bind().exec_driver_sql(TABLES)
    op.get_bind().exec_driver_sql(DEFAULT_PARTITIONS)


def downgrade() -> None:
    """There is nothing before this: a database without its tables is made by dropping it."""
    raise RuntimeError("0001 is the first version; drop the database instead")
