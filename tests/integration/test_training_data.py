"""What training reads: who was there on the days of the calendar, as they were known, and what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from activities.training_data import TrainingData, read_training
from rules.assignment import held_out
from schemas.catalogue import load_catalogue
from schemas.policy import Policy
from scoring.churning.columns import Categories, Numbers
from scoring.features import learnable
from store.database import Database, encode
from store.publishing import publish
from tests.integration.training_base import UNTIL, by_more, load_base, make_base, open_database

# Mondays of the calendar, as any training finds them.
LATE, MIDDLE, EARLY = date(2026, 5, 11), date(2026, 4, 13), date(2026, 3, 16)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    yield database
    await database.close()


class Writer:
    """Writes single customers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.count = 0

    async def run(self, sql: str, **given: Any) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), given)

    async def customer(self, name: str, came: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> str:
        """A customer; returns the id."""
        self.count += 1
        id_ = f"00000000-0000-4000-8000-{self.count:012x}"
        await self.run(
            "INSERT INTO customers (id, external_id, created_at) VALUES (CAST(:id AS uuid), :name, :came)",
            id=id_, name=name, came=came,
        )  # fmt: skip
        return id_

    async def day(self, id_: str, day: date, revision: int = 0, **values: Any) -> None:
        """A day's row."""
        row = {
            "customer_id": id_, "day": day, "revision": revision, "known_at": datetime(2026, 6, 1, tzinfo=UTC),
            "custom": {}, **values,
        }  # fmt: skip
        await self.run(
            f"INSERT INTO signal_history ({', '.join(row)}) SELECT {', '.join(row)} "
            "FROM jsonb_populate_record(NULL::signal_history, CAST(:row AS jsonb))",
            row=encode(row),
        )

    async def event(self, id_: str, name: str, at: datetime, **properties: Any) -> str:
        """An event; returns its message id."""
        self.count += 1
        message = f"m{self.count}"
        await self.run(
            "INSERT INTO events (day, source, message_id, customer_id, name, at, received_at, properties) VALUES "
            "(:day, 'test', :message, CAST(:id AS uuid), :name, :at, :at, CAST(:properties AS jsonb))",
            day=at.date(), message=message, id=id_, name=name, at=at, properties=encode(properties),
        )  # fmt: skip
        return message

    async def logins(self, id_: str, since: date, until: date, every_days: int = 5) -> None:
        """Logins at noon."""
        at = datetime.combine(since, datetime.min.time(), UTC) + timedelta(hours=12)
        while at.date() <= until:
            await self.event(id_, "login", at)
            at += timedelta(days=every_days)


async def read(database: Database, **options: Any) -> TrainingData:
    return await read_training(database, load_catalogue(), as_of=UNTIL, **options)


def noon(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)


async def test_rows_are_of_the_calendar_and_ages_of_their_midnight(database: Database) -> None:
    write = Writer(database)
    one = await write.customer("one")
    await write.logins(one, date(2026, 1, 1), date(2026, 6, 1))
    for day in (EARLY, MIDDLE, date(2026, 4, 14), LATE):
        await write.day(
            one, day, plan="pro", support_tickets_30d=2, signed_up_at=datetime(2025, 1, 1, tzinfo=UTC),
            last_login=noon(day) - timedelta(days=3), renewal_date=date(2026, 6, 15), recent_viral_activity=True,
            custom={"billing_period": "annual"},
        )  # fmt: skip
    snapshots = (await read(database)).snapshots
    assert [date.fromordinal(day) for day in snapshots.day] == [EARLY, MIDDLE, LATE]
    table = snapshots.table
    assert set(table) == {signal.name for signal in learnable(load_catalogue())}
    assert table["support_tickets_30d"].values.tolist() == [2, 2, 2]  # type: ignore[union-attr]
    # From noon three days before to midnight are two days and a half.
    assert table["days_since_last_login"].values.tolist() == [2, 2, 2]  # type: ignore[union-attr]
    assert table["account_age_days"].values[0] == (EARLY - date(2025, 1, 1)).days  # type: ignore[union-attr]
    plan, billing = table["plan"], table["billing_period"]
    assert isinstance(plan, Categories)
    assert isinstance(billing, Categories)
    assert {plan.levels[code] for code in plan.codes} == {"pro"}
    assert {billing.levels[code] for code in billing.codes} == {"annual"}
    assert snapshots.renewal.tolist() == [(date(2026, 6, 15) - day).days for day in (EARLY, MIDDLE, LATE)]
    assert np.isnan(snapshots.left).all()
    assert snapshots.followed[2] == pytest.approx(23 + 4 / 24)


async def test_the_newest_revision_of_a_day_holds(database: Database) -> None:
    write = Writer(database)
    one = await write.customer("one")
    await write.logins(one, date(2026, 1, 1), date(2026, 6, 1))
    await write.day(one, MIDDLE, forms_created=1)
    await write.day(one, MIDDLE, revision=1, forms_created=5)
    assert (await read(database)).snapshots.table["forms_created"].values.tolist() == [5]  # type: ignore[union-attr]


async def test_who_had_left_or_is_too_young_has_no_row_and_who_leaves_later_says_when(
    database: Database,
) -> None:
    write = Writer(database)
    ids = {}
    for name in ("cancels", "falls-silent", "gone", "young", "stays", "corrected"):
        ids[name] = await write.customer(name)
        last = date(2026, 3, 30) if name == "falls-silent" else date(2026, 6, 1)
        await write.logins(ids[name], date(2026, 1, 1), last)
        signed_up = datetime(2026, 4, 7, tzinfo=UTC) if name == "young" else datetime(2025, 1, 1, tzinfo=UTC)
        await write.day(ids[name], MIDDLE, health_score=50, signed_up_at=signed_up)
    await write.event(ids["cancels"], "subscription_cancelled", noon(date(2026, 4, 18)))
    await write.event(ids["gone"], "subscription_cancelled", noon(date(2026, 4, 12)))
    # What never happened, as was said afterwards.
    message = await write.event(ids["corrected"], "subscription_cancelled", noon(date(2026, 4, 18)))
    await write.run(
        "INSERT INTO corrections (source, message_id, customer_id, author, at) "
        "VALUES ('test', :message, CAST(:id AS uuid), 'somebody', now())",
        message=message, id=ids["corrected"],
    )  # fmt: skip
    # An identify call that says nothing of the subscription, and one that does.
    await write.event(ids["stays"], "identify", noon(date(2026, 4, 19)), traits={"plan": "pro"})
    snapshots = (await read(database)).snapshots
    left = dict(zip(("cancels", "corrected", "falls-silent", "stays"), snapshots.left.tolist(), strict=True))
    assert left["cancels"] == 5.5
    # The last login was at noon of March 27 (every fifth day from January 1).
    assert left["falls-silent"] == (noon(date(2026, 3, 27)) + timedelta(days=60) - noon(MIDDLE)).days + 0.5
    assert np.isnan([left["stays"], left["corrected"]]).all()


async def test_a_trait_that_says_cancelled_is_a_cancellation(database: Database) -> None:
    write = Writer(database)
    one = await write.customer("one")
    await write.logins(one, date(2026, 1, 1), date(2026, 6, 1))
    await write.day(one, MIDDLE, health_score=50)
    await write.event(one, "identify", noon(date(2026, 4, 17)), traits={"subscriptionStatus": "cancelled"})
    assert (await read(database)).snapshots.left.tolist() == [4.5]


async def test_treatment_and_the_permanent_holdout_are_told(database: Database) -> None:
    write = Writer(database)
    async with database.transaction() as connection:
        await publish(connection, {}, {}, Policy(holdout_percent=30.0), author="test", now=UNTIL)
    names = [f"customer-{number}" for number in range(20)]
    for name in names:
        id_ = await write.customer(name)
        await write.logins(id_, date(2026, 2, 1), date(2026, 6, 1), every_days=20)
        await write.day(id_, MIDDLE, health_score=50)
        for arm, at in (
            ("treated", datetime(2026, 4, 3, tzinfo=UTC)),
            ("treated", datetime(2026, 5, 3, tzinfo=UTC)),
            ("held_out", datetime(2026, 1, 1, tzinfo=UTC)),
            ("shadow", datetime(2026, 1, 1, tzinfo=UTC)),
        ):
            await write.run(
                "INSERT INTO runs (id, playbook, version, customer_id, key, arm, state, workflow_id, entered_at, "
                "ended_at) VALUES (gen_random_uuid(), 'p', 'v', CAST(:id AS uuid), :key, :arm, 'ended', 'w', :at, :at)",
                id=id_, key=f"{at}", arm=arm, at=at,
            )  # fmt: skip
    snapshots = (await read(database)).snapshots
    assert snapshots.treated_from.tolist() == [-10.0] * 20
    # The second run began before the first one's 84 days were over.
    assert snapshots.treated_until.tolist() == [20.0 + 84] * 20
    expected = [held_out("global", 30.0, name) for name in sorted(names)]
    assert snapshots.held_out.tolist() == expected
    assert 0 < sum(expected) < 20


async def test_a_draw_is_bounded_and_the_same_each_time(database: Database) -> None:
    await load_base(database, make_base(by_more, customers=120))
    whole = await read(database)
    told: list[str] = []
    first = await read(database, most_rows=300, say=told.append)
    again = await read(database, most_rows=300)
    assert 100 < len(first.snapshots) <= 300 < len(whole.snapshots)
    assert first.snapshots.day.tolist() == again.snapshots.day.tolist()
    health, same = first.snapshots.table["health_score"], again.snapshots.table["health_score"]
    assert isinstance(health, Numbers)
    assert isinstance(same, Numbers)
    assert health.values.tolist() == same.values.tolist()
    assert "120 customers looked at" in told[-1]


async def test_an_empty_database_gives_no_rows(database: Database) -> None:
    data = await read(database)
    assert len(data.snapshots) == 0
    assert data.of_rows == 0
