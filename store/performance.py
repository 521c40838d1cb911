"""How the customer success managers do, per person and day: what the work lists, health and churn tables say of it."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.reading_rows import Row
from store.sharing import HOLDER

# From this probability on a customer counts as about to leave.
AT_RISK = 0.6
# What a contact is given the credit for comes within so many days of it.
CREDIT_DAYS = 30


class PerformanceRow(Row):
    """One person and UTC day. `accounts_managed` are their customers as of now.

    churn_prevented: customers that they spoke with (work done) while the day's prediction was 60 % or more, and who had
    not left when its window was over; total_ltv_impact is those customers' value at risk then. accounts_upgraded and
    health_score_improvements: customers whose plan cost more, or whose health was better, at the last known day within
    30 days of the contact than on the day of the contact. No cause is claimed: that is what holdouts are for.
    """

    agent: str
    metric_date: date
    accounts_managed: int
    interactions_completed: int
    avg_satisfaction_rating: float | None
    churn_prevented: int
    accounts_upgraded: int
    avg_time_to_resolution_hours: float | None
    health_score_improvements: int
    total_ltv_impact: float


class TeamRow(Row):
    """One person over several days, each of their customers counted once, from their first contact in that time on.

    `rated` contacts were rated. What is said of `PerformanceRow` goes for the rest.
    """

    agent: str
    interactions_completed: int = 0
    avg_satisfaction_rating: float | None = None
    rated: int = 0
    churn_prevented: int = 0
    accounts_upgraded: int = 0
    avg_time_to_resolution_hours: float | None = None
    health_score_improvements: int = 0
    total_ltv_impact: float = 0.0


_DONE = f"""
    WITH done AS (
        SELECT {HOLDER} AS agent, (closed_at AT TIME ZONE 'UTC')::date AS day, customer_id, satisfaction_rating,
            extract(epoch FROM closed_at - created_at) / 3600 AS hours
        FROM tasks
        WHERE state = 'done' AND closed_at >= CAST(:first AS date) AND closed_at < CAST(:last AS date) + 1
    )
"""
# Of contacts `k`, what came after them.
_CREDIT = """
            count(*) FILTER (WHERE p.churn_probability >= :at_risk AND p.actual_churn IS FALSE) AS prevented,
            sum(p.ltv_at_risk) FILTER (WHERE p.churn_probability >= :at_risk AND p.actual_churn IS FALSE) AS value,
            count(*) FILTER (WHERE later.health_score > h.health_score) AS improved,
            count(*) FILTER (WHERE after.monthly_price > before.monthly_price) AS upgraded
        FROM contacts k
        LEFT JOIN churn_predictions p ON p.customer_id = k.customer_id AND p.prediction_date = k.day
        LEFT JOIN customer_health h ON h.customer_id = k.customer_id AND h.day = k.day
        LEFT JOIN LATERAL (
            SELECT health_score FROM customer_health
            WHERE customer_id = k.customer_id AND day > k.day AND day <= k.day + :credit
            ORDER BY day DESC LIMIT 1
        ) later ON true
        LEFT JOIN LATERAL (
            SELECT monthly_price FROM signal_history
            WHERE customer_id = k.customer_id AND day <= k.day AND day > k.day - :credit
            ORDER BY day DESC, revision DESC LIMIT 1
        ) before ON true
        LEFT JOIN LATERAL (
            SELECT monthly_price FROM signal_history
            WHERE customer_id = k.customer_id AND day > k.day AND day <= k.day + :credit
            ORDER BY day DESC, revision DESC LIMIT 1
        ) after ON true
"""
_PERFORMANCE = text(
    f"""
    {_DONE}, contacts AS (
        SELECT DISTINCT agent, day, customer_id FROM done
    ), credited AS (
        SELECT k.agent, k.day, {_CREDIT}
        GROUP BY k.agent, k.day
    ), worked AS (
        SELECT agent, day, count(*) AS interactions, avg(satisfaction_rating)::float8 AS rating,
            avg(hours)::float8 AS hours
        FROM done GROUP BY agent, day
    )
    SELECT w.agent, w.day AS metric_date, w.interactions AS interactions_completed,
        w.rating AS avg_satisfaction_rating, w.hours AS avg_time_to_resolution_hours,
        c.prevented AS churn_prevented, c.upgraded AS accounts_upgraded, c.improved AS health_score_improvements,
        coalesce(c.value, 0) AS total_ltv_impact,
        (SELECT count(*) FROM customers WHERE csm = w.agent) AS accounts_managed
    FROM worked w JOIN credited c USING (agent, day)
    ORDER BY w.day, w.agent
    """
)

_TEAM = text(
    f"""
    {_DONE}, contacts AS (
        SELECT agent, min(day) AS day, customer_id FROM done GROUP BY agent, customer_id
    ), credited AS (
        SELECT k.agent, {_CREDIT}
        GROUP BY k.agent
    ), worked AS (
        SELECT agent, count(*) AS interactions, avg(satisfaction_rating)::float8 AS rating,
            count(satisfaction_rating) AS rated, avg(hours)::float8 AS hours
        FROM done GROUP BY agent
    )
    SELECT w.agent, w.interactions AS interactions_completed, w.rating AS avg_satisfaction_rating, w.rated,
        w.hours AS avg_time_to_resolution_hours, c.prevented AS churn_prevented, c.upgraded AS accounts_upgraded,
        c.improved AS health_score_improvements, coalesce(c.value, 0) AS total_ltv_impact
    FROM worked w JOIN credited c USING (agent)
    """
)


async def read_performance(connection: AsyncConnection, first: date, last: date) -> list[PerformanceRow]:
    """Every person and day from `first` to `last` (UTC, both included) on which they completed something."""
    rows = await connection.execute(
        _PERFORMANCE, {"first": first, "last": last, "at_risk": AT_RISK, "credit": CREDIT_DAYS}
    )
    return [PerformanceRow.model_validate(dict(row._mapping)) for row in rows]


async def read_team(connection: AsyncConnection, first: date, last: date) -> dict[str, TeamRow]:
    """Everybody who completed something from `first` to `last` (UTC, both included), over all these days."""
    rows = await connection.execute(
        _TEAM, {"first": first, "last": last, "at_risk": AT_RISK, "credit": CREDIT_DAYS}
    )
    return {row.agent: TeamRow.model_validate(dict(row._mapping)) for row in rows}
