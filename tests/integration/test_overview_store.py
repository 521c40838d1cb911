"""The list of customers says of any population what going through all of them one by one would say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from store import reading_overview, tables
from store.database import Database
from store.overview_counts import count_groups
from store.overview_rows import WEEK_DAYS, OverviewRow
from store.reading_overview import (
    CURRENT,
    DIMENSIONS,
    NONE,
    SORTS,
    OverviewFilter,
    export_overview,
    find_matching,
    list_overview,
)
from web.overview_facets import FacetCounter, fold_groups

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
VALUES: dict[str, list[str | None]] = {
    "risk": ["critical", "at_risk", "healthy", None],
    "segment": ["new_user", "established", None],
    "csm": ["anna@example.com", "bert@example.com", "none at all", None],
    "trend": ["improving", "stable", "declining", None],
    "plan": ["free", "pro", None],
    "status": ["active", "past_due", "cancelled", None],
}
NAMES = ("Golden Hour", "old mill", "100% Barn", "Under_score", "Ähre", "back\\slash", "Barn", "barn")


class Customer:
    """One customer as it was drawn, and what the list is to say of them."""

    def __init__(self, draw: random.Random, number: int) -> None:
        self.user_id = f"c{number}" if draw.random() < 0.7 else f"C_{number}%"
        self.business = draw.choice([*NAMES, None])
        self.first = draw.choice(["Ada", "Ben", None])
        self.email = draw.choice([f"p{number}@Example.com", None])
        self.known = draw.random() < 0.9
        self.of = {name: draw.choice(values) for name, values in VALUES.items()}
        if not self.known:
            self.of |= dict.fromkeys(("risk", "segment", "trend", "plan", "status"))
        self.numbers: dict[str, float | None] = {
            name: (draw.choice([0.0, 1.0, 25.0, 50.0, 99.0, None]) if self.known else None)
            for name in ("health", "churn", "revenue", "ltv")
        }
        self.numbers["churn"] = None if self.numbers["churn"] is None else self.numbers["churn"] / 100
        self.login = (
            NOW - timedelta(hours=draw.randrange(100)) if self.known and draw.random() < 0.8 else None
        )
        self.renewal = (
            NOW.date() + timedelta(days=draw.randrange(-3, 3)) if self.known and draw.random() < 0.8 else None
        )
        # What the nightly run said today, or else yesterday.
        self.days = {
            day: (draw.randrange(101), draw.choice([draw.randrange(101), None]))
            for day in (0, 1, 2, 3, WEEK_DAYS)
            if draw.random() < 0.5
        }
        latest = next((self.days[day] for day in (0, 1) if day in self.days), None)
        self.change = None if latest is None or latest[1] is None else latest[0] - latest[1]
        self.of["change"] = None if latest is None else _trend(*latest)

    @property
    def name(self) -> str:
        return self.business or self.first or self.user_id

    def is_wanted(self, wanted: OverviewFilter) -> bool:
        search = wanted.search.lower()
        found = not search or any(
            search in (one or "").lower() for one in (self.user_id, self.business, self.first, self.email)
        )
        return found and all(
            not values
            or (self.of[name] or NONE) in values
            or (name == "status" and CURRENT in values and self.of[name] != "cancelled")
            for name, values in wanted.values.items()
        )

    def place(self, sort: str) -> Any:
        match sort:
            case "name":
                return self.name.lower()
            case "login":
                return self.login
            case "renewal":
                return self.renewal
            case "change":
                return self.change
            case "week":
                now, then = self.numbers["health"], self.days.get(WEEK_DAYS)
                return None if now is None or then is None else now - then[0]
            case _:
                return self.numbers[sort]


def _trend(score: int, before: int | None) -> str | None:
    if before is None:
        return None
    return "stable" if abs(score - before) <= 5 else "improving" if score > before else "declining"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=2)
    yield database
    await database.close()


async def populate(
    database: Database, draw: random.Random, count: int, nightly: str = "under way"
) -> dict[str, Customer]:
    """Drawn customers, by our id of them; after a nightly run all whom it didn't fail for have a score of today."""
    drawn = [Customer(draw, number) for number in range(count)]
    people: dict[str, Customer] = {}
    async with database.transaction() as connection:
        if nightly != "under way":
            run = {"day": NOW.date(), "started_at": NOW, "finished_at": NOW}
            await connection.execute(insert(tables.population_runs).values(run))
            shard = {"day": NOW.date(), "scored": count, "requested": 0, "seconds": 1, "finished_at": NOW}
            failed = int(nightly == "over, and failed for some")
            for number in range(2):
                await connection.execute(
                    insert(tables.population_shards).values(
                        {**shard, "shard": number, "failed": failed * number}
                    )
                )
        if nightly == "over":
            drawn = [one for one in drawn if 0 in one.days or 1 not in one.days]
        for one in drawn:
            id_ = (
                await connection.execute(
                    insert(tables.customers)
                    .values(
                        external_id=one.user_id, business_name=one.business, first_name=one.first, email=one.email,
                        csm=one.of["csm"], created_at=NOW,
                    )
                    .returning(tables.customers.c.id)
                )
            ).scalar_one()  # fmt: skip
            people[str(id_)] = one
            if one.known:
                await connection.execute(
                    insert(tables.signals).values(
                        customer_id=id_, plan=one.of["plan"], segment=one.of["segment"], risk_level=one.of["risk"],
                        health_trend=one.of["trend"], health_score=one.numbers["health"],
                        churn_probability=one.numbers["churn"], monthly_price=one.numbers["revenue"],
                        ltv_at_risk=one.numbers["ltv"], last_login=one.login, changed_at=NOW,
                        renewal_date=one.renewal,
                        subscription_status=one.of["status"],
                    )
                )  # fmt: skip
            for day, (score, before) in one.days.items():
                await connection.execute(
                    insert(tables.customer_health).values(
                        customer_id=id_, day=(NOW - timedelta(days=day)).date(), health_score=score,
                        previous_score=before, score_trend=_trend(score, before), model="m", calculated_at=NOW,
                    )
                )  # fmt: skip
    return people


def draw_filter(draw: random.Random) -> OverviewFilter:
    values = {}
    for name in draw.sample(list(DIMENSIONS), draw.choice([0, 0, 1, 1, 2, 3])):
        of = VALUES.get(name, ["improving", "stable", "declining", None])
        values[name] = tuple(one or NONE for one in draw.sample(of, draw.randint(1, 2)))
    # As the pages ask, unless somebody asks them for another.
    if "status" not in values and draw.random() < 0.6:
        values["status"] = (CURRENT,)
    search = draw.choice(
        ["", "", "", "barn", "C1", "%", "_", "\\", "example.COM", "äh", "nobody is called so"]
    )
    return OverviewFilter(values, search)


def model(people: dict[str, Customer], wanted: OverviewFilter, sort: str, descending: bool) -> list[str]:
    chosen = [(id_, one) for id_, one in people.items() if one.is_wanted(wanted)]
    known = [(one.place(sort), id_) for id_, one in chosen if one.place(sort) is not None]
    unknown = [id_ for id_, one in chosen if one.place(sort) is None]
    return [id_ for _, id_ in sorted(known, reverse=descending)] + sorted(unknown, reverse=descending)


async def all_pages(
    database: Database, wanted: OverviewFilter, sort: str, descending: bool, limit: int
) -> list[OverviewRow]:
    found: list[OverviewRow] = []
    async with database.transaction() as connection:
        while True:
            rows = await list_overview(
                connection, wanted, NOW, sort=sort, descending=descending, limit=limit,
                after=found[-1].place if found else None,
            )  # fmt: skip
            found += rows
            if len(rows) < limit:
                return found


@pytest.mark.parametrize(
    ("seed", "nightly"), [(0, "under way"), (1, "over, and failed for some"), (2, "over")]
)
async def test_filters_orders_and_pages_agree_with_going_through_everybody(
    database: Database, seed: int, nightly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those of several filters are looked for among the first in order, and only then among everybody.
    monkeypatch.setattr(reading_overview, "NEAR", (5, 30, 5000)[seed])
    draw = random.Random(seed)
    people = await populate(database, draw, 70, nightly)
    for _ in range(60):
        wanted, sort, descending = draw_filter(draw), draw.choice(list(SORTS)), draw.random() < 0.5
        expected = model(people, wanted, sort, descending)
        rows = await all_pages(database, wanted, sort, descending, draw.choice([1, 3, 7, 100]))
        assert [row.id for row in rows] == expected, (wanted, sort, descending)
        for row in rows:
            one = people[row.id]
            assert (row.name, row.score_change, row.renewal_date, row.week_change) == (
                one.name, one.change, one.renewal, one.place("week"),
            )  # fmt: skip
            assert [score for score in row.sparkline if score is not None] == [
                one.days[day][0] for day in sorted(one.days, reverse=True)
            ]


@pytest.mark.parametrize(("seed", "few"), [(0, 2000), (1, 2000), (2, 3)])
async def test_counts_of_every_filter_agree_with_going_through_everybody(
    database: Database, seed: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Searches that find few are counted another way than those that find many.
    monkeypatch.setattr(reading_overview, "FEW", few)
    draw = random.Random(100 + seed)
    people = await populate(database, draw, 60)
    for _ in range(30):
        wanted = draw_filter(draw)
        async with database.transaction() as connection:
            groups = await count_groups(connection, wanted.search, NOW)
        facets = fold_groups(groups, wanted, NOW)
        shown = [one for one in people.values() if one.is_wanted(wanted)]
        assert facets.total == len(shown)
        assert facets.monthly_revenue == sum(one.numbers["revenue"] or 0 for one in shown)
        assert facets.ltv_at_risk == sum(one.numbers["ltv"] or 0 for one in shown)
        for name in DIMENSIONS:
            others = OverviewFilter(
                {key: value for key, value in wanted.values.items() if key != name}, wanted.search
            )
            expected = Counter(one.of[name] or NONE for one in people.values() if one.is_wanted(others))
            assert facets.counts[name] == expected, (wanted, name)


async def test_what_is_exported_and_what_is_started_are_those_that_are_listed(database: Database) -> None:
    people = await populate(database, random.Random(7), 50)
    wanted = OverviewFilter({"risk": ("critical", "at_risk")})
    async with database.transaction() as connection:
        exported = [
            row.id async for rows in export_overview(connection, wanted, NOW, sort="name") for row in rows
        ]
        matching = await find_matching(connection, wanted, NOW, 1000)
        few = await find_matching(connection, wanted, NOW, 3)
    assert exported == model(people, wanted, "name", False)
    assert matching == [
        (people[id_].user_id, people[id_].name) for id_ in model(people, wanted, "health", False)
    ]
    assert few == matching[:3]


async def test_counts_are_kept_only_as_long_as_counting_them_took_to_be_worth_it(database: Database) -> None:
    await populate(database, random.Random(8), 20)
    counter = FacetCounter(database)
    everybody = OverviewFilter()
    assert (await counter.read(everybody)).total == 20
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO customers (external_id, created_at) VALUES ('new', now())")
        )
    # As if the scan had taken long: the last counts are shown, and others come.
    counter._everybody._took = 10.0
    assert (await counter.read(everybody)).total == 20
    # What a filter makes of a count is worked out once.
    risk = OverviewFilter({"risk": ("critical",)})
    assert await counter.read(risk) is await counter.read(risk) is not await counter.read(everybody)
    # As if it had been quick, and long ago: they are waited for.
    counter._everybody._took = 0.001
    counter._everybody._counted_at -= 1
    assert (await counter.read(everybody)).total == 21
    assert (await counter.read(OverviewFilter(search="new"))).total == 1
