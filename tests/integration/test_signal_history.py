"""A day's signals in columns: what was written comes back as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import text

from schemas.signal_value import WrongType
from store import signals
from store.database import Database
from store.past_reading import load_pasts

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
DAY = MIDNIGHT.date()
VALUES: dict[str, Any] = {
    "forms_created": 3,
    "avg_session_minutes": 12.25,
    "form_completion_rate": 1e-7,
    "plan": 'pro "plus"\x1f{a,b}',
    "influencer": True,
    "recent_viral_activity": False,
    "last_login": datetime(2026, 3, 1, 23, 59, 59, 123456, tzinfo=UTC),
    "renewal_date": date(2027, 1, 31),
    "tags": ("a", 'b "c"', "{d,e}", ""),
    "best_templates": (),
    "billing_period": "annual",
    "our_own": 7,
}


async def test_values_of_every_type_come_back_as_they_were(database_url: str) -> None:
    database = Database(database_url, connections=1)
    async with database.transaction() as connection:
        id_ = (
            await connection.execute(
                text(
                    "INSERT INTO customers (external_id, created_at) VALUES ('ada', :at) RETURNING id::text"
                ),
                {"at": MIDNIGHT - timedelta(days=9)},
            )
        ).scalar_one()
        given = VALUES | {"team_size": WrongType("many")}
        await signals.record_day(connection, DAY, {id_: given}, MIDNIGHT)
        # The first that is known of a day stands; a customer who came later has none.
        await signals.record_day(connection, DAY, {id_: {"forms_created": 4}}, MIDNIGHT)
        await signals.record_day(connection, DAY - timedelta(days=10), {id_: {"forms_created": 4}}, MIDNIGHT)
        found = await signals.load_history(
            connection, [id_], {*VALUES, "team_size", "country"}, date(2020, 1, 1)
        )
        pasts = await load_pasts(
            connection,
            [id_],
            history=[*VALUES, "team_size"],
            days=(DAY, DAY + timedelta(days=1)),
            known_by=MIDNIGHT,
        )
    await database.close()
    for read in ({name: days for name, days in found[id_].items() if days}, pasts[id_].days):
        assert {name: list(days) for name, days in read.items()} == {n: [(DAY, v)] for n, v in VALUES.items()}
        assert {name: type(days[0][1]) for name, days in read.items()} == {
            n: type(v) for n, v in VALUES.items()
        }
