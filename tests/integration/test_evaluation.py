"""The evaluator on a real database, its clock moved by hand: what it looks at again, remembers and admits."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from activities.facts import load_known
from rules.needs import Needs
from schemas.catalogue import load_catalogue
from schemas.condition import Age, AllOf, EventCount
from schemas.incoming import IncomingEvent
from schemas.plan import Enter
from scoring.moving import make_mover
from store import evaluations
from store.customers import lock_customers
from store.entry_requests import EntryRequest, put_request
from store.intake import take_in
from tests.integration.evaluation_desk import DAY, START, Desk, open_desk, playbook, read, when


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


async def test_an_event_that_a_playbook_doesnt_look_at_doesnt_cost_it_the_moment_it_waits_for(
    desk: Desk,
) -> None:
    line = Age(signal="renewal_date", op="due_within", seconds=45 * DAY, path="enter.when.renewal_date")
    await desk.publish(playbook("renewal-ahead", Enter(when=AllOf(items=(line,)), signals=("renewal_date",))))
    await desk.send("ada", "identify", renewal_date="2026-05-01")
    due = [(datetime(2026, 3, 17, tzinfo=UTC),)]
    assert await desk.rows("SELECT at FROM due") == due
    await desk.send("ada", "login")
    assert await desk.rows("SELECT at FROM due") == due
    assert await desk.rows("SELECT 1 FROM runs") == []
    desk.clock.now = due[0][0]
    async with desk.database.transaction() as connection:
        assert await evaluations.queue_due(connection, desk.clock.now, 10) == 1
    await desk.evaluate()
    assert await desk.rows("SELECT playbook FROM runs") == [("renewal-ahead",)]


async def test_a_moment_that_no_longer_holds_is_forgotten_when_the_playbook_is_asked(desk: Desk) -> None:
    line = Age(signal="renewal_date", op="due_within", seconds=45 * DAY, path="enter.when.renewal_date")
    await desk.publish(playbook("renewal-ahead", Enter(when=AllOf(items=(line,)), signals=("renewal_date",))))
    await desk.send("ada", "identify", renewal_date="2026-05-01")
    desk.clock.now += timedelta(minutes=1)
    await desk.send("ada", "identify", renewal_date="2026-06-01")
    await desk.evaluate(everybody=True)
    assert await desk.rows("SELECT at FROM due") == [(datetime(2026, 4, 17, tzinfo=UTC),)]


async def test_no_more_enter_than_a_day_allows_however_many_are_decided_together(desk: Desk) -> None:
    asked = EventCount(name="help_wanted", path="enter.when.event.help_wanted")
    await desk.publish(playbook("helping", Enter(when=AllOf(items=(asked,)), at_most_per_day=2)))
    for name in ("ada", "bob", "cleo", "dora", "emil"):
        await desk.send(name, "identify", plan="pro")
    now = desk.clock.now
    events = [
        IncomingEvent("test", str(uuid.uuid4()), name, "help_wanted", now, now, now.date(), {})
        for name in ("ada", "bob", "cleo", "dora", "emil")
    ]
    await take_in(desk.database, events, move=make_mover(load_catalogue()))
    await desk.evaluate()
    counted = "SELECT reason, count(*) FROM decisions GROUP BY reason ORDER BY reason"
    assert await desk.rows(counted) == [("entered", 2), ("waiting", 3)]
    await desk.evaluate(everybody=True)
    assert await desk.rows("SELECT count(*) FROM runs") == [(2,)]
    assert sorted(await desk.rows("SELECT reason FROM standings")) == [
        ("already_running",), ("already_running",), ("waiting",), ("waiting",), ("waiting",),
    ]  # fmt: skip
    desk.clock.now += timedelta(days=1)
    await desk.evaluate(everybody=True)
    assert await desk.rows("SELECT count(*) FROM runs") == [(4,)]


async def test_the_mean_of_health_is_the_same_whether_earlier_days_are_remembered_or_read(desk: Desk) -> None:
    catalogue = load_catalogue()
    await desk.send("ada", "identify", subscription_status="active", signed_up_at="2025-01-01T00:00:00Z")
    found = []
    for day in range(4):
        desk.clock.now = START + timedelta(days=day)
        await desk.evaluate(everybody=True)
        if day == 2:
            await desk.send("ada", "login")
        await desk.send("ada", "form_created")
        [(id_, mean)] = await desk.rows("SELECT customer_id::text, avg_health_30d FROM signals")
        async with desk.database.transaction() as connection:
            known = await load_known(connection, [id_], desk.clock.now, Needs(), catalogue)
        assert known[id_].facts.signals["avg_health_30d"] == mean
        found.append(mean)
    assert len(set(found)) > 1


async def test_text_of_callers_that_holds_separators_is_read_back(desk: Desk) -> None:
    now = desk.clock.now
    for feature in ("forms\x1fand\x1fmore", "plain", "with\x1erecord"):
        properties = {"feature": feature}
        event = IncomingEvent(
            "test", str(uuid.uuid4()), "ada", "feature_used", now, now, now.date(), properties
        )
        await take_in(desk.database, [event], move=make_mover(load_catalogue()))
    await desk.evaluate()
    assert await desk.rows("SELECT unique_features_used FROM signals") == [(3,)]


async def test_two_who_ask_for_the_same_entry_at_once_are_both_answered_and_one_run_comes_of_it(
    desk: Desk,
) -> None:
    await desk.publish(read("playbook: helping\nenter:\n  when: {plan: gold}\n  again: always\n"))
    await desk.send("ada", "identify", plan="pro")
    [(ada,)] = await desk.rows("SELECT id::text FROM customers")
    async with desk.database.transaction() as connection:
        await lock_customers(connection, [ada])
        for reason in ("she rang", "she rang again"):
            asked = EntryRequest(str(uuid.uuid4()), ada, "helping", reason)
            assert await put_request(connection, asked, desk.clock.now)
    await desk.evaluate()
    assert await desk.rows("SELECT reason, decision FROM entry_requests ORDER BY reason") == [
        ("she rang", "entered"), ("she rang again", "already_running"),
    ]  # fmt: skip
    # Nothing of it is left to be decided once the run is over.
    async with desk.database.transaction() as connection:
        await connection.execute(
            text("UPDATE runs SET state = 'ended', ended_at = entered_at, outcome = 'stopped'")
        )
    desk.clock.now += timedelta(days=1)
    await desk.evaluate(everybody=True)
    assert len(await desk.entries()) == 1


async def test_a_customer_who_cant_be_looked_at_keeps_nobody_waiting_and_stays_in_the_queue(
    desk: Desk,
) -> None:
    await desk.publish(when("plan: gold"))
    for name in ("ada", "bob", "cleo"):
        await desk.send(name, "identify", plan="pro")
    # What no event can say, and somebody wrote into the table all the same.
    await _write(
        desk,
        "UPDATE signals SET forms_created = 'NaN' FROM customers c WHERE c.id = customer_id AND external_id = 'bob'",
    )
    await _write(desk, "UPDATE signals SET plan = 'gold'")
    async with desk.database.transaction() as connection:
        await evaluations.request_everything(connection, desk.clock.now)
    desk.clock.now += timedelta(minutes=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="NaN"):
            await desk.evaluator.run_once()
    assert [name for name, _, _ in await desk.entries()] == ["ada", "cleo"]
    # As soon as it is mended they are looked at, too.
    await _write(desk, "UPDATE signals SET forms_created = 1")
    await desk.evaluate()
    assert [name for name, _, _ in await desk.entries()] == ["ada", "bob", "cleo"]


async def _write(desk: Desk, sql: str) -> None:
    async with desk.database.transaction() as connection:
        await connection.execute(text(sql))


async def test_whoever_is_locked_is_passed_over_and_leaves_their_place_to_the_next(desk: Desk) -> None:
    await desk.publish(when("plan: gold"))
    names = ("ada", "bob", "cleo", "dora")
    for name in names:
        await desk.send(name, "identify", plan="gold")
    ids = dict(await desk.rows("SELECT external_id, id::text FROM customers"))
    for name in names:
        desk.clock.now += timedelta(minutes=1)
        async with desk.database.transaction() as connection:
            await evaluations.request_one(connection, desk.clock.now, ids[name])
    async with desk.database.transaction() as intake:
        await lock_customers(intake, [ids["ada"], ids["bob"]])
        async with desk.database.transaction() as connection:
            taken = await evaluations.take_requests(connection, 2)
    assert {request.customer_id for request in taken} == {ids["cleo"], ids["dora"]}
    assert len(await desk.rows("SELECT 1 FROM evaluations")) == 2
