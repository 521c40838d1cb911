"""What is asked for all the time: customers who haven't left, runs that were paused or resumed, whose an address is.

And how whoever is signed in was let in.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHANGES = """
-- With what the totals of risk are filtered by, so that they are read from it alone.
DROP INDEX signals_churn_probability_idx;
CREATE INDEX signals_churn_probability_idx ON signals (churn_probability)
  INCLUDE (ltv_at_risk, churn_risk_level, segment);

CREATE INDEX signals_current_idx ON signals (health_score, customer_id)
  WHERE subscription_status IS DISTINCT FROM 'cancelled';

ALTER TABLE runs ADD COLUMN pause_noted_at TIMESTAMP WITH TIME ZONE;
CREATE INDEX runs_pause_noted_at_idx ON runs (pause_noted_at) WHERE pause_noted_at IS NOT NULL;
CREATE INDEX runs_running_idx ON runs (id) WHERE state = 'running';

-- What the preview of a bulk start said would be decided.
ALTER TABLE entry_requests ADD COLUMN expected TEXT;

-- Whoever writes to us is looked for by just these expressions.
DROP INDEX customers_phone_idx;
CREATE INDEX customers_phone_idx ON customers (right(regexp_replace(phone, '[^0-9]', '', 'g'), 4));
DROP INDEX customers_email_idx;
CREATE INDEX customers_email_idx ON customers (lower(btrim(email)));
CREATE INDEX suppressions_address_hash_idx ON suppressions (address_hash);

ALTER TABLE sessions ADD COLUMN way TEXT NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    """Add the columns and the indexes."""
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    """Take them away again."""
    op.get_bind().exec_driver_sql(
        "ALTER TABLE sessions DROP COLUMN way; ALTER TABLE runs DROP COLUMN pause_noted_at; "
        "ALTER TABLE entry_requests DROP COLUMN expected; DROP INDEX signals_current_idx; DROP INDEX runs_running_idx; "
        "DROP INDEX suppressions_address_hash_idx; DROP INDEX customers_phone_idx; DROP INDEX customers_email_idx; "
        "DROP INDEX signals_churn_probability_idx; "
        "CREATE INDEX signals_churn_probability_idx ON signals (churn_probability) INCLUDE (ltv_at_risk); "
        "CREATE INDEX customers_phone_idx ON customers (phone); CREATE INDEX customers_email_idx ON customers (lower(email));"
    )
