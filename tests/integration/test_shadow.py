"""`status: shadow`: what would have happened is played and recorded, and touches nobody and no other decision."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cli.runs import _table
from loops.reporting import report_playbooks
from schemas.condition import AllOf, Compare
from schemas.errors import ConflictError
from schemas.plan import CompiledPlaybook, Elapsed, Exit, Goal, Split, Variant, Wait, WaitFor
from schemas.policy import Cap, Policy
from store.entry_requests import request_entry
from store.reading import list_customers
from store.reading_decisions import list_playbooks
from store.reading_runs import count_open, list_runs
from tests.integration.evaluation_desk import DAY, STANDING, Desk, open_desk, read, when
from tests.integration.plans import ada, call, email, playbook, sms
from tests.integration.running_engine import House, eventually
from web.rendering import _environment

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL ORDER BY entered_at"
LEFT = "SELECT (SELECT count(*) FROM tasks) AS tasks, (SELECT count(*) FROM rewards) AS rewards"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as desk:
        yield desk


def shadow(name: str = "helping", **more: str) -> CompiledPlaybook:
    return when("plan: pro", name, **more).model_copy(update={"status": "shadow"})


async def arms(desk: Desk) -> list[tuple[str, str, str]]:
    return [
        (name, book, arm)
        for name, book, arm in await desk.rows(
            "SELECT c.external_id, r.playbook, r.arm FROM runs r JOIN customers c ON c.id = r.customer_id "
            "ORDER BY r.entered_at, 1, 2, 3"
        )
    ]


# Beside everything else


async def test_where_a_live_playbook_would_have_let_in_a_shadow_run_starts(desk: Desk) -> None:
    await desk.publish(shadow())
    await desk.send("ada", "identify", plan="pro")
    await desk.send("bob", "identify", plan="free")
    assert await arms(desk) == [("ada", "helping", "shadow")]
    assert (await desk.decided())[0] == ("ada", "helping", "shadow")
    [(state, id_)] = await desk.rows(
        "SELECT state, replace(workflow_id, customer_id::text, 'ID') FROM runs WHERE next_start_at IS NOT NULL"
    )
    assert (state, id_) == ("starting", "shadow/helping/ID")


async def test_one_who_would_have_been_held_out_has_no_run_and_no_row(desk: Desk) -> None:
    await desk.publish(shadow(holdout="99%"))
    await desk.send("ada", "identify", plan="pro")
    assert await arms(desk) == []
    assert await desk.rows("SELECT reason, detail FROM decisions") == [("shadow", "would have been held out")]


async def test_a_shadow_stands_in_nobodys_way(desk: Desk) -> None:
    """Not in that of the group, of the policy's entries, of the playbook's own limits or of `again`."""
    policy = Policy(entries=Cap(times=1, seconds=7 * DAY))
    grouped = read(
        "playbook: watching\nenter: {group: care, priority: 90, when: {plan: pro}}", status="shadow"
    )
    real = read("playbook: caring\nenter: {group: care, when: {plan: pro}}")
    await desk.publish(grouped, real, policy=policy)
    await desk.send("ada", "identify", plan="pro")
    assert await arms(desk) == [("ada", "caring", "treated"), ("ada", "watching", "shadow")]
    # The shadow becomes live: its own past as a shadow counts for nothing, only what really runs does.
    await desk.publish(grouped.model_copy(update={"status": "live", "group": None}), real)
    desk.clock.now += timedelta(minutes=1)
    await desk.evaluate()
    assert ("ada", "watching", "treated") in await arms(desk)


async def test_shadows_take_no_places_of_a_day_from_the_treated(desk: Desk) -> None:
    await desk.publish(shadow(at_most="2 per day"))
    for name in ("ada", "bob", "cleo"):
        await desk.send(name, "identify", plan="pro")
    assert [arm for _, _, arm in await arms(desk)] == ["shadow", "shadow"]
    assert await desk.why("helping", "cleo") == ("waiting", "at_most: 2 per day are admitted")
    desk.clock.now += timedelta(minutes=1)
    await desk.publish(when("plan: pro", at_most="2 per day"))
    await desk.evaluate()
    assert [arm for _, _, arm in await arms(desk)] == ["shadow", "shadow", "treated", "treated"]


async def test_in_its_own_world_a_shadow_knows_again_and_what_really_runs(desk: Desk) -> None:
    await desk.publish(shadow(again="after 30d"))
    await desk.send("ada", "identify", plan="pro")
    assert await desk.why("helping", "ada") == ("already_running", "a run of helping is open")
    async with desk.database.transaction() as connection:
        await connection.exec_driver_sql(
            "UPDATE runs SET state = 'ended', outcome = 'completed', ended_at = now()"
        )
    desk.clock.now += timedelta(days=1)
    assert await desk.why("helping", "ada") == ("again_rule", "again: after 30d")
    await desk.go_to(desk.clock.now + timedelta(days=31))
    assert [arm for _, _, arm in await arms(desk)] == ["shadow", "shadow"]


async def test_a_live_playbook_turned_shadow_sees_its_real_runs(desk: Desk) -> None:
    await desk.publish(when("plan: pro"))
    await desk.send("ada", "identify", plan="pro")
    await desk.publish(shadow())
    desk.clock.now += timedelta(minutes=1)
    await desk.evaluate()
    assert await arms(desk) == [("ada", "helping", "treated")]
    assert (await desk.why("helping", "ada"))[0] == "already_running"


async def test_shadows_expose_nobody_and_nothing_counts_them(desk: Desk) -> None:
    split = Split(id="try", experiment="try", variants={"a": Variant(weight=1), "b": Variant(weight=1)})
    await desk.publish(shadow().model_copy(update={"steps": (split, STANDING)}))
    await desk.send("ada", "identify", plan="pro")
    async with desk.database.transaction() as connection:
        assert await count_open(connection) == []
        [row] = await list_playbooks(connection)
        [customer] = await list_customers(connection)
    assert (row.entrants, row.open, row.held_out, row.ended, row.shadows) == (0, 0, 0, 0, 1)
    assert customer.open_runs == 0
    assert await desk.rows("SELECT 1 FROM exposures") == []


# As a run


async def test_a_shadow_run_plays_every_step_and_nothing_leaves(house: House) -> None:
    book = playbook(
        email("greet"), sms("text"), call("ring"), Wait(id="pause", spec=Elapsed(seconds=1)),
    ).model_copy(update={"status": "shadow"})  # fmt: skip
    await house.engine.publish(book)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until(ENDED)
    assert (run["arm"], run["outcome"]) == ("shadow", "completed")
    steps = await house.engine.rows("SELECT step, outcome FROM run_steps WHERE step <> 'pause' ORDER BY at")
    assert {step["step"]: step["outcome"] for step in steps} == dict.fromkeys(
        ("greet", "text", "ring"), "shadow"
    )
    assert (house.smtp.accepted, house.twilio.accepted) == ([], [])
    assert await house.engine.rows(LEFT) == [{"tasks": 0, "rewards": 0}]
    assert await house.engine.rows("SELECT 1 FROM intervention_executions") == []
    assert await report_playbooks(house.engine.database) == []


async def test_goals_and_exits_end_shadow_runs_as_they_end_real_ones(house: House) -> None:
    enough = AllOf(items=(Compare(signal="clients_imported", op="ge", value=1),))
    cancelled = AllOf(items=(Compare(signal="subscription_status", op="eq", value="cancelled"),))
    book = playbook(
        Wait(id="long", spec=Elapsed(seconds=DAY)),
        goal=Goal(name="imported", when=enough, within_seconds=7 * DAY),
        exits=(Exit(when=cancelled, outcome="lost"),),
    ).model_copy(update={"status": "shadow"})
    await house.engine.publish(book)
    for name, event in (("ada", "client_imported"), ("bob", "subscription_cancelled")):
        await house.engine.send(name, "help_wanted")
        await house.engine.until("SELECT 1 FROM runs WHERE state = 'running' AND ended_at IS NULL")
        await house.engine.send(name, event)
        await house.engine.until("SELECT 1 FROM runs HAVING every(ended_at IS NOT NULL)")
    assert [run["outcome"] for run in await house.engine.rows(ENDED)] == ["success", "lost"]


async def test_a_shadow_run_that_lost_its_execution_goes_on(house: House) -> None:
    listening = WaitFor(
        id="reply", when=AllOf(items=(Compare(signal="plan", op="eq", value="pro"),)), for_seconds=DAY
    )
    book = playbook(email("greet"), listening, sms("text")).model_copy(update={"status": "shadow"})
    await house.engine.publish(book)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM waits")
    [run] = await house.engine.rows("SELECT workflow_id, execution_id FROM runs")
    assert run["workflow_id"].startswith("shadow/helping/")
    await house.engine.client.get_workflow_handle(run["workflow_id"]).terminate("lost")
    await eventually(house.engine.dispatcher.repair, lambda repaired: repaired == 1)
    await house.engine.until("SELECT 1 FROM runs WHERE execution_id <> :old", old=run["execution_id"])
    await house.engine.identify("ada", plan="pro")
    [ended] = await house.engine.until(ENDED)
    assert (ended["outcome"], ended["arm"]) == ("completed", "shadow")
    assert (house.smtp.accepted, house.twilio.accepted) == ([], [])


async def test_who_asks_for_an_entry_into_a_shadow_is_told_that_it_is_one(house: House) -> None:
    await house.engine.publish(
        playbook(Wait(id="long", spec=Elapsed(seconds=DAY))).model_copy(update={"status": "shadow"})
    )
    await ada(house)
    with pytest.raises(ConflictError, match=r"shadow \(would have entered\)"):
        await request_entry(house.engine.database, "helping", "ada", "by hand")


async def test_shadow_runs_are_shown_as_such(desk: Desk) -> None:
    await desk.publish(shadow())
    await desk.send("ada", "identify", plan="pro")
    async with desk.database.transaction() as connection:
        found = await list_runs(connection)
    assert found[0].arm == "shadow"
    assert "shadow, starting" in _table(found)
    page = _environment().from_string("{% from 'parts.html' import runs_table %}{{ runs_table(runs) }}")
    assert '<span class="badge warn">shadow</span>' in page.render(runs=found)
