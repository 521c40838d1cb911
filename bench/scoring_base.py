"""A population to score, made inside PostgreSQL: customers with their signals, daily tallies and daily history.

How active a customer is differs as widely as in life: a fifth of them makes half of all tallies, and one in ten hasn't
been seen for weeks. Drawn by PostgreSQL's own generator from a seed.
"""

from __future__ import annotations

from datetime import date, timedelta

import psycopg

from bench.system import Say

HISTORY_DAYS = 120

_CUSTOMERS = """
INSERT INTO customers (external_id, first_name, email, timezone, locale, created_at)
SELECT 'c' || n, 'Vendor', 'c' || n || '@example.com', 'Europe/Berlin', 'en',
  %(today)s - (random() * 700 + 5) * interval '1 day'
FROM generate_series(1, %(customers)s) n
"""
# How active each is (mean 1), since how many days not any more, for how many days there at all, how healthy.
_DRAWN = """
CREATE UNLOGGED TABLE drawn AS
SELECT id, least(-ln(1 - random()), 5) AS activity,
  CASE WHEN random() < .1 THEN (random() * 60)::int ELSE 0 END AS silent,
  least(greatest((%(today)s::date - created_at::date), 5), 120) AS age, (random() * 100)::int AS health
FROM customers ORDER BY id
"""
_SIGNALS = """
INSERT INTO signals (customer_id, plan, subscription_status, monthly_price, team_size, vendor_type, country, tags,
  renewal_date, signed_up_at, last_login, last_milestone_at, forms_created, clients_imported, journeys_created,
  templates_used, clients_total, form_completion_rate, journey_performance, open_tickets, last_support_rating,
  milestones_completed, critical_milestones_done, critical_milestones_total, best_templates, referrals, influencer,
  custom, stamps, changed_at)
SELECT d.id, (ARRAY['free','starter','pro','business'])[1 + (random() * 3)::int],
  (ARRAY['trial','active','active','active','active','past_due','cancelled'])[1 + (random() * 6)::int],
  CASE WHEN random() < .9 THEN round((random() * 99)::numeric, 2) END,
  CASE WHEN random() < .7 THEN 1 + (random() * 12)::int END,
  (ARRAY['photographer','venue','florist','caterer','dj'])[1 + (random() * 4)::int],
  (ARRAY['DE','FR','US','GB','ES','IT','NL','AT'])[1 + (random() * 7)::int],
  CASE WHEN random() < .2 THEN ARRAY['vip'] END,
  %(today)s::date + (random() * 360)::int - 20, c.created_at,
  %(today)s::timestamptz - (d.silent + random() * (1 + 10 * exp(-d.activity))) * interval '1 day',
  CASE WHEN random() < .8 THEN %(today)s::timestamptz - random() * d.age * interval '1 day' END,
  (d.activity * 6 * random())::int, (d.activity * 30 * random())::int, (d.activity * 4 * random())::int,
  (d.activity * 5 * random())::int, (d.activity * 40 * random())::int,
  CASE WHEN random() < .8 THEN round(random()::numeric, 2) END,
  CASE WHEN random() < .6 THEN round(random()::numeric, 2) END, (random() * 2)::int,
  CASE WHEN random() < .3 THEN 1 + (random() * 4)::int END, (random() * 8)::int, (random() * 4)::int, 5,
  CASE WHEN random() < .3 THEN ARRAY['spring', 'classic'] END,
  CASE WHEN random() < .2 THEN (random() * 3)::int END, CASE WHEN random() < .05 THEN true END,
  CASE WHEN random() < .5
    THEN jsonb_build_object('billing_period', (ARRAY['monthly','annual'])[1 + (random())::int]) ELSE '{}' END,
  jsonb_build_object('plan', c.created_at, 'vendor_type', c.created_at), %(today)s
FROM drawn d JOIN customers c USING (id)
"""
_FEATURES = (
    "(ARRAY['client_management','form_builder','journey_automation','analytics','templates','email_campaigns',"
    "'integrations','team_collaboration'])[1 + floor(random() * random() * 8)::int]"
)
# What happens how often in 120 days to a customer of mean activity, and the detail or measure that goes with it.
_TALLIES: tuple[tuple[str, float, str, str], ...] = (
    ("login", 9, "''", "0"),
    ("session_ended", 9, "''", "round((5 + random() * 40)::numeric)"),
    ("feature_used", 16, _FEATURES, "0"),
    ("client_active", 12, "'client-' || (random() * 15)::int", "0"),
    ("form_created", 2, "''", "0"),
    ("template_used", 2, "'template-' || (random() * 20)::int", "0"),
    ("client_imported", 1, "''", "0"),
    ("journey_created", 0.7, "''", "0"),
    ("ticket_opened", 0.8, "''", "0"),
    ("ticket_rated", 0.4, "CASE WHEN random() < .1 THEN '-' ELSE '' END", "1 + floor(random() * 5)"),
    ("payment_failed", 0.2, "''", "0"),
    ("referral_made", 0.2, "''", "0"),
    ("milestone_completed", 0.7, "'milestone-' || (random() * 8)::int", "0"),
)
_TALLY = """
INSERT INTO tallies (customer_id, day, name, detail, count, total)
SELECT id, %(today)s::date - greatest(silent, floor(random() * age))::int, '{name}', {detail},
  1 + floor(random() * 2)::int, {total}
FROM drawn, generate_series(1, floor(activity * {mean} * age / 120 + random())::int)
ON CONFLICT DO NOTHING
"""
# Scores that drift, as daily scores do; `n` days before today. A day's rows lie in the order of ids, a day after the
# other, as the nightly runs would have written them.
_SCORE = """
greatest(least(health + round(12 * sin(%(n)s / 17.0 + health))::int + abs(hashint4(%(n)s + 131 * health)) %% 4, 100), 0)
"""
_HEALTH = f"""
INSERT INTO customer_health (customer_id, day, health_score, risk_level, midnight_score, score_trend, model,
  calculated_at)
SELECT id, %(today)s::date - %(n)s, s,
  CASE WHEN s >= 70 THEN 'healthy' WHEN s >= 40 THEN 'at_risk' ELSE 'critical' END, s, 'stable', 'bench',
  %(today)s::timestamptz - %(n)s * interval '1 day'
FROM (SELECT id, {_SCORE} AS s FROM drawn WHERE age >= %(n)s) x
"""
_HISTORY = f"""
INSERT INTO signal_history (customer_id, day, plan, subscription_status, monthly_price, segment, last_login,
  session_count_30d, active_days_30d, usage_drop_percent, unique_features_used, features_adopted, clients_active_30d,
  support_tickets_30d, failed_payments_30d, health_score, risk_level, avg_health_30d, churn_probability,
  churn_risk_level, known_at)
SELECT id, %(today)s::date - %(n)s, 'starter', 'active', 49, 'established',
  %(today)s::timestamptz - %(n)s * interval '1 day', 4, 3, 10, 4, 3, 5, 0, 0, s, 'at_risk', s,
  round((1 - s / 100.0)::numeric, 2), 'low', %(today)s::timestamptz - %(n)s * interval '1 day'
FROM (SELECT id, {_SCORE} AS s FROM drawn WHERE age >= %(n)s) x
"""
# A run reads health of no more days than these; what is older is in the history, of Mondays, as the roll-up leaves it
# where so many days are kept (an installation of a million would hardly keep more).
HEALTH_DAYS = 35
# What triggers count: one event for each tally of the last 30 days.
_EVENTS = """
INSERT INTO events (day, source, message_id, customer_id, name, at, received_at, properties)
SELECT day, 'bench', gen_random_uuid()::text, customer_id, name, at, at, properties FROM (
  SELECT day, customer_id, name,
    day + random() * interval '1 day' * CASE WHEN day < %(today)s THEN 1 ELSE 0 END AS at,
    CASE WHEN name = 'ticket_rated' THEN jsonb_build_object('rating', total::int) ELSE '{}' END AS properties
  FROM tallies WHERE day >= %(today)s::date - 30
    AND name IN ('login', 'payment_failed', 'ticket_rated', 'form_created', 'referral_made')
) x
"""


async def make_customers(database_url: str, say: Say, *, customers: int, today: date) -> None:
    """Fill an empty database with so many customers and 120 days of tallies and history before `today`.

    Of the history the last 35 days are kept daily, those before on Mondays.
    """
    given = {"today": today, "customers": customers}
    tallies = [
        (f"tallies of {name}", _TALLY.format(name=name, mean=mean, detail=detail, total=total))
        for name, mean, detail, total in _TALLIES
    ]
    statements = [
        ("customers", _CUSTOMERS), ("activity", _DRAWN), ("signals", _SIGNALS), *tallies, ("events", _EVENTS),
    ]  # fmt: skip
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for setting in ("synchronous_commit = off", "timezone = 'UTC'", "work_mem = '256MB'"):
            await connection.execute(f"SET {setting}".encode())
        await connection.execute("SELECT setseed(0.5)")
        for what, sql in statements:
            cursor = psycopg.AsyncClientCursor(connection)
            await cursor.execute(sql.encode(), given)
            say(f"  {what}: {cursor.rowcount:,} rows")
        for what, sql, days in (("health", _HEALTH, HEALTH_DAYS), ("history", _HISTORY, HISTORY_DAYS)):
            rows = 0
            for n in range(days, 0, -1):
                if n > HEALTH_DAYS and (today - timedelta(days=n)).weekday() != 0:
                    continue
                cursor = psycopg.AsyncClientCursor(connection)
                await cursor.execute(sql.encode(), {"today": today, "n": n})
                rows += cursor.rowcount
            say(f"  {what}: {rows:,} rows")
        await connection.execute("DROP TABLE drawn")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
