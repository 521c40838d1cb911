"""What people do to runs: calls that go overdue or are handed on, answers given to the run itself, waits put off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from schemas.plan import Act, Elapsed, EventMatch, Goal, Reaction, Wait
from schemas.run import Command
from tests.integration.plans import DAY, ada, call, email, playbook
from tests.integration.running_engine import House, eventually

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"


def hasty(step: str, **more: object) -> Act:
    """A call that is escalated after 1 s and given up 2 s after it was due, which is at once."""
    made = call(step, **more)
    times = {"due_seconds": 1, "give_up_seconds": 2, "escalate": {"after_seconds": 1, "to": "cs-lead"}}
    return made.model_copy(update={"args": {**made.args, **times}})


async def begin(house: House, *steps: object, **more: object) -> WorkflowHandle:
    await house.engine.publish(playbook(*steps, **more))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    return house.engine.client.get_workflow_handle(run["workflow_id"])


async def test_a_call_that_nobody_makes_is_handed_on_and_then_given_up(house: House) -> None:
    fallback = {"overdue": Reaction(do="fallback", steps=(email("sorry"),))}
    await begin(house, hasty("ring", outcomes=fallback))
    await house.engine.until("SELECT 1 FROM tasks WHERE escalated_to = 'cs-lead' AND state = 'open'")
    await house.engine.until(ENDED)
    [task] = await house.engine.rows("SELECT state, outcome, escalated_to FROM tasks")
    assert task == {"state": "overdue", "outcome": "overdue", "escalated_to": "cs-lead"}
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About sorry"]


async def test_a_service_may_tell_the_run_itself_how_the_call_went(house: House) -> None:
    handle = await begin(house, call("ring", outcomes={"declined": Reaction(do="stop")}), email("summary"))
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("complete_step", Command(by="phone", step="another", outcome="reached"))

    async def told() -> bool:
        try:
            await handle.execute_update("complete_step", Command(by="phone", step="ring", outcome="reached"))
        except WorkflowUpdateFailedError:  # the workflow hasn't come to stand there yet
            return False
        return True

    await eventually(told)
    [run] = await house.engine.until(ENDED)
    assert run["outcome"] == "completed"
    [task] = await house.engine.rows("SELECT state, outcome, completed_by FROM tasks")
    assert task == {"state": "done", "outcome": "reached", "completed_by": "phone"}
    assert len(house.smtp.accepted) == 1


async def test_a_wait_can_be_put_off(house: House) -> None:
    handle = await begin(house, Wait(id="pause", spec=Elapsed(seconds=5)), email("later"))
    until = datetime.now(UTC) + timedelta(seconds=6)
    await handle.execute_update("snooze", Command(by="ops", until=until))
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("snooze", Command(by="ops", until=datetime.now(UTC) - timedelta(days=1)))
    await house.engine.until(ENDED)
    [step] = await house.engine.rows("SELECT at FROM run_steps WHERE step = 'later'")
    assert step["at"] >= until


async def test_stopping_a_run_takes_its_call_off_the_list(house: House) -> None:
    handle = await begin(house, call("ring"), email("summary"))
    await house.engine.until("SELECT 1 FROM tasks WHERE state = 'open'")
    await handle.execute_update("stop", Command(by="ops", outcome="lost", reason="moved away"))
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("lost", "moved away")
    [task] = await house.engine.rows("SELECT state FROM tasks")
    assert task["state"] == "cancelled"
    assert not house.smtp.accepted


async def test_a_run_that_is_rung_very_often_goes_on_in_a_fresh_history(house: House) -> None:
    goal = Goal(name="back", event=EventMatch(name="login"), within_seconds=7 * DAY)
    handle = await begin(
        house, email("greet"), Wait(id="pause", spec=Elapsed(seconds=DAY)), email("more"), goal=goal
    )
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'greet'")
    first = (await handle.describe()).run_id
    for _ in range(21):
        await asyncio.gather(*(handle.signal("event_occurred") for _ in range(100)))

    async def renewed() -> bool:
        return (await handle.describe()).run_id != first

    await eventually(renewed)
    await house.engine.send("ada", "login")
    [run] = await house.engine.until(ENDED)
    assert run["outcome"] == "success"
    assert len(house.smtp.accepted) == 1
