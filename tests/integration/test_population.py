"""The run over the population on a real database: what it writes is what the evaluator would have written."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from activities import population as scoring
from activities import population_part
from activities.facts import load_known
from activities.health import load_predictors, load_scorer
from activities.population import Population
from activities.scores import health_day, prediction_day
from activities.steps import StepOpening
from activities.versions import Versions
from loops.candidates import Candidates
from loops.demo.loading import load_population
from loops.embedded_postgres import EmbeddedPostgres
from loops.evaluator import Evaluator
from loops.triggers import prepare_triggers
from schemas.catalogue import load_catalogue
from schemas.population_run import FinishCall, PlanCall, ShardCall, ShardResult
from store.database import Database, PlayedClock, encode
from store.playbooks import load_published
from tests.integration.evaluation_desk import Desk, when

CATALOGUE = load_catalogue()
CUSTOMERS = 60
# Of whom nothing is another than the day before, nothing is written: whoever does most is looked at.
BUSIEST = "SELECT customer_id FROM signals ORDER BY session_count_30d DESC NULLS LAST, customer_id LIMIT 1"
# Eight hours before the night's run.
EVENING = datetime(2026, 3, 2, 16, tzinfo=UTC)
NIGHT = datetime(2026, 3, 3, 0, 5, tzinfo=UTC)
PLAYBOOKS = (
    when("health_score: {crosses_below: 60}", "rescue"),
    when("session_count_30d: < 4\nplan: [pro, business]", "quiet-payers"),
    when("last_login: {older_than: 5d}\nevent: {name: feature_used, at_least: 3, within: 30d}", "come-back"),
    when("days_since_last_login: '>= 3'\nrisk_level: [at_risk, critical]", "gone"),
    when("churn_probability: {rises_by: .05, within: 7d}", "rising"),
    when(
        "any: [{recent_features: {contains: templates}}, {tags: {contains: vip}}]\nemail: {is: present}",
        "lists",
    ),
    when("none: [{support_tickets_30d: '>= 1'}]\nmonthly_price: {is: missing}", "nothing-known"),
)


def scorer_of(database: Database, **more: Any) -> Population:
    opening = StepOpening(database, CATALOGUE, Versions())
    return Population(opening, Candidates(opening), **more)


async def score_everybody(database: Database, **more: Any) -> list[ShardResult]:
    """One whole run, as of the database's clock."""
    population = scorer_of(database, **more)
    async with database.transaction() as connection:
        day = (await database.clock.read(connection)).date()
    plan = await population.plan(PlanCall(day=day))
    shards = [
        await population.score_shard(ShardCall(day=day, shard=shard, shards=plan.shards))
        for shard in range(plan.shards)
    ]
    await population.finish(FinishCall(day=day))
    return shards


async def make_base(database_url: str) -> None:
    """Demo customers with their past, whom the evaluator has looked at in the evening."""
    database = Database(database_url, connections=4, clock=PlayedClock(EVENING), durable=False)
    try:
        await load_population(database, lambda line: None, customers=CUSTOMERS, days=60)
        desk = Desk(database, PlayedClock(EVENING), Evaluator(StepOpening(database, CATALOGUE, Versions())))
        await desk.publish(*PLAYBOOKS)
        await desk.evaluate(everybody=True)
    finally:
        await database.close()


@pytest.fixture(scope="module")
def base(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The name of a database with them, to be copied."""
    postgres_server.query(
        f"CREATE DATABASE population_base TEMPLATE {migrated_template}", database="postgres"
    )
    asyncio.run(make_base(postgres_server.url("population_base")))
    yield "population_base"
    postgres_server.query("DROP DATABASE population_base WITH (FORCE)", database="postgres")


@contextlib.asynccontextmanager
async def open_copy(server: EmbeddedPostgres, base: str) -> AsyncIterator[Desk]:
    """A desk at five past midnight over a copy of the base."""
    name = f"population_{secrets.token_hex(6)}"
    server.query(f"CREATE DATABASE {name} TEMPLATE {base} STRATEGY file_copy", database="postgres")
    clock = PlayedClock(NIGHT)
    database = Database(server.url(name), connections=4, clock=clock, durable=False)
    try:
        yield Desk(database, clock, Evaluator(StepOpening(database, CATALOGUE, Versions())))
    finally:
        await database.close()
        server.query(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


@pytest.fixture
async def desk(postgres_server: EmbeddedPostgres, base: str) -> AsyncIterator[Desk]:
    async with open_copy(postgres_server, base) as desk:
        yield desk


async def table(desk: Desk, sql: str) -> dict[str, Any]:
    """Rows as JSON objects by their customer."""
    return {str(row[0]): row[1] for row in await desk.rows(sql)}


def alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same, floats to what a REAL holds."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and one == pytest.approx(other, rel=1e-6, abs=1e-9)
    return bool(one == other)


async def test_everything_written_is_what_one_customer_at_a_time_comes_to(desk: Desk) -> None:
    async with desk.database.transaction() as connection:
        published = await load_published(connection)
        triggers = prepare_triggers(published, CATALOGUE)
        ids = [str(row[0]) for row in await connection.execute(text("SELECT id FROM customers"))]
        known = await load_known(connection, ids, NIGHT, triggers.needs, CATALOGUE, reachability=False)
        scorer, _ = await load_scorer(connection), await load_predictors(connection, CATALOGUE)
    [shard] = await score_everybody(desk.database)
    assert (shard.scored, shard.failed) == (CUSTOMERS, 0)

    signals = await table(
        desk, "SELECT customer_id, to_jsonb(s) - 'customer_id' - 'stamps' - 'changed_at' FROM signals s"
    )
    for id_, one in known.items():
        stored = {
            name: value for name, value in signals[id_].items() if value is not None and name != "custom"
        }
        stored |= signals[id_]["custom"]
        expected = json.loads(encode(one.stored.values))
        assert stored.keys() == expected.keys()
        for name in expected:
            same = alike(stored[name], expected[name]) or _instant(stored[name]) == _instant(expected[name])
            assert same, (name, stored[name], expected[name])

    health = await table(
        desk,
        "SELECT customer_id, to_jsonb(h) - 'midnight_score' FROM customer_health h WHERE day = '2026-03-03'",
    )
    for id_, one in known.items():
        expected = json.loads(encode(health_day(one, scorer, midnight=True)))
        del expected["midnight"]
        for name, value in expected.items():
            found = health[id_][name]
            assert alike(found, value) or _instant(found) == _instant(value), (name, found, value)
    midnights = await desk.rows(
        "SELECT midnight_score = health_score FROM customer_health WHERE day = '2026-03-03'"
    )
    assert [row[0] for row in midnights] == [True] * CUSTOMERS

    predictions = await table(
        desk,
        "SELECT customer_id, to_jsonb(p) - 'actual_churn' FROM churn_predictions p "
        "WHERE prediction_date = '2026-03-03'",
    )
    made = {
        id_: prediction_day(one, holdout_percent=published.policy.holdout_percent)
        for id_, one in known.items()
    }
    assert predictions.keys() == {id_ for id_, one in made.items() if one is not None}
    for id_, found in predictions.items():
        for name, value in json.loads(encode(made[id_])).items():
            assert alike(found[name], value) or _instant(found[name]) == _instant(value), (
                name,
                found[name],
                value,
            )

    days = await table(
        desk, "SELECT customer_id, to_jsonb(h) - 'customer_id' - 'day' - 'revision' - 'known_at' FROM signal_history h "
        "WHERE day = '2026-03-03'"
    )  # fmt: skip
    assert days == signals


def _instant(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError):
        return object()


async def test_the_evaluator_afterwards_stands_where_looking_at_everybody_would_have_brought_it(
    desk: Desk, postgres_server: EmbeddedPostgres, base: str
) -> None:
    async with open_copy(postgres_server, base) as other:
        await desk.evaluate(everybody=True)
        [shard] = await score_everybody(other.database)
        await other.evaluate()
        for sql in (
            "SELECT customer_id, playbook, reason FROM standings ORDER BY 1, 2",
            "SELECT customer_id, playbook, arm, entered_at FROM runs ORDER BY 1, 2",
            "SELECT customer_id, playbook, reason, detail, until FROM decisions ORDER BY 1, 2, at",
            "SELECT playbook, reason, line, count FROM decision_counts ORDER BY day, 1, 2, 3",
            "SELECT customer_id, to_jsonb(s) - 'changed_at' FROM signals s ORDER BY 1",
            "SELECT customer_id, health_score, midnight_score, factors, calculated_at FROM customer_health "
            "ORDER BY 1, day",
        ):
            assert await other.rows(sql) == await desk.rows(sql), sql
        assert len(await desk.entries()) > 5
        # Most needn't be looked at one by one: that is what it is for.
        assert 0 < shard.requested < CUSTOMERS / 2


async def test_a_poisoned_customer_is_found_noted_and_passed_over(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [str(row[0]) for row in await desk.rows("SELECT id FROM customers ORDER BY id")]
    async with desk.database.transaction() as connection:
        for sql, id_ in (
            ("UPDATE signals SET last_login = 'infinity' WHERE customer_id = :id", ids[7]),
            ("UPDATE signals SET monthly_price = 'Infinity' WHERE customer_id = :id", ids[31]),
        ):
            await connection.execute(text(sql), {"id": id_})
    [shard] = await score_everybody(desk.database)
    assert (shard.scored, shard.failed) == (CUSTOMERS - 2, 2)
    noted = await desk.rows(
        "SELECT customer_id, code, error FROM scoring_failures WHERE day = '2026-03-03' ORDER BY 1"
    )
    assert [(str(id_), code) for id_, code, _ in noted] == [(ids[7], "scoring"), (ids[31], "scoring")]
    # What it says leads to the place, and quotes nothing that is known of anybody.
    assert all(" in store/" in error for _, _, error in noted)
    scored = await desk.rows("SELECT count(*) FROM customer_health WHERE day = '2026-03-03'")
    assert scored == [(CUSTOMERS - 2,)]
    # Who would stop the evaluator isn't handed to it.
    waiting = {str(row[0]) for row in await desk.rows("SELECT customer_id FROM evaluations")}
    assert waiting.isdisjoint({ids[7], ids[31]})


async def test_whom_only_the_columns_cannot_score_the_evaluator_does(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(name,)] = await desk.rows("SELECT external_id FROM customers ORDER BY id OFFSET 20 LIMIT 1")
    honest = population_part.signal_columns

    def stumble(part: Any, catalogue: Any) -> Any:
        if name in part.names:
            raise ArithmeticError("as a defect in the columns would")
        return honest(part, catalogue)

    monkeypatch.setattr(population_part, "signal_columns", stumble)
    [shard] = await score_everybody(desk.database)
    assert (shard.scored, shard.failed) == (CUSTOMERS - 1, 1)
    assert [row[0] for row in await desk.rows("SELECT code FROM scoring_failures")] == ["columns"]
    await desk.evaluate()
    scored = await desk.rows("SELECT count(*) FROM customer_health WHERE day = '2026-03-03'")
    assert scored == [(CUSTOMERS,)]


async def test_who_changes_meanwhile_is_left_to_the_evaluator(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(id_, name)] = await desk.rows(f"SELECT id, external_id FROM customers WHERE id = ({BUSIEST})")
    honest = scoring.write_part

    async def after_an_event(*given: Any) -> Any:
        await desk.send(name, "identify", plan="business", at=NIGHT)
        return await honest(*given)

    monkeypatch.setattr(scoring, "write_part", after_an_event)
    await desk.rows("DELETE FROM signal_history WHERE day = '2026-03-03' RETURNING 1")
    [shard] = await score_everybody(desk.database)
    assert shard.scored == CUSTOMERS - 1
    asked = await desk.rows(f"SELECT everything FROM evaluations WHERE customer_id = '{id_}'")
    assert asked == [(True,)]
    before = await desk.rows(f"SELECT plan, xmin::text FROM signals WHERE customer_id = '{id_}'")
    assert before[0][0] == "business"
    await desk.evaluate()
    recorded = await desk.rows(
        f"SELECT plan FROM signal_history WHERE customer_id = '{id_}' AND day = '2026-03-03'"
    )
    assert recorded == [("business",)]


async def test_nobody_waits_for_it_and_it_waits_for_nobody(desk: Desk) -> None:
    """A customer whose rows are held all the while is passed over; the others are written."""
    async with desk.database.transaction() as held:
        [[id_]] = await held.execute(
            text(f"SELECT customer_id FROM signals WHERE customer_id = ({BUSIEST}) FOR UPDATE")
        )
        [shard] = await asyncio.wait_for(score_everybody(desk.database), 90)
    assert shard.scored == CUSTOMERS - 1
    assert await desk.rows(f"SELECT everything FROM evaluations WHERE customer_id = '{id_}'") == [(True,)]


async def test_done_again_it_gives_the_same(desk: Desk) -> None:
    read = (
        "SELECT customer_id, to_jsonb(s) FROM signals s ORDER BY 1",
        "SELECT customer_id, day, to_jsonb(h) FROM customer_health h ORDER BY 1, 2",
        "SELECT customer_id, to_jsonb(p) FROM churn_predictions p WHERE prediction_date = '2026-03-03' ORDER BY 1",
        "SELECT customer_id, day, to_jsonb(h) FROM signal_history h ORDER BY 1, 2",
        "SELECT customer_id, changed, everything FROM evaluations ORDER BY 1",
        "SELECT playbook, reason, line, count FROM decision_counts ORDER BY 1, 2, 3",
        "SELECT shard, scored, failed, requested FROM population_shards ORDER BY 1",
    )
    population = scorer_of(desk.database, shard_customers=20)
    day = NIGHT.date()
    plan = await population.plan(PlanCall(day=day))
    assert plan.shards == 3
    calls = [ShardCall(day=day, shard=shard, shards=3) for shard in range(3)]
    first = [await population.score_shard(call) for call in calls]
    once = [await desk.rows(sql) for sql in read]
    # As after a crash: what was done already is told again, and what wasn't noted is done again.
    assert (await population.score_shard(calls[0])).requested == first[0].requested
    await desk.rows("DELETE FROM population_shards WHERE shard = 1 RETURNING 1")
    await desk.rows("DELETE FROM decision_counts RETURNING 1")
    await population.score_shard(calls[1])
    twice = [await desk.rows(sql) for sql in read]
    for place in (0, 1, 2, 3, 4, 6):
        assert twice[place] == once[place], read[place]
    assert sum(done.scored for done in first) == CUSTOMERS

    # A run that is begun anew after its end scores everybody again.
    await population.finish(FinishCall(day=day))
    await population.plan(PlanCall(day=day))
    assert (await population.score_shard(calls[0])).scored == first[0].scored


async def test_a_run_that_goes_on_keeps_its_shards_though_customers_came_and_went_meanwhile(
    desk: Desk,
) -> None:
    """Its execution was lost after the second of three shards; by other bounds somebody would be passed over."""
    population = scorer_of(desk.database, shard_customers=20)
    day = NIGHT.date()
    plan = await population.plan(PlanCall(day=day))
    done = await population.score_shard(ShardCall(day=day, shard=1, shards=plan.shards))
    await desk.rows(
        "INSERT INTO customers (id, external_id, created_at) "
        f"SELECT gen_random_uuid(), 'late-' || n, '{NIGHT}' FROM generate_series(1, 45) n RETURNING 1"
    )
    again = await population.plan(PlanCall(day=day))
    assert (again, plan.shards) == (plan, 3)
    calls = [ShardCall(day=day, shard=shard, shards=again.shards) for shard in range(again.shards)]
    scored = [await population.score_shard(call) for call in calls]
    assert scored[1].scored == done.scored
    late = "SELECT count(*) FROM customers c WHERE external_id NOT LIKE 'late-%' AND NOT EXISTS "
    unseen = "(SELECT FROM customer_health h WHERE h.customer_id = c.id AND h.day = '2026-03-03')"
    assert await desk.rows(late + unseen) == [(0,)]
    # Those who came are counted when the day is begun anew.
    await population.finish(FinishCall(day=day))
    assert (await population.plan(PlanCall(day=day))).customers == CUSTOMERS + 45


async def test_a_day_that_is_over_is_not_scored_any_more(desk: Desk) -> None:
    population = scorer_of(desk.database)
    late = ShardCall(day=date(2026, 3, 2), shard=0, shards=1)
    assert await population.score_shard(late) == ShardResult(over=True)
    assert await desk.rows("SELECT count(*) FROM population_shards") == [(0,)]


async def test_who_came_during_the_day_has_no_midnight(desk: Desk) -> None:
    await desk.send("newcomer", "identify", plan="pro", at=NIGHT)
    await score_everybody(desk.database)
    rows = await desk.rows(
        "SELECT h.health_score IS NOT NULL, h.midnight_score, (SELECT count(*) FROM signal_history d "
        "WHERE d.customer_id = c.id) FROM customer_health h JOIN customers c ON c.id = h.customer_id "
        "WHERE c.external_id = 'newcomer'"
    )
    assert rows == [(True, None, 0)]


async def test_what_becomes_true_by_the_daily_run_enters(desk: Desk) -> None:
    last = NIGHT - timedelta(days=29)
    await desk.send("ada", "identify", plan="pro", tags=["watched"], at=last)
    await desk.send("ada", "session_ended", {"minutes": 3}, at=last)
    # Thirty days of it are over at three in the afternoon.
    await desk.send("ada", "login", at=last.replace(hour=15))
    await desk.publish(
        when("session_count_30d: 0\nplan: pro\ntags: {contains: watched}", "silent"),
        when(
            "session_count_30d: 0\ndays_since_last_login: '>= 30'\ntags: {contains: watched}", "gone-a-month"
        ),
    )
    await desk.evaluate(everybody=True)

    def of_ada(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [row[1:] for row in rows if row[0] == "ada" and row[1] in ("silent", "gone-a-month")]

    assert of_ada(await desk.entries()) == []
    desk.clock.now = tonight = NIGHT + timedelta(days=1)
    await score_everybody(desk.database)
    await desk.evaluate()
    assert of_ada(await desk.entries()) == [("silent", tonight)]
    # The other line is fulfilled by time alone, and the run has seen to it that somebody looks then.
    await desk.go_to(tonight.replace(hour=23), daily=False)
    afternoon = tonight.replace(hour=15)
    assert of_ada(await desk.entries()) == [("silent", tonight), ("gone-a-month", afternoon)]
