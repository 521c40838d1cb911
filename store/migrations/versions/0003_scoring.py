"""Scoring: a day's signals in columns, health and churn per customer and day, models, runs over everybody, repairs.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A day's signals take a third of the room in columns, and one of them is read without the others.
HISTORY = """
ALTER TABLE signals ADD COLUMN enhanced_score DOUBLE PRECISION;

ALTER TABLE signal_history
  ADD COLUMN plan TEXT,
  ADD COLUMN subscription_status TEXT,
  ADD COLUMN monthly_price DOUBLE PRECISION,
  ADD COLUMN team_size DOUBLE PRECISION,
  ADD COLUMN vendor_type TEXT,
  ADD COLUMN segment TEXT,
  ADD COLUMN country TEXT,
  ADD COLUMN tags TEXT[],
  ADD COLUMN renewal_date DATE,
  ADD COLUMN trial_ends_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN signed_up_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN last_login TIMESTAMP WITH TIME ZONE,
  ADD COLUMN last_milestone_at TIMESTAMP WITH TIME ZONE,
  ADD COLUMN session_count_30d DOUBLE PRECISION,
  ADD COLUMN active_days_30d DOUBLE PRECISION,
  ADD COLUMN avg_session_minutes DOUBLE PRECISION,
  ADD COLUMN usage_drop_percent DOUBLE PRECISION,
  ADD COLUMN unique_features_used DOUBLE PRECISION,
  ADD COLUMN features_adopted DOUBLE PRECISION,
  ADD COLUMN forms_created DOUBLE PRECISION,
  ADD COLUMN clients_imported DOUBLE PRECISION,
  ADD COLUMN journeys_created DOUBLE PRECISION,
  ADD COLUMN templates_used DOUBLE PRECISION,
  ADD COLUMN clients_total DOUBLE PRECISION,
  ADD COLUMN clients_active_30d DOUBLE PRECISION,
  ADD COLUMN form_completion_rate DOUBLE PRECISION,
  ADD COLUMN journey_performance DOUBLE PRECISION,
  ADD COLUMN support_tickets_30d DOUBLE PRECISION,
  ADD COLUMN open_tickets DOUBLE PRECISION,
  ADD COLUMN last_support_rating DOUBLE PRECISION,
  ADD COLUMN avg_support_rating_30d DOUBLE PRECISION,
  ADD COLUMN failed_payments_30d DOUBLE PRECISION,
  ADD COLUMN milestones_completed DOUBLE PRECISION,
  ADD COLUMN critical_milestones_done DOUBLE PRECISION,
  ADD COLUMN critical_milestones_total DOUBLE PRECISION,
  ADD COLUMN health_score DOUBLE PRECISION,
  ADD COLUMN risk_level TEXT,
  ADD COLUMN health_trend TEXT,
  ADD COLUMN avg_health_30d DOUBLE PRECISION,
  ADD COLUMN churn_probability DOUBLE PRECISION,
  ADD COLUMN churn_risk_level TEXT,
  ADD COLUMN predicted_churn_date DATE,
  ADD COLUMN ltv_at_risk DOUBLE PRECISION,
  ADD COLUMN recent_features TEXT[],
  ADD COLUMN best_templates TEXT[],
  ADD COLUMN referrals DOUBLE PRECISION,
  ADD COLUMN recent_viral_activity BOOLEAN,
  ADD COLUMN influencer BOOLEAN,
  ADD COLUMN enhanced_score DOUBLE PRECISION,
  ADD COLUMN custom JSONB DEFAULT '{}'::jsonb NOT NULL,
  ADD COLUMN revision SMALLINT DEFAULT 0 NOT NULL;
UPDATE signal_history SET (
  plan, subscription_status, monthly_price, team_size, vendor_type, segment, country, tags, renewal_date,
  trial_ends_at, signed_up_at, last_login, last_milestone_at, session_count_30d, active_days_30d,
  avg_session_minutes, usage_drop_percent, unique_features_used, features_adopted, forms_created,
  clients_imported, journeys_created, templates_used, clients_total, clients_active_30d,
  form_completion_rate, journey_performance, support_tickets_30d, open_tickets, last_support_rating,
  avg_support_rating_30d, failed_payments_30d, milestones_completed, critical_milestones_done,
  critical_milestones_total, health_score, risk_level, health_trend, avg_health_30d, churn_probability,
  churn_risk_level, predicted_churn_date, ltv_at_risk, recent_features, best_templates, referrals,
  recent_viral_activity, influencer
) = (SELECT
  plan, subscription_status, monthly_price, team_size, vendor_type, segment, country, tags, renewal_date,
  trial_ends_at, signed_up_at, last_login, last_milestone_at, session_count_30d, active_days_30d,
  avg_session_minutes, usage_drop_percent, unique_features_used, features_adopted, forms_created,
  clients_imported, journeys_created, templates_used, clients_total, clients_active_30d,
  form_completion_rate, journey_performance, support_tickets_30d, open_tickets, last_support_rating,
  avg_support_rating_30d, failed_payments_30d, milestones_completed, critical_milestones_done,
  critical_milestones_total, health_score, risk_level, health_trend, avg_health_30d, churn_probability,
  churn_risk_level, predicted_churn_date, ltv_at_risk, recent_features, best_templates, referrals,
  recent_viral_activity, influencer
  FROM jsonb_populate_record(NULL::signals, values)
), custom = values - ARRAY[
  'plan', 'subscription_status', 'monthly_price', 'team_size', 'vendor_type', 'segment', 'country', 'tags',
  'renewal_date', 'trial_ends_at', 'signed_up_at', 'last_login', 'last_milestone_at', 'session_count_30d',
  'active_days_30d', 'avg_session_minutes', 'usage_drop_percent', 'unique_features_used',
  'features_adopted', 'forms_created', 'clients_imported', 'journeys_created', 'templates_used',
  'clients_total', 'clients_active_30d', 'form_completion_rate', 'journey_performance',
  'support_tickets_30d', 'open_tickets', 'last_support_rating', 'avg_support_rating_30d',
  'failed_payments_30d', 'milestones_completed', 'critical_milestones_done', 'critical_milestones_total',
  'health_score', 'risk_level', 'health_trend', 'avg_health_30d', 'churn_probability', 'churn_risk_level',
  'predicted_churn_date', 'ltv_at_risk', 'recent_features', 'best_templates', 'referrals',
  'recent_viral_activity', 'influencer'
];
ALTER TABLE signal_history
  DROP COLUMN values,
  DROP CONSTRAINT signal_history_pkey,
  ADD CONSTRAINT signal_history_pkey PRIMARY KEY (customer_id, day, revision);
"""

SCORES = """
CREATE TABLE customer_health (
  customer_id UUID NOT NULL,
  day DATE NOT NULL,
  health_score SMALLINT,
  risk_level TEXT,
  midnight_score SMALLINT,
  previous_score SMALLINT,
  score_trend TEXT,
  enhanced_score SMALLINT,
  last_login TIMESTAMP WITH TIME ZONE,
  feature_adoption_score SMALLINT,
  client_engagement_score SMALLINT,
  support_ticket_score SMALLINT,
  billing_health_score SMALLINT,
  factors REAL[] DEFAULT '{}' NOT NULL,
  model TEXT NOT NULL,
  intervention_triggered BOOLEAN DEFAULT false NOT NULL,
  next_review_date DATE,
  calculated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT customer_health_pkey PRIMARY KEY (customer_id, day)
)
 PARTITION BY RANGE (day);
CREATE TABLE customer_health_default PARTITION OF customer_health DEFAULT;

CREATE TABLE churn_predictions (
  customer_id UUID NOT NULL,
  prediction_date DATE NOT NULL,
  churn_probability DOUBLE PRECISION NOT NULL,
  within_30d REAL,
  within_60d REAL,
  within_90d REAL,
  risk_level TEXT NOT NULL,
  prediction_factors JSONB DEFAULT '{}'::jsonb NOT NULL,
  reasons JSONB DEFAULT '[]'::jsonb NOT NULL,
  predicted_churn_date DATE,
  earliest_churn_date DATE,
  latest_churn_date DATE,
  source TEXT NOT NULL,
  model_version TEXT NOT NULL,
  model_confidence TEXT NOT NULL,
  intervention_recommended BOOLEAN NOT NULL,
  intervention_priority SMALLINT NOT NULL,
  ltv_at_risk DOUBLE PRECISION,
  prevention_cost_estimate DOUBLE PRECISION,
  intervention_sent BOOLEAN DEFAULT false NOT NULL,
  held_out BOOLEAN DEFAULT false NOT NULL,
  actual_churn BOOLEAN,
  calculated_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT churn_predictions_pkey PRIMARY KEY (customer_id, prediction_date)
)
 PARTITION BY RANGE (prediction_date);
CREATE TABLE churn_predictions_default PARTITION OF churn_predictions DEFAULT;

CREATE TABLE churn_models (
  version TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  artifact TEXT NOT NULL,
  trained_at TIMESTAMP WITH TIME ZONE NOT NULL,
  promoted_at TIMESTAMP WITH TIME ZONE,
  retired_at TIMESTAMP WITH TIME ZONE,
  approved_by TEXT DEFAULT '' NOT NULL,
  reason TEXT DEFAULT '' NOT NULL,
  metrics JSONB DEFAULT '{}'::jsonb NOT NULL,
  CONSTRAINT churn_models_pkey PRIMARY KEY (version, kind),
  CONSTRAINT churn_models_kind_check CHECK (kind IN ('model', 'health')),
  CONSTRAINT churn_models_state_check CHECK (state IN ('champion', 'challenger', 'retired', 'refused'))
);
CREATE UNIQUE INDEX churn_models_champion_key ON churn_models (kind) WHERE state = 'champion';

CREATE TABLE model_reports (
  day DATE NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  report JSONB NOT NULL,
  CONSTRAINT model_reports_pkey PRIMARY KEY (day)
);

CREATE TABLE population_runs (
  day DATE NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE,
  customers INTEGER DEFAULT 0 NOT NULL,
  health_model TEXT DEFAULT '' NOT NULL,
  churn_model TEXT DEFAULT '' NOT NULL,
  CONSTRAINT population_runs_pkey PRIMARY KEY (day)
);

CREATE TABLE population_shards (
  day DATE NOT NULL,
  shard INTEGER NOT NULL,
  scored INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  requested INTEGER NOT NULL,
  seconds REAL NOT NULL,
  finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT population_shards_pkey PRIMARY KEY (day, shard)
);

CREATE TABLE scoring_failures (
  day DATE NOT NULL,
  customer_id UUID NOT NULL,
  code TEXT NOT NULL,
  error TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT scoring_failures_pkey PRIMARY KEY (day, customer_id),
  CONSTRAINT scoring_failures_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE TABLE repairs (
  customer_id UUID NOT NULL,
  since DATE NOT NULL,
  whole BOOLEAN DEFAULT false NOT NULL,
  reason TEXT NOT NULL,
  requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT repairs_pkey PRIMARY KEY (customer_id),
  CONSTRAINT repairs_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE TABLE corrections (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  source TEXT NOT NULL,
  message_id TEXT NOT NULL,
  customer_id UUID NOT NULL,
  properties JSONB,
  occurred_at TIMESTAMP WITH TIME ZONE,
  reason TEXT DEFAULT '' NOT NULL,
  author TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT corrections_pkey PRIMARY KEY (id),
  CONSTRAINT corrections_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE INDEX corrections_message_idx ON corrections (source, message_id);
CREATE INDEX corrections_customer_id_idx ON corrections (customer_id);

ALTER TABLE publications DROP CONSTRAINT publications_kind_check;
ALTER TABLE publications ADD CONSTRAINT publications_kind_check
  CHECK (kind IN ('playbook', 'policy', 'health', 'retired', 'rollback'));
"""

# Read by others, who see a customer's own features only where it has used them. `scoring/adoption.py` says what the
# figures mean and works out the same ones; a test holds the two together. Days are UTC.
ADOPTION = """
CREATE VIEW feature_adoption AS
SELECT
  customer_id,
  customer,
  feature_key,
  first_used_at,
  last_used_at,
  CASE WHEN recent >= 20 THEN 'daily' WHEN recent >= 4 THEN 'weekly' WHEN recent >= 1 THEN 'monthly'
    ELSE 'rarely' END AS usage_frequency,
  CASE WHEN recent >= 12 THEN 'power_user' WHEN recent >= 3 THEN 'adopting' WHEN recent >= 1 THEN 'trial'
    ELSE 'churned' END AS adoption_stage,
  usage_count,
  CASE WHEN recent = 0 THEN 0 ELSE floor(
    60 * least(1::float8, recent::float8 / 12)
    + 25 * least(1::float8, recent_count::float8 / recent / 5)
    + 15 * least(1::float8, (today - first_used_at)::float8 / 90)
    + 0.5::float8
  )::int END AS value_realization_score,
  CASE WHEN recent = 0 THEN 1::float8 ELSE floor(
    (1 - (1 - CASE WHEN today > last_used_at
      THEN greatest(0::float8, 1 - CASE WHEN days_used > 1
        THEN greatest(1::float8, (last_used_at - first_used_at)::float8 / (days_used - 1)) ELSE 14 END
        / (today - last_used_at)) ELSE 0 END)
      * (1 - CASE WHEN before > 0 THEN greatest(0::float8, (before - recent)::float8 / before) ELSE 0 END / 2))
    * 1000 + 0.5::float8
  ) / 1000 END AS abandonment_risk
FROM (
  SELECT
    c.id AS customer_id,
    c.external_id AS customer,
    t.detail AS feature_key,
    clock.today,
    min(t.day) AS first_used_at,
    max(t.day) AS last_used_at,
    sum(t.count) AS usage_count,
    count(*) AS days_used,
    count(*) FILTER (WHERE clock.today - t.day < 30) AS recent,
    sum(t.count) FILTER (WHERE clock.today - t.day < 30) AS recent_count,
    count(*) FILTER (WHERE clock.today - t.day BETWEEN 30 AND 59) AS before
  FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) clock
  CROSS JOIN customers c
  JOIN tallies t ON t.customer_id = c.id
  WHERE t.name = 'feature_used' AND t.detail <> '' AND t.count > 0 AND t.day <= clock.today
  GROUP BY c.id, c.external_id, t.detail, clock.today
) used;
"""


def upgrade() -> None:
    """Change how days are kept, and add what scoring needs."""
    op.get_bind().exec_driver_sql(HISTORY)
    op.get_bind().exec_driver_sql(SCORES)
    op.get_bind().exec_driver_sql(ADOPTION)


def downgrade() -> None:
    """Nothing reads the older form any more."""
    raise RuntimeError("0003 can't be undone; restore a backup of the database instead")
