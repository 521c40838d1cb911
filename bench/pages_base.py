"""A base to look at, made inside PostgreSQL: customers with names, signals, daily health, features, runs and tasks."""

from __future__ import annotations

from datetime import date

import psycopg

from bench.system import Say

DAYS = 30

_CUSTOMERS = """
INSERT INTO customers (external_id, first_name, business_name, email, phone, timezone, locale, csm, created_at)
SELECT 'c' || n, (ARRAY['Ada','Ben','Chloé','Dana','Emil','Fatma','Gus','Hana','Iris','Jon'])[1 + n %% 10],
  (ARRAY['Golden','Silver','Northern','Old Mill','Harbour','Maple','Lakeside','Velvet','Sunny','Hidden','Copper',
    'Ivory','Wild','Meadow','Stone','Cedar'])[1 + (n * 7) %% 16] || ' ' ||
  (ARRAY['Hour','Barn','Lens','Petals','Table','Frame','Garden','Beats','Light','House','Studio'])[1 + (n * 13) %% 11]
    || ' ' || n,
  'c' || n || '@example.com', '+1555' || lpad(n::text, 7, '0'), 'Europe/Berlin', 'en',
  (ARRAY['anna','bert','carla','dirk','ella','farid','gina','hugo','ines','jack','kira','lars',NULL])[1 + (n %% 13)]
    || '@example.com',
  %(today)s - (random() * 700 + 5) * interval '1 day'
FROM generate_series(1, %(customers)s) n
"""
_DRAWN = """
CREATE UNLOGGED TABLE drawn AS
SELECT id, (random() * 100)::int AS health, (random() * 20 - 10)::int AS drift, random() AS luck
FROM customers ORDER BY id
"""
_SCORED = """
greatest(least(d.health + (d.drift * (%(n)s - 30) / 30.0)::int + abs(hashint4(%(n)s + 131 * d.health)) %% 3
  + CASE WHEN %(n)s < 30 THEN 0 WHEN d.luck < .025 THEN -9 WHEN d.luck < .05 THEN 9 ELSE 0 END, 100), 0)
"""
_RISK = "CASE WHEN {0} >= 75 THEN 'healthy' WHEN {0} >= 50 THEN 'at_risk' ELSE 'critical' END"
_HEALTH = f"""
INSERT INTO customer_health (customer_id, day, health_score, risk_level, midnight_score, previous_score, score_trend,
  model, calculated_at)
SELECT id, %(today)s::date - 30 + %(n)s, score, {_RISK.format("score")}, score, earlier,
  CASE WHEN abs(score - earlier) <= 5 THEN 'stable' WHEN score > earlier THEN 'improving' ELSE 'declining' END,
  'bench', %(today)s::date - 30 + %(n)s
FROM (SELECT d.id, {_SCORED} AS score, {_SCORED.replace("%(n)s", "(%(n)s - 1)")} AS earlier FROM drawn d ORDER BY id) x
"""
_SIGNALS = """
INSERT INTO signals (customer_id, plan, subscription_status, monthly_price, segment, vendor_type, country, signed_up_at,
  last_login, health_score, risk_level, health_trend, avg_health_30d, churn_probability, churn_risk_level, ltv_at_risk,
  features_adopted, open_tickets, failed_payments_30d, milestones_completed, team_size, session_count_30d,
  custom, stamps, changed_at)
SELECT d.id, (ARRAY['free','starter','pro','business'])[1 + (d.luck * 3.99)::int %% 4],
  (ARRAY['active','active','active','active','active','trial','past_due','cancelled'])[1 + (random() * 7)::int],
  price, (ARRAY['new_user','established','established','power_user'])[1 + (random() * 3)::int],
  (ARRAY['photographer','venue','florist','caterer','dj'])[1 + (random() * 4)::int],
  (ARRAY['DE','FR','US','GB','ES'])[1 + (random() * 4)::int], c.created_at,
  %(today)s::timestamptz + interval '8 hours' - (random() * (100 - d.health) / 2.5) * interval '1 day', h.health_score,
  h.risk_level, CASE WHEN d.drift > 3 THEN 'improving' WHEN d.drift < -3 THEN 'declining' ELSE 'stable' END,
  h.health_score, churn, CASE WHEN churn >= .8 THEN 'critical' WHEN churn >= .6 THEN 'high' WHEN churn >= .4
    THEN 'medium' ELSE 'low' END, round((18 * price * churn)::numeric, 2), (random() * 8)::int, (random() * 2)::int,
  CASE WHEN random() < .04 THEN 1 + (random() * 2)::int ELSE 0 END, (random() * 8)::int, 1 + (random() * 12)::int,
  (random() * 30)::int, jsonb_build_object('billing_period', 'monthly'),
  jsonb_build_object('plan', c.created_at, 'vendor_type', c.created_at, 'subscription_status', c.created_at), %(today)s
FROM drawn d JOIN customers c USING (id)
JOIN customer_health h ON h.customer_id = d.id AND h.day = %(today)s::date
CROSS JOIN LATERAL (SELECT round((5 + 95 * random() * d.luck)::numeric, 0) AS price,
  round(least(.97, greatest(.01, (105 - h.health_score) / 110.0 * (.6 + .5 * random())))::numeric, 4) AS churn) x
"""
_FEATURES = """
INSERT INTO tallies (customer_id, day, name, detail, count, total)
SELECT id, %(today)s::date - floor(random() * 60)::int - CASE WHEN luck < .1 THEN 31 ELSE 0 END, 'feature_used',
  (ARRAY['client_management','form_builder','journey_automation','analytics','templates'])[1 + (random() * 4)::int],
  1 + floor(random() * 3)::int, 0
FROM drawn, generate_series(1, 12) ON CONFLICT DO NOTHING
"""
# They are over: of one that runs the worker would want the version and the workflow.
_RUNS = """
INSERT INTO runs (id, playbook, version, customer_id, arm, state, outcome, entered_at, ended_at, workflow_id, step)
SELECT gen_random_uuid(), 'rescue', 'v1', id, CASE WHEN luck < .002 THEN 'held_out' ELSE 'treated' END, 'ended',
  'completed', %(today)s::timestamptz - interval '2 days', %(today)s::timestamptz - interval '1 day',
  'playbook/rescue/' || id, 'ring'
FROM drawn WHERE luck < .02
"""
_TASKS = """
INSERT INTO tasks (id, run_id, customer_id, step, occurrence, kind, title, assignee, outcomes, state, created_at,
  due_at, give_up_at)
SELECT gen_random_uuid(), id, customer_id, 'ring', 0, 'call', 'Call the owner', 'anna@example.com',
  ARRAY['reached','no_answer'], 'open', entered_at, entered_at + interval '3 days', entered_at + interval '9 days'
FROM runs WHERE arm = 'treated'
"""
_MAILS = """
INSERT INTO deliveries (id, run_id, customer_id, step, occurrence, channel, state, status, created_at, claimed_at,
  settled_at, status_at)
SELECT gen_random_uuid(), id, customer_id, 'greet', 0, 'email', 'accepted',
  CASE WHEN random() < .1 THEN 'bounced' ELSE 'delivered' END, entered_at, entered_at, entered_at, entered_at
FROM runs WHERE arm = 'treated'
"""


async def make_customers(database_url: str, say: Say, *, customers: int, today: date) -> None:
    """Fill an empty, migrated database; `today` is the last day of health, in UTC. The draw is always the same."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("SELECT setseed(0.25)")
        for what, sql, days in (
            ("customers", _CUSTOMERS, (0,)), ("drawn", _DRAWN, (0,)), ("health", _HEALTH, range(1, DAYS + 1)),
            ("signals", _SIGNALS, (0,)), ("features", _FEATURES, (0,)), ("runs", _RUNS, (0,)),
            ("tasks", _TASKS, (0,)), ("mails", _MAILS, (0,)),
        ):  # fmt: skip
            rows = 0
            for n in days:
                cursor = psycopg.AsyncClientCursor(connection)
                await cursor.execute(sql.encode(), {"today": today, "customers": customers, "n": n})
                rows += cursor.rowcount
            say(f"  {what}: {rows:,} rows")
        await connection.execute("DROP TABLE drawn")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
