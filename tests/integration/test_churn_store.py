"""The list of predictions says of any population what going through all of them one by one would say."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from store import reading_churn, tables
from store.database import Database
from store.protected_value import sum_protected
from store.reading_churn import (
    BANDS,
    DIMENSIONS,
    NONE,
    SORTS,
    ChurnFilter,
    ChurnRow,
    count_churn,
    export_churn,
    list_churn,
)
from store.reading_playbooks import list_startable
from web.churn_counts import fold_churn

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
PROBABILITIES = (0.0, 0.05, 0.1, 0.15, 0.35, 0.4, 0.599999, 0.6, 0.7, 0.799999, 0.8, 0.9, 1.0)


def level_of(probability: float) -> str:
    return next(
        name
        for least, name in ((0.8, "critical"), (0.6, "high"), (0.4, "medium"), (0, "low"))
        if probability >= least
    )


class Customer:
    """One customer as it was drawn."""

    def __init__(self, draw: random.Random, number: int) -> None:
        self.user_id = f"c{number}"
        self.csm = draw.choice(["anna", "bert", None])
        self.segment = draw.choice(["new_user", "established", None])
        self.probability = draw.choice(PROBABILITIES) if draw.random() < 0.9 else None
        self.ltv = None if draw.random() < 0.2 else draw.choice([0.0, 100.0, 250.0, 999.5])
        self.expected = draw.choice([TODAY + timedelta(days=draw.randrange(40)), None])
        self.status = draw.choice(["active", "active", "past_due", "cancelled", None])
        self.login = None if draw.random() < 0.1 else NOW - timedelta(days=draw.randrange(0, 90), minutes=1)
        # What was said of them on the last days, by whom.
        self.said: dict[date, tuple[str, float | None]] = {
            TODAY - timedelta(days=back): (
                draw.choice(["model", "health", "rule_of_thumb"]),
                draw.choice([None, 10.0, 20.0, 30.0]),
            )
            for back in (0, 1, 2, 5, 40, 100)
            if draw.random() < 0.6
        }
        self.runs = [
            (draw.choice(["treated", "treated", "held_out", "shadow"]), NOW - timedelta(days=draw.randrange(0, 120)),
             draw.choice([None, 0.2, 0.599999, 0.6, 0.95]), draw.random() < 0.7)
            for _ in range(draw.randrange(4))
        ]  # fmt: skip
        self.id = ""

    @property
    def level(self) -> str | None:
        return None if self.probability is None else level_of(self.probability)

    @property
    def source(self) -> str | None:
        days = [day for day in (TODAY, TODAY - timedelta(days=1)) if day in self.said]
        return self.said[days[0]][0] if days else None

    def of(self, name: str) -> str | None:
        value: str | None = getattr(self, name)
        return value

    def sort(self, name: str) -> float | date | None:
        return {"ltv": self.ltv, "churn": self.probability, "date": self.expected}[name]

    def is_in(self, wanted: ChurnFilter) -> bool:
        return (
            self.probability is not None
            and self.probability >= wanted.least - 1e-9
            and all(
                self.of(name) == (None if value == NONE else value) for name, value in wanted.values.items()
            )
        )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def populate(database: Database, draw: random.Random, size: int) -> list[Customer]:
    customers = [Customer(draw, number) for number in range(size)]
    async with database.transaction() as connection:
        for one in customers:
            row = await connection.execute(
                insert(tables.customers)
                .values(external_id=one.user_id, csm=one.csm, created_at=NOW - timedelta(days=200))
                .returning(tables.customers.c.id)
            )
            one.id = str(row.scalar_one())
            await connection.execute(
                insert(tables.signals).values(
                    customer_id=one.id,
                    segment=one.segment,
                    churn_probability=one.probability,
                    churn_risk_level=one.level,
                    ltv_at_risk=one.ltv,
                    predicted_churn_date=one.expected,
                    subscription_status=one.status,
                    last_login=one.login,
                    changed_at=NOW,
                )
            )
            for day, (source, ltv) in one.said.items():
                await connection.execute(
                    insert(tables.churn_predictions).values(
                        customer_id=one.id,
                        prediction_date=day,
                        churn_probability=0.5,
                        risk_level="medium",
                        source=source,
                        model_version="v",
                        model_confidence="high",
                        intervention_recommended=False,
                        intervention_priority=3,
                        ltv_at_risk=ltv,
                        reasons=[{"signal": "plan", "effect": 0.5}],
                        calculated_at=NOW,
                    )
                )
            for number, (arm, at, churn, ended) in enumerate(one.runs):
                run: dict[str, Any] = {
                    "id": f"{number:08x}-0000-4000-8000-{int(one.user_id[1:]):012x}", "playbook": f"p{number}",
                    "version": "v", "customer_id": one.id, "arm": arm, "entered_at": at, "churn_at_entry": churn,
                    "workflow_id": "w", "state": "ended" if ended else "running", "ended_at": NOW if ended else None,
                }  # fmt: skip
                await connection.execute(insert(tables.runs).values(run))
    return customers


def expect_order(customers: list[Customer], sort: str, *, descending: bool) -> list[str]:
    known = [one for one in customers if one.sort(sort) is not None]
    unknown = [one for one in customers if one.sort(sort) is None]
    known.sort(key=lambda one: (one.sort(sort), one.id), reverse=descending)
    unknown.sort(key=lambda one: one.id, reverse=descending)
    return [one.user_id for one in (*known, *unknown)]


def draw_filter(draw: random.Random) -> ChurnFilter:
    choices: dict[str, list[str]] = {
        "level": ["low", "medium", "high", "critical"],
        "source": ["model", "health", "rule_of_thumb", NONE],
        "segment": ["new_user", "established", NONE],
        "csm": ["anna", "bert", NONE],
    }
    values = {name: draw.choice(found) for name, found in choices.items() if draw.random() < 0.35}
    return ChurnFilter(values, draw.choice([0.0, 0.0, 0.4, 0.6, 0.7, 0.9]))


@pytest.mark.parametrize("seed", range(3))
async def test_lists_are_filtered_sorted_and_cut_as_one_by_one(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    customers = await populate(database, draw, 70)
    async with database.transaction() as connection:
        for turn in range(14):
            # Few are looked up, many are met on the way: both find the same.
            monkeypatch.setattr(reading_churn, "RARE", (2000, 1)[turn % 2])
            wanted, sort, descending = draw_filter(draw), draw.choice(list(SORTS)), draw.random() < 0.5
            expected = expect_order(
                [one for one in customers if one.is_in(wanted)], sort, descending=descending
            )
            found: list[ChurnRow] = []
            while True:
                rows = await list_churn(
                    connection, wanted, NOW, sort=sort, descending=descending, limit=9,
                    after=found[-1].place if found else None,
                )  # fmt: skip
                found += rows
                if len(rows) < 9:
                    break
            assert [row.user_id for row in found] == expected, (wanted, sort, descending)
            exported = [
                row.user_id
                async for rows in export_churn(connection, wanted, NOW, sort=sort, descending=descending)
                for row in rows
            ]
            assert exported == expected
            by_id = {one.user_id: one for one in customers}
            for row in found:
                one = by_id[row.user_id]
                assert (row.probability, row.level, row.ltv_at_risk) == (one.probability, one.level, one.ltv)
                # Of whom nothing was said lately, the last prediction there was is shown.
                assert row.source == (one.said[max(one.said)][0] if one.said else None)
                assert sorted(row.open_runs) == sorted(
                    f"p{number}"
                    for number, (arm, _, _, ended) in enumerate(one.runs)
                    if arm == "treated" and not ended
                )


@pytest.mark.parametrize("seed", range(3))
async def test_counts_of_every_filter_are_those_of_going_through_all(database: Database, seed: int) -> None:
    draw = random.Random(100 + seed)
    customers = await populate(database, draw, 80)
    async with database.transaction() as connection:
        groups = await count_churn(connection, NOW)
    for _ in range(30):
        wanted = draw_filter(draw)
        counts = fold_churn(groups, wanted, NOW)
        there = [one for one in customers if one.is_in(wanted)]
        risky = [one for one in there if one.probability is not None and one.probability >= 0.6]
        assert (counts.total, counts.at_risk) == (len(there), len(risky))
        assert math.isclose(counts.ltv_at_risk, sum(one.ltv or 0 for one in risky), abs_tol=1e-6)
        assert counts.unpriced == sum(one.ltv is None for one in risky)
        for name in DIMENSIONS:
            others = ChurnFilter({k: v for k, v in wanted.values.items() if k != name}, wanted.least)
            expected = Counter(one.of(name) or NONE for one in customers if one.is_in(others))
            assert {value: n for value, n in counts.counts[name].items() if n} == dict(expected), (
                name,
                wanted,
            )
        whole = ChurnFilter(wanted.values)
        bands = Counter(
            min(BANDS - 1, math.floor((one.probability or 0) * BANDS + 1e-9))
            for one in customers
            if one.is_in(whole)
        )
        assert list(counts.bands) == [bands[place] for place in range(BANDS)]


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_protected_is_who_entered_at_high_risk_and_is_still_here(
    database: Database, seed: int
) -> None:
    draw = random.Random(200 + seed)
    customers = await populate(database, draw, 90)
    treated = stayed = calmed = unpriced = 0
    ltv_protected = ltv_calmed = 0.0
    for one in customers:
        entries = sorted(
            at for arm, at, churn, _ in one.runs
            if arm == "treated" and churn is not None and churn >= 0.6 and at >= NOW - timedelta(days=90)
        )  # fmt: skip
        if not entries:
            continue
        treated += 1
        here = one.status != "cancelled" and one.login is not None and one.login > NOW - timedelta(days=60)
        if not here:
            continue
        stayed += 1
        known = [day for day in one.said if day <= entries[0].date()]
        worth = one.said[max(known)][1] if known else None
        calm = one.probability is not None and one.probability < 0.6
        calmed += calm
        unpriced += worth is None
        ltv_protected += worth or 0
        ltv_calmed += (worth or 0) * calm
    assert treated > stayed > 0
    async with database.transaction() as connection:
        found = await sum_protected(connection, NOW, days=90, high=0.6)
    assert (found.treated, found.stayed, found.calmed, found.unpriced) == (treated, stayed, calmed, unpriced)
    assert math.isclose(found.ltv_protected, ltv_protected)
    assert math.isclose(found.ltv_calmed, ltv_calmed)


async def test_nobody_is_no_error(database: Database) -> None:
    async with database.transaction() as connection:
        assert await list_churn(connection, ChurnFilter({}), NOW) == []
        assert await count_churn(connection, NOW) == []
        found = await sum_protected(connection, NOW, days=90, high=0.6)
        assert (found.treated, found.ltv_protected) == (0, 0)
        assert await list_startable(connection) == []


async def test_pages_of_a_hundred_thousand_come_by_an_index(database: Database) -> None:
    async with database.transaction() as connection:
        await populate_many(connection)
        for sort, index in (("s.ltv_at_risk", "signals_ltv_at_risk_idx"),
                            ("s.churn_probability", "signals_churn_probability_idx"),
                            ("s.predicted_churn_date", "signals_predicted_churn_date_idx")):  # fmt: skip
            plan = await connection.execute(
                text(
                    f"EXPLAIN SELECT {sort}, s.customer_id FROM signals s JOIN customers c ON c.id = s.customer_id "
                    f"WHERE s.churn_probability IS NOT NULL AND {sort} IS NOT NULL "
                    f"ORDER BY {sort} DESC, s.customer_id DESC LIMIT 26"
                )
            )
            assert index in "\n".join(plan.scalars())


async def populate_many(connection: Any) -> None:
    """Enough rows for the planner to prefer an index."""
    await connection.execute(
        text(
            "INSERT INTO customers (external_id, created_at) SELECT 'm' || n, now() FROM generate_series(1, 5000) n"
        )
    )
    await connection.execute(
        text(
            "INSERT INTO signals (customer_id, churn_probability, ltv_at_risk, predicted_churn_date, changed_at) "
            "SELECT id, random(), random() * 1000, current_date + (random() * 300)::int, now() FROM customers"
        )
    )
    await connection.execute(text("ANALYZE customers, signals"))
