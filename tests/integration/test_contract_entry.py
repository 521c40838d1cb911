"""The language's section Entry on the live system, as far as it takes time: who is held out, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from rules.assignment import held_out
from schemas.plan import CompiledPlaybook, EventMatch, Exit, Goal
from store.playbooks import load_version
from store.runs import end_run
from tests.integration.evaluation_desk import DAY as DAY_SECONDS
from tests.integration.evaluation_desk import Desk, read, when
from tests.integration.evaluation_desk import open_desk as open_evaluation
from tests.integration.plans import trigger
from tests.integration.step_desk import DAY, START, StepDesk, act
from tests.integration.step_desk import open_desk as open_steps

HELD_OUT = trigger().model_copy(update={"holdout_percent": 100})
LOGIN = Goal(event=EventMatch(name="login"), within_seconds=10 * DAY_SECONDS)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_evaluation(database_url) as desk:
        yield desk


@pytest.fixture
async def steps(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_steps(database_url) as steps:
        yield steps


async def hold_out(steps: StepDesk, **more: Any) -> None:
    """Ada would enter, and is held out."""
    await steps.publish("helping", act("in_app", title="A", text="b"), enter=HELD_OUT, **more)
    await steps.send("ada", "help_wanted")
    await steps.evaluate()


async def end(steps: StepDesk) -> tuple[str, datetime] | None:
    """How and when her run ended; None while it is open."""
    run = (await steps.rows("SELECT arm, outcome, ended_at FROM runs ORDER BY entered_at"))[0]
    assert run["arm"] == "held_out"
    return (run["outcome"], run["ended_at"]) if run["ended_at"] else None


async def test_a_held_out_row_closes_when_the_goals_window_does(steps: StepDesk) -> None:
    await hold_out(steps, goal=LOGIN)
    await steps.pass_time(10 * DAY - SECOND)
    assert await end(steps) is None
    await steps.pass_time(2 * SECOND)
    assert await end(steps) == ("expired", START + 10 * DAY)


async def test_a_held_out_row_without_a_goal_closes_after_30_days(steps: StepDesk) -> None:
    await hold_out(steps)
    await steps.pass_time(30 * DAY - SECOND)
    assert await end(steps) is None
    await steps.pass_time(2 * SECOND)
    assert await end(steps) == ("expired", START + 30 * DAY)


async def test_held_out_customers_are_never_treated_and_always_measured(steps: StepDesk) -> None:
    await hold_out(steps, goal=LOGIN)
    await steps.pass_time(3 * DAY)
    await steps.send("ada", "login")
    await steps.evaluate()
    assert await end(steps) == ("success", START + 3 * DAY)
    assert await steps.rows("SELECT 1 FROM deliveries UNION ALL SELECT 1 FROM run_steps") == []
    [measured] = await steps.rows("SELECT outcome, success_measured FROM intervention_executions")
    assert (measured["outcome"], measured["success_measured"]) == ("success", True)


async def test_exits_end_a_held_out_row_too(steps: StepDesk) -> None:
    await hold_out(
        steps, goal=LOGIN, exits=(Exit(event=EventMatch(name="export_requested"), outcome="lost"),)
    )
    await steps.pass_time(DAY)
    await steps.send("ada", "export_requested")
    await steps.evaluate()
    assert await end(steps) == ("lost", START + DAY)


async def test_a_goal_reached_within_its_window_counts_though_nobody_looked_until_afterwards(
    steps: StepDesk,
) -> None:
    """The engine was down from before the login until after the window."""
    await hold_out(steps, goal=LOGIN)
    steps.clock.now += 9 * DAY
    await steps.send("ada", "login")
    await steps.pass_time(2 * DAY)
    assert await end(steps) == ("success", START + 10 * DAY)


async def test_an_event_after_the_window_is_no_success_whenever_it_is_looked_at(steps: StepDesk) -> None:
    await hold_out(steps, goal=LOGIN)
    steps.clock.now += 10 * DAY + SECOND
    await steps.send("ada", "login")
    await steps.pass_time(DAY)
    assert await end(steps) == ("expired", START + 10 * DAY)


# Who may enter again, and beside whom


def matching(name: str, **more: str) -> CompiledPlaybook:
    return when("plan: pro", name, **more)


async def end_runs(desk: Desk) -> None:
    await desk.rows(
        "UPDATE runs SET ended_at = entered_at, state = 'ended' WHERE ended_at IS NULL RETURNING 1"
    )


async def test_again_counts_from_the_last_entry_and_not_from_its_end(desk: Desk) -> None:
    await desk.publish(matching("helping", again="after 10d"))
    await desk.send("ada", "identify", plan="pro")
    await desk.go_to(desk.clock.now + 9 * DAY)
    await end_runs(desk)
    await desk.go_to(desk.clock.now + 3 * DAY)
    assert [at for _, _, at in await desk.entries()] == [START, START + 10 * DAY]


async def test_held_out_customers_count_as_entered(desk: Desk) -> None:
    """By their playbook's again-rule, their group, and the policy's entries."""
    held = read(
        "playbook: held\nenter: {when: {plan: pro}, holdout: 99%, group: care, priority: 90, again: never}\n"
        "goal: {event: {name: login}, within: 10d}\n"
    )
    await desk.publish(held, matching("other", group="care"))
    customer = next(f"c{n}" for n in range(100) if held_out("playbook/held", 99, f"c{n}"))
    await desk.send(customer, "identify", plan="pro")
    assert (await desk.decided())[:2] == [(customer, "held", "held_out"), (customer, "other", "group")]
    assert (await desk.why("held", customer))[0] == "already_running"
    await end_runs(desk)
    assert (await desk.why("held", customer))[0] == "again_rule"


async def test_a_running_one_is_never_interrupted_by_a_newcomer(desk: Desk) -> None:
    low = matching("low", group="care", priority="1")
    await desk.publish(low)
    await desk.send("ada", "identify", plan="pro")
    desk.clock.now += DAY
    await desk.publish(low, matching("high", group="care", priority="100"))
    await desk.evaluate(everybody=True)
    assert await desk.entries() == [("ada", "low", START)]
    assert (await desk.why("high", "ada"))[0] == "group"
    assert await desk.rows("SELECT interruption, ended_at FROM runs") == [(None, None)]


async def test_without_enter_a_playbook_is_started_by_hand_and_by_nothing_that_happens(desk: Desk) -> None:
    await desk.publish(read("playbook: helping\n"))
    await desk.send("ada", "identify", plan="pro")
    await desk.go_to(desk.clock.now + 3 * DAY)
    assert await desk.entries() == []


async def test_goal_events_count_from_entry_so_that_an_earlier_one_keeps_nobody_out(desk: Desk) -> None:
    await desk.publish(
        read("playbook: helping\nenter: {when: {plan: pro}}\ngoal: {event: {name: login}, within: 10d}\n")
    )
    await desk.send("ada", "login")
    desk.clock.now += SECOND
    await desk.send("ada", "identify", plan="pro")
    assert await desk.entries() == [("ada", "helping", desk.clock.now)]


# What is live


async def test_max_overdue_and_title_are_as_written_though_they_make_no_version(desk: Desk) -> None:
    before = matching("helping")
    after = before.model_copy(update={"max_overdue_seconds": 3 * DAY_SECONDS, "title": "Another"})
    assert before.version == after.version
    await desk.publish(before)
    desk.clock.now += DAY
    await desk.publish(after)
    async with desk.database.transaction() as connection:
        found = await load_version(connection, "helping", after.version)
    assert (found.max_overdue_seconds, found.title) == (3 * DAY_SECONDS, "Another")


async def test_an_experiments_arm_is_sticky_though_its_weights_change(desk: Desk) -> None:
    def split(a: int, b: int) -> CompiledPlaybook:
        arms = f"{{a: {{weight: {a}, steps: [{{stop: completed}}]}}, b: {{weight: {b}, steps: []}}}}"
        return read(
            "playbook: helping\nenter: {when: {plan: pro}, again: after 1d}\n"
            f"steps:\n  - experiment: tone\n    variants: {arms}\n"
        )

    await desk.publish(split(100, 0))
    await desk.send("ada", "identify", plan="pro")
    async with desk.database.transaction() as connection:
        [run] = [one for [one] in await desk.rows("SELECT id::text FROM runs")]
        await end_run(connection, run, "completed", "test", desk.clock.now)
    desk.clock.now += 2 * DAY
    await desk.publish(split(0, 100))
    await desk.send("ada", "login")
    found = await desk.rows("SELECT variants ->> 'tone' FROM runs ORDER BY entered_at")
    assert found == [("a",), ("a",)]
