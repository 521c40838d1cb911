"""Calls and tasks: put on a list once, due in working hours, escalated and given up; a shadow puts nothing there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from activities.running import RunBooks
from activities.tasks import HumanTasks
from schemas.condition import AllOf, Compare
from schemas.plan import Reaction
from schemas.policy import Policy, WorkingHours
from schemas.run import EndCall, RunEnd
from store.tasks import Report, complete_task
from tests.integration.step_desk import StepDesk, act, open_desk

TASKS = "SELECT kind, title, about, assignee, escalated_to, state, outcome, outcomes, due_at, give_up_at FROM tasks"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


async def test_a_task_is_put_on_the_customers_own_csms_list_once_and_due_when_the_team_works(
    desk: StepDesk,
) -> None:
    policy = Policy(
        default_zone="Europe/Berlin",
        working_hours=WorkingHours(weekdays=(1, 2, 3, 4, 5), between=(540, 1020)),
    )
    step = act(
        "task", title="Check {{ customer.first_name }}'s forms", about="Look:\n- at the first", due="4d"
    )
    run = await desk.enter(
        step.model_copy(update={"outcomes": {"mended": Reaction(do="next")}}), policy=policy
    )
    for _ in range(2):
        opened = await HumanTasks(desk.opening).assign(desk.call(run, "task"))
    [task] = await desk.rows(TASKS)
    assert (task["kind"], task["title"], task["about"]) == (
        "task",
        "Check Ada's forms",
        "Look:\n- at the first",
    )
    assert task["assignee"] == "grace"
    assert "mended" in task["outcomes"]
    # Monday 9:00 and four days is Friday 10:00 in Berlin.
    assert task["due_at"] == datetime(2026, 3, 6, 9, tzinfo=UTC)
    assert (opened.outcome, opened.until, opened.give_up_at) == ("open", task["due_at"], task["give_up_at"])
    assert task["give_up_at"] == task["due_at"] + timedelta(days=7)


async def test_what_falls_due_at_night_is_due_when_the_team_opens(desk: StepDesk) -> None:
    policy = Policy(
        default_zone="UTC", working_hours=WorkingHours(weekdays=(1, 2, 3, 4, 5), between=(540, 1020))
    )
    run = await desk.enter(act("task", title="Friday night", due="106h"), policy=policy)
    await HumanTasks(desk.opening).assign(desk.call(run, "task"))
    [task] = await desk.rows(TASKS)
    assert task["due_at"] == datetime(2026, 3, 9, 9, tzinfo=UTC)


async def test_what_a_person_says_of_one_round_is_told_to_that_round(desk: StepDesk) -> None:
    run = await desk.enter(act("task", title="Look"))
    for occurrence in (0, 1):
        await HumanTasks(desk.opening).assign(desk.call(run, "task", occurrence))
    [second] = await desk.rows("SELECT id FROM tasks WHERE occurrence = 1")
    await complete_task(desk.database, str(second["id"]), "done", by="grace")
    [entry] = await desk.rows("SELECT kind, step, occurrence, outcome FROM run_inbox")
    assert entry == {"kind": "task", "step": "task", "occurrence": 1, "outcome": "done"}
    assert (await HumanTasks(desk.opening).assign(desk.call(run, "task", 1))).outcome == "done"
    assert (await HumanTasks(desk.opening).assign(desk.call(run, "task", 0))).outcome == "open"


async def test_an_open_task_stays_open_though_its_if_no_longer_holds(desk: StepDesk) -> None:
    guard = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="if.plan"),))
    await desk.identify(plan="pro")
    run = await desk.enter(act("task", title="Look").model_copy(update={"guard": guard}))
    assert (await HumanTasks(desk.opening).assign(desk.call(run, "task"))).outcome == "open"
    desk.clock.now += timedelta(seconds=1)
    await desk.identify(plan="free")
    assert (await HumanTasks(desk.opening).assign(desk.call(run, "task"))).outcome == "open"
    assert (await HumanTasks(desk.opening).assign(desk.call(run, "task", 1))).outcome == "skipped"


async def test_a_shadow_run_puts_nothing_on_a_list(desk: StepDesk) -> None:
    run = await desk.enter(act("task", title="Call {{ customer.first_name }}"))
    await desk.shadow(run)
    result = await HumanTasks(desk.opening).assign(desk.call(run, "task"))
    # Who it is about stays in the record: a history holds no names.
    assert (result.outcome, result.detail) == ("shadow", "")
    assert await desk.record(run) == [("task", "shadow", "Call Ada")]
    assert await desk.rows(TASKS) == []


async def test_a_run_costs_the_minutes_that_were_written_down_and_a_quarter_of_an_hour_where_none_were(
    desk: StepDesk,
) -> None:
    run = await desk.enter(
        act("task", "noted", title="Help"), act("task", "unsaid", title="Look"), act("task", "left", title="Later"),
        policy=Policy(costs={"csm_minute": 0.5}),
    )  # fmt: skip
    for step, minutes in (("noted", 42), ("unsaid", None), ("left", None)):
        await HumanTasks(desk.opening).assign(desk.call(run, step))
        if step != "left":
            [task] = await desk.rows(
                "SELECT id::text AS id, outcomes FROM tasks WHERE step = :step", step=step
            )
            report = Report(duration_minutes=minutes)
            await complete_task(desk.database, task["id"], task["outcomes"][0], by="grace", report=report)
    end = RunEnd(outcome="completed", reason="all steps are done", at=desk.clock.now)
    call = EndCall(run_id=run, execution_id="test", end=end, played=True)
    assert await RunBooks(desk.opening).finish(call) == end
    [row] = await desk.rows("SELECT cost_to_execute::float8 AS cost FROM intervention_executions")
    assert row["cost"] == (42 + 15) * 0.5
    # The minutes stand in the audit log, too: they are money.
    told = await desk.rows(
        "SELECT after->'duration_minutes' AS minutes FROM audit_log WHERE action = 'task.completed' ORDER BY id"
    )
    assert [row["minutes"] for row in told] == [42, None]
