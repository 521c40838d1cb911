"""People: why a task is whose it is, how it went, what follows it, and whose turn it is in a team.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE tasks
  ALTER COLUMN run_id DROP NOT NULL,
  ADD COLUMN assigned_because TEXT DEFAULT '' NOT NULL,
  ADD COLUMN satisfaction_rating SMALLINT,
  ADD COLUMN duration_minutes INTEGER,
  ADD COLUMN follows UUID,
  ADD CONSTRAINT tasks_satisfaction_rating_range_check CHECK (satisfaction_rating BETWEEN 1 AND 5);
CREATE INDEX tasks_team_idx ON tasks (team, due_at) WHERE state = 'open';
CREATE INDEX tasks_starts_at_idx ON tasks (starts_at) WHERE state = 'open';
CREATE INDEX tasks_customer_id_idx ON tasks (customer_id, created_at);
CREATE INDEX tasks_unattended_idx ON tasks (give_up_at) WHERE state = 'open' AND run_id IS NULL;
CREATE INDEX tasks_closed_at_idx ON tasks (closed_at);

CREATE TABLE team_turns (
  team TEXT NOT NULL,
  last_member TEXT DEFAULT '' NOT NULL,
  turns BIGINT DEFAULT 0 NOT NULL,
  CONSTRAINT team_turns_pkey PRIMARY KEY (team)
);
"""


def upgrade() -> None:
    """Add what sharing work needs."""
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    """What people said of their work would be lost."""
    raise RuntimeError("0005 can't be undone; restore a backup of the database instead")
