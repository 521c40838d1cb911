"""The whole language: rewards, shadow runs, publications, outputs of steps, rounds of steps.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE runs DROP CONSTRAINT runs_arm_check;
ALTER TABLE runs ADD CONSTRAINT runs_arm_check CHECK (arm IN ('treated', 'held_out', 'shadow'));
DROP INDEX runs_open_playbook_key;
CREATE UNIQUE INDEX runs_open_playbook_key ON runs (customer_id, playbook, key)
  WHERE ended_at IS NULL AND arm <> 'shadow';
CREATE UNIQUE INDEX runs_open_shadow_key ON runs (customer_id, playbook, key)
  WHERE ended_at IS NULL AND arm = 'shadow';
DROP INDEX runs_open_group_key;
CREATE UNIQUE INDEX runs_open_group_key ON runs (customer_id, run_group)
  WHERE ended_at IS NULL AND run_group IS NOT NULL AND arm <> 'shadow';
CREATE INDEX runs_open_version_idx ON runs (playbook, version) WHERE ended_at IS NULL;

ALTER TABLE run_steps ADD COLUMN output JSONB DEFAULT '{}'::jsonb NOT NULL;
ALTER TABLE run_inbox ADD COLUMN occurrence INTEGER DEFAULT 0 NOT NULL;

CREATE TABLE publications (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT DEFAULT '' NOT NULL,
  source TEXT NOT NULL,
  author TEXT NOT NULL,
  note TEXT DEFAULT '' NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT publications_pkey PRIMARY KEY (id),
  CONSTRAINT publications_kind_check CHECK (kind IN ('playbook', 'policy', 'retired', 'rollback'))
);
CREATE INDEX publications_name_idx ON publications (name, id);

CREATE TABLE file_problems (
  file TEXT NOT NULL,
  problems JSONB NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT file_problems_pkey PRIMARY KEY (file)
);

CREATE TABLE comparisons (
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  customers INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  differences JSONB DEFAULT '[]'::jsonb NOT NULL,
  CONSTRAINT comparisons_pkey PRIMARY KEY (at)
);

CREATE TABLE alerts (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  detail JSONB DEFAULT '{}'::jsonb NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  resolved_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT alerts_pkey PRIMARY KEY (id)
);
CREATE INDEX alerts_open_idx ON alerts (at) WHERE resolved_at IS NULL;

CREATE TABLE rewards (
  id UUID NOT NULL,
  run_id UUID NOT NULL,
  customer_id UUID NOT NULL,
  step TEXT NOT NULL,
  occurrence INTEGER NOT NULL,
  feature TEXT NOT NULL,
  granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
  until TIMESTAMP WITH TIME ZONE,
  revoked_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT rewards_pkey PRIMARY KEY (id),
  CONSTRAINT rewards_run_id_key UNIQUE (run_id, step, occurrence),
  CONSTRAINT rewards_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
  CONSTRAINT rewards_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE INDEX rewards_customer_id_idx ON rewards (customer_id, feature);
CREATE INDEX rewards_until_idx ON rewards (until) WHERE revoked_at IS NULL;
"""


def upgrade() -> None:
    """Add what the whole language needs."""
    op.execute(CHANGES)
