"""What scoring found of one part of the population, written in sets: no row of anybody is waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.bulk import Array, Rows, execute_arrays, fetch_arrays
from store.tables import SIGNAL_COLUMNS

# Where a list of names is one text; no name of a signal or event has it.
_BETWEEN = "\x1f"


async def save_signals(connection: AsyncConnection, rows: Rows, now: datetime) -> Array:
    """Write signals where the stored row is still the one that was read; returns the places of those that weren't.

    `rows` has customer_id, version (as read; 0: there was no row), place, and signals. Rows that somebody else holds
    aren't waited for. All stay locked to the end of the transaction.
    """
    names = [name for name in rows.values if name in SIGNAL_COLUMNS]
    moved = ", ".join(f"{name} = {rows.values[name]}" for name in names)
    [left] = await fetch_arrays(
        connection,
        f"WITH v AS MATERIALIZED (SELECT * FROM {rows.sources}), "
        "free AS MATERIALIZED (SELECT s.customer_id FROM signals s JOIN v ON v.customer_id = s.customer_id "
        "WHERE s.xmin::text::int8 = v.version FOR NO KEY UPDATE OF s SKIP LOCKED), "
        f"moved AS (UPDATE signals s SET {moved}, changed_at = %(now)s FROM v JOIN free ON free.customer_id = v.customer_id "
        "WHERE s.customer_id = v.customer_id RETURNING v.place), "
        f"added AS (INSERT INTO signals (customer_id, changed_at, {', '.join(names)}) "
        f"SELECT v.customer_id, %(now)s, {', '.join(rows.values[name] for name in names)} FROM v WHERE v.version = 0 "
        "AND EXISTS (SELECT FROM customers c WHERE c.id = v.customer_id) ON CONFLICT DO NOTHING RETURNING customer_id) "
        "SELECT array_agg(v.place) FROM v WHERE v.place NOT IN (SELECT place FROM moved) "
        "AND v.customer_id NOT IN (SELECT customer_id FROM added)",
        {**rows.given, "now": now},
    )
    return np.zeros(0, np.int32) if left is None else left


async def record_days(connection: AsyncConnection, ids: Array, day: date, now: datetime) -> None:
    """These customers' signals as they are stored now are those of `day`, unless the day has some.

    Of a customer who came during the day there are none; what is of the wrong type is left out.
    """
    names = ", ".join(SIGNAL_COLUMNS)
    await execute_arrays(
        connection,
        f"INSERT INTO signal_history (customer_id, day, revision, known_at, custom, {names}) "
        "SELECT s.customer_id, %(day)s, 0, %(now)s, CASE WHEN s.custom = '{}' THEN s.custom ELSE (SELECT "
        "coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(s.custom) WHERE jsonb_typeof(value) <> 'object') END, "
        f"{', '.join(f's.{name}' for name in SIGNAL_COLUMNS)} FROM signals s JOIN customers c ON c.id = s.customer_id "
        "WHERE s.customer_id = ANY(%(ids)s) AND c.created_at <= %(midnight)s ON CONFLICT DO NOTHING",
        {"ids": ids, "day": day, "now": now, "midnight": datetime(day.year, day.month, day.day, tzinfo=UTC)},
    )


_HEALTH_KEPT = ("customer_id", "day", "intervention_triggered", "midnight_score")


async def save_health_columns(
    connection: AsyncConnection, rows: Rows, *, day: date, model: str, next_review: date, now: datetime
) -> None:
    """The day's rows of health; what is known of the day's midnight, and that a playbook stepped in, stays.

    `rows` has customer_id, health_score, risk_level, previous_score, score_trend, enhanced_score, last_login, the four
    scores of factors, and factor_0, factor_1 …
    """
    factors = [name for name in rows.values if name.startswith("factor_")]
    values = {name: sql for name, sql in rows.values.items() if name not in factors}
    values |= {
        "day": "%(day)s", "model": "%(model)s", "next_review_date": "%(next_review)s", "calculated_at": "%(now)s",
        "factors": f"ARRAY[{', '.join(rows.values[name] for name in factors)}]::real[]",
        "midnight_score": f"CASE WHEN c.created_at <= %(midnight)s THEN {rows.values['health_score']} END",
    }  # fmt: skip
    moved = ", ".join(f"{name} = excluded.{name}" for name in values if name not in _HEALTH_KEPT)
    await execute_arrays(
        connection,
        f"INSERT INTO customer_health ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM {rows.sources} JOIN customers c ON c.id = v.customer_id ON CONFLICT (customer_id, day) DO UPDATE SET {moved}, "
        "midnight_score = coalesce(customer_health.midnight_score, excluded.midnight_score)",
        {
            **rows.given, "day": day, "model": model, "next_review": next_review, "now": now,
            "midnight": datetime(day.year, day.month, day.day, tzinfo=UTC),
        },
    )  # fmt: skip


async def save_prediction_columns(
    connection: AsyncConnection,
    rows: Rows,
    *,
    day: date,
    factors: Sequence[str],
    reasons: int,
    now: datetime,
) -> None:
    """The day's predictions; that a playbook stepped in, and what became of the customer, stays.

    `rows` has the columns of churn_predictions but for: factor_0 … are the named `factors`, reason_0 … and effect_0 …
    the strongest so many reasons.
    """
    own = {
        name: sql
        for name, sql in rows.values.items()
        if not name.startswith(("factor_", "reason_", "effect_"))
    }
    named = ", ".join(f"'{name}', v.factor_{place}" for place, name in enumerate(factors))
    told = ", ".join(
        f"CASE WHEN v.reason_{place} >= 0 THEN jsonb_build_object('signal', {rows.values[f'reason_{place}']}, "
        f"'effect', v.effect_{place}) END"
        for place in range(reasons)
    )
    values = own | {
        "prediction_date": "%(day)s", "calculated_at": "%(now)s",
        "prediction_factors": f"jsonb_build_object({named})",
        "reasons": f"jsonb_path_query_array(jsonb_build_array({told}), '$[*] ? (@ != null)')",
    }  # fmt: skip
    moved = ", ".join(
        f"{name} = excluded.{name}" for name in values if name not in ("customer_id", "prediction_date")
    )
    await execute_arrays(
        connection,
        f"INSERT INTO churn_predictions ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {rows.sources} "
        f"ON CONFLICT (customer_id, prediction_date) DO UPDATE SET {moved}",
        {**rows.given, "day": day, "now": now},
    )


@dataclass(frozen=True)
class Asked:
    """Customers whom the evaluator is to look at, by raw id, each with the names of what changed."""

    ids: Array
    changed: Sequence[frozenset[str]]


async def request_looks(connection: AsyncConnection, asked: Asked, now: datetime) -> None:
    """Ask for a look at these customers by all triggers."""
    if not len(asked.ids):
        return
    rows = Rows()
    rows.ids("customer_id", asked.ids)
    rows.texts("changed", [_BETWEEN.join(sorted(names)) for names in asked.changed])
    await execute_arrays(
        connection,
        "INSERT INTO evaluations AS e (customer_id, since, changed, everything) "
        f"SELECT v.customer_id, %(now)s, string_to_array(v.changed, %(between)s), true FROM {rows.sources} "
        "JOIN customers c ON c.id = v.customer_id ORDER BY v.customer_id "
        "ON CONFLICT (customer_id) DO UPDATE SET everything = true, "
        "changed = ARRAY(SELECT DISTINCT unnest(e.changed || excluded.changed) ORDER BY 1)",
        {**rows.given, "now": now, "between": _BETWEEN},
    )


async def record_failures(
    connection: AsyncConnection, day: date, failures: Mapping[str, tuple[str, str]], now: datetime
) -> None:
    """Customers that couldn't be scored, by id: a code, and what went wrong."""
    for customer_id, (code, error) in sorted(failures.items()):
        await connection.execute(
            text(
                "INSERT INTO scoring_failures (day, customer_id, code, error, at) "
                "SELECT :day, id, :code, :error, :now FROM customers WHERE id = CAST(:id AS uuid) "
                "ON CONFLICT (day, customer_id) DO UPDATE SET code = excluded.code, error = excluded.error, at = excluded.at"
            ),
            {"day": day, "id": customer_id, "code": code, "error": error, "now": now},
        )
