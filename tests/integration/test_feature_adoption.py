"""The view feature_adoption, which others read, says what `scoring.adoption` says."""

from __future__ import annotations

import random
from datetime import UTC, timedelta

from sqlalchemy import text

from scoring.adoption import UseDay, adopt_features
from store.database import Database, encode

COLUMNS = (
    "feature_key", "first_used_at", "last_used_at", "usage_frequency", "adoption_stage", "usage_count",
    "value_realization_score", "abandonment_risk",
)  # fmt: skip


def invent(draw: random.Random, days: int) -> set[int]:
    """On which days before today a feature was used: a habit, now and then, once, long ago."""
    share = draw.choice([0.02, 0.1, 0.5, 0.95])
    first, last = sorted(draw.sample(range(days), 2))
    return {back for back in range(first, last + 1) if draw.random() < share} | {draw.randint(0, days - 1)}


async def test_the_view_and_the_function_agree_to_the_digit(database_url: str) -> None:
    draw = random.Random(4)
    database = Database(database_url, connections=1)
    async with database.transaction() as connection:
        # One transaction, one day: the view reads its clock.
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
        today = now.astimezone(UTC).date()
        uses: dict[tuple[str, str], list[UseDay]] = {}
        for number in range(400):
            customer, feature = f"c{number % 40}", f"f{number // 40}"
            days = invent(draw, draw.choice([3, 31, 62, 200]))
            # Nobody has used anything tomorrow, whatever a sender's clock says.
            days |= {-1} if draw.random() < 0.1 else set()
            uses[customer, feature] = [
                UseDay(feature, today - timedelta(days=back), draw.choice([1, 2, 3, 9])) for back in days
            ]
        await connection.execute(
            text(
                "INSERT INTO customers (external_id, created_at) SELECT DISTINCT 'c' || n, now() "
                "FROM generate_series(0, 39) n"
            )
        )
        rows = [
            {
                "customer": customer,
                "name": "feature_used",
                "detail": one.feature,
                "day": one.day,
                "count": one.count,
            }
            for (customer, _), days in uses.items()
            for one in days
        ]
        rows.append({"customer": "c1", "name": "feature_used", "detail": "", "day": today, "count": 3})
        rows.append({"customer": "c1", "name": "login", "detail": "x", "day": today, "count": 3})
        await connection.execute(
            text(
                "INSERT INTO tallies (customer_id, day, name, detail, count, total) "
                "SELECT c.id, r.day, r.name, r.detail, r.count, 0 FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
                "AS r(customer text, day date, name text, detail text, count int) "
                "JOIN customers c ON c.external_id = r.customer"
            ),
            {"rows": encode(rows)},
        )
        found = {
            (row.customer, row.feature_key): tuple(getattr(row, name) for name in COLUMNS)
            for row in await connection.execute(text("SELECT * FROM feature_adoption"))
        }
        [only] = await connection.execute(
            text("SELECT count(*), count(DISTINCT customer_id) FROM feature_adoption WHERE customer = 'c7'")
        )
    await database.close()
    expected = {}
    for (customer, feature), days in uses.items():
        [adoption] = adopt_features(days, [feature], today)
        if adoption.adoption_stage != "never_used":
            expected[customer, feature] = tuple(getattr(adoption, name) for name in COLUMNS)
    assert found == expected
    assert tuple(only) == (len({key for key in expected if key[0] == "c7"}), 1)
    assert {row[4] for row in found.values()} == {"churned", "trial", "adopting", "power_user"}
    assert len({row[7] for row in found.values()}) > 60
