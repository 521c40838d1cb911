"""What monitoring reads and writes: predictions that are to mature, their outcomes, days to judge, reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Among the upkeep: the last day whose predictions have their outcomes, as its midnight.
_MATURED = "matured"


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One stored prediction; `segment` is the customer's now. `actual` is None until the horizon is over."""

    customer_id: str
    day: date
    calculated_at: datetime
    probability: float
    within_30d: float | None
    level: str
    source: str
    version: str
    sent: bool
    held_out: bool
    actual: bool | None
    earliest: date | None
    latest: date | None
    segment: str


@dataclass(frozen=True, slots=True)
class HealthRow:
    """One stored health score; risk_level `unknown` where there is none."""

    customer_id: str
    day: date
    score: int | None
    risk_level: str
    model: str


async def load_matured_until(connection: AsyncConnection) -> date | None:
    """The last day whose predictions have their outcomes; None before the first."""
    at = (
        await connection.execute(text("SELECT at FROM upkeep WHERE name = :name"), {"name": _MATURED})
    ).scalar()
    return None if at is None else at.astimezone(UTC).date()


async def mark_matured_until(connection: AsyncConnection, midnight: datetime) -> None:
    """The predictions of the day that began at `midnight`, and of all before it, have their outcomes."""
    await connection.execute(
        text(
            "INSERT INTO upkeep (name, at) VALUES (:name, :at) "
            "ON CONFLICT (name) DO UPDATE SET at = greatest(upkeep.at, excluded.at)"
        ),
        {"name": _MATURED, "at": midnight},
    )


async def first_month(connection: AsyncConnection, since: date, until: date) -> date | None:
    """The first day of the first month with predictions, from the month of `since` to that of `until`."""
    rows = await connection.execute(
        text(
            "SELECT m::date FROM generate_series(date_trunc('month', CAST(:since AS timestamp)), "
            "CAST(:until AS timestamp), interval '1 month') AS m WHERE EXISTS (SELECT 1 FROM churn_predictions p "
            "WHERE p.prediction_date >= m::date AND p.prediction_date < (m + interval '1 month')::date) ORDER BY 1 LIMIT 1"
        ),
        {"since": since, "until": until},
    )
    found: date | None = rows.scalar()
    return found


async def list_unmatured(
    connection: AsyncConnection, day: date, after: str, limit: int
) -> list[tuple[str, datetime]]:
    """(customer id, calculated_at) of the next predictions of a day, by customer id after `after`."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text, calculated_at FROM churn_predictions WHERE prediction_date = :day "
            "AND customer_id > CAST(:after AS uuid) ORDER BY customer_id LIMIT :limit"
        ),
        {"day": day, "after": after, "limit": limit},
    )
    return [(row[0], row[1].astimezone(UTC)) for row in rows]


async def write_outcomes(connection: AsyncConnection, day: date, outcomes: Mapping[str, bool | None]) -> int:
    """Whether these customers left within the horizon of that day's prediction (None: they had left before it);
    returns how many rows say something else than before.
    """
    done = await connection.execute(
        text(
            "UPDATE churn_predictions p SET actual_churn = o.actual "
            "FROM unnest(CAST(:ids AS uuid[]), CAST(:actual AS boolean[])) AS o(id, actual) "
            "WHERE p.customer_id = o.id AND p.prediction_date = :day AND p.actual_churn IS DISTINCT FROM o.actual"
        ),
        {"day": day, "ids": list(outcomes), "actual": list(outcomes.values())},
    )
    return int(done.rowcount)


async def count_days(connection: AsyncConnection, ids: Sequence[str], since: date) -> dict[date, int]:
    """How many of these customers have a prediction, or else a health score, on each day from `since` on."""
    for table, day in (("churn_predictions", "prediction_date"), ("customer_health", "day")):
        rows = await connection.execute(
            text(
                f"SELECT {day}, count(*) FROM {table} WHERE customer_id = ANY(CAST(:ids AS uuid[])) "
                f"AND {day} >= :since GROUP BY 1"
            ),
            {"ids": list(ids), "since": since},
        )
        found = {row[0]: int(row[1]) for row in rows}
        if found:
            return found
    return {}


async def read_predictions(
    connection: AsyncConnection, ids: Sequence[str], days: Sequence[date]
) -> list[PredictionRow]:
    """The predictions of these customers on these days."""
    rows = await connection.execute(
        text(
            "SELECT p.customer_id::text, p.prediction_date, p.calculated_at, p.churn_probability, p.within_30d, "
            "p.risk_level, p.source, p.model_version, p.intervention_sent, p.held_out, p.actual_churn, "
            "p.earliest_churn_date, p.latest_churn_date, coalesce(s.segment, 'unknown') "
            "FROM churn_predictions p LEFT JOIN signals s ON s.customer_id = p.customer_id "
            "WHERE p.customer_id = ANY(CAST(:ids AS uuid[])) AND p.prediction_date = ANY(CAST(:days AS date[]))"
        ),
        {"ids": list(ids), "days": list(days)},
    )
    return [PredictionRow(*row) for row in rows]


async def read_health(
    connection: AsyncConnection, ids: Sequence[str], days: Sequence[date]
) -> list[HealthRow]:
    """The health scores of these customers on these days."""
    rows = await connection.execute(
        text(
            "SELECT customer_id::text, day, health_score, coalesce(risk_level, 'unknown'), model FROM customer_health "
            "WHERE customer_id = ANY(CAST(:ids AS uuid[])) AND day = ANY(CAST(:days AS date[]))"
        ),
        {"ids": list(ids), "days": list(days)},
    )
    return [HealthRow(*row) for row in rows]


async def count_covered(
    connection: AsyncConnection, day: date, youngest: datetime
) -> tuple[int, dict[str, int]]:
    """How many customers should have a prediction of `day` (not cancelled, signed up by `youngest`), and how many of
    them have one, by source.
    """
    active = (
        "FROM customers c LEFT JOIN signals s ON s.customer_id = c.id "
        "WHERE s.subscription_status IS DISTINCT FROM 'cancelled' AND coalesce(s.signed_up_at, c.created_at) <= :youngest"
    )
    given = {"youngest": youngest, "day": day}
    total = (await connection.execute(text(f"SELECT count(*) {active}"), given)).scalar_one()
    rows = await connection.execute(
        text(
            "SELECT p.source, count(*) FROM churn_predictions p WHERE p.prediction_date = :day "
            f"AND p.customer_id IN (SELECT c.id {active}) GROUP BY 1 ORDER BY 1"
        ),
        given,
    )
    return int(total), {row[0]: int(row[1]) for row in rows}


async def read_champions(connection: AsyncConnection) -> list[tuple[str, str, datetime]]:
    """(kind, version, trained_at) of what serves."""
    rows = await connection.execute(
        text("SELECT kind, version, trained_at FROM churn_models WHERE state = 'champion' ORDER BY kind DESC")
    )
    return [(row[0], row[1], row[2].astimezone(UTC)) for row in rows]


async def read_last_run(connection: AsyncConnection, until: datetime) -> tuple[date, datetime] | None:
    """The newest population run that had finished by then: its day, and when it finished."""
    rows = await connection.execute(
        text(
            "SELECT day, finished_at FROM population_runs WHERE finished_at <= :until ORDER BY finished_at DESC LIMIT 1"
        ),
        {"until": until},
    )
    row = rows.first()
    return None if row is None else (row[0], row[1].astimezone(UTC))


async def read_first_report_day(connection: AsyncConnection) -> date | None:
    """Since when there are reports."""
    found: date | None = (await connection.execute(text("SELECT min(day) FROM model_reports"))).scalar()
    return found


async def save_report(connection: AsyncConnection, day: date, at: datetime, report: str) -> None:
    """Keep a day's report (JSON); the later of a day stands."""
    await connection.execute(
        text(
            "INSERT INTO model_reports (day, at, report) VALUES (:day, :at, CAST(:report AS jsonb)) "
            "ON CONFLICT (day) DO UPDATE SET at = excluded.at, report = excluded.report"
        ),
        {"day": day, "at": at, "report": report},
    )


async def read_report(connection: AsyncConnection, day: date) -> str | None:
    """The report of a day as JSON; None where none was made."""
    found: Any = (
        await connection.execute(text("SELECT report FROM model_reports WHERE day = :day"), {"day": day})
    ).scalar()
    return None if found is None else json.dumps(found)


async def read_latest_report(connection: AsyncConnection) -> tuple[datetime, Mapping[str, Any]] | None:
    """The newest report of how good predictions were, and when it was made; None before the first."""
    rows = await connection.execute(text("SELECT at, report FROM model_reports ORDER BY day DESC LIMIT 1"))
    row = rows.first()
    return None if row is None else (row.at, row.report)


async def list_open_kinds(connection: AsyncConnection, kinds: Sequence[str]) -> frozenset[str]:
    """Those of these kinds of alert that are open."""
    rows = await connection.execute(
        text("SELECT DISTINCT kind FROM alerts WHERE resolved_at IS NULL AND kind = ANY(:kinds)"),
        {"kinds": list(kinds)},
    )
    return frozenset(rows.scalars())
