"""One path, end to end: an event comes in, a trigger matches, a run carries out its steps, the outcome is recorded."""

from __future__ import annotations

import pytest

from schemas.condition import AllOf, Compare
from schemas.errors import ConflictError, NotFoundError
from schemas.plan import (
    Act,
    Branch,
    Elapsed,
    Enter,
    EventMatch,
    Exit,
    Goal,
    Reaction,
    Split,
    Stop,
    Variant,
    Wait,
    WaitFor,
)
from schemas.run import SEND_QUEUE, Command
from store.entry_requests import request_entry
from store.tasks import complete_task
from tests.integration.plans import DAY, ada, call, email, playbook, sms, trigger
from tests.integration.running_engine import House, eventually

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"
STEPS = "SELECT step, word, outcome FROM run_steps ORDER BY at, step"


async def test_an_event_leads_to_an_email_and_an_sms_and_a_recorded_outcome(house: House) -> None:
    await house.engine.publish(
        playbook(
            email("greet"),
            Wait(id="pause", spec=Elapsed(seconds=1)),
            sms("nudge"),
            Act(
                id="note",
                word="in_app",
                activity="Delivery.show",
                args={"title": "Hi", "text": "Welcome back"},
            ),
        )
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["arm"], run["trigger"]["reason"]) == (
        "completed",
        "treated",
        "event at_least 1 help_wanted",
    )
    [mail] = house.smtp.accepted
    assert mail.message["Subject"] == "About greet"
    assert "Hello Ada" in mail.message.get_payload()
    assert [text.body for text in house.twilio.accepted] == ["Hi Ada"]
    deliveries = await house.engine.rows("SELECT channel, state, attempt FROM deliveries ORDER BY created_at")
    assert [(d["channel"], d["state"], d["attempt"]) for d in deliveries] == [
        ("email", "accepted", 1), ("sms", "accepted", 1), ("in_app", "accepted", 1),
    ]  # fmt: skip
    [execution] = await house.engine.rows("SELECT * FROM intervention_executions")
    assert (execution["outcome"], execution["success_measured"]) == ("completed", False)
    [decision] = await house.engine.rows("SELECT reason, checks FROM decisions")
    assert decision["reason"] == "entered"
    assert decision["checks"][0]["actual"] == 1


async def test_a_goal_interrupts_a_wait_and_nothing_more_is_sent(house: House) -> None:
    goal = Goal(name="imported", event=EventMatch(name="client_imported"), within_seconds=7 * DAY)
    await house.engine.publish(
        playbook(email("greet"), Wait(id="pause", spec=Elapsed(seconds=DAY)), email("more"), goal=goal)
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'greet'")
    await house.engine.send("ada", "client_imported")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("success", "goal imported: client_imported")
    assert len(house.smtp.accepted) == 1
    [execution] = await house.engine.rows("SELECT success_achieved, outcome FROM intervention_executions")
    assert execution["success_achieved"] is True


async def test_an_exit_ends_the_run_with_its_outcome(house: House) -> None:
    exits = (
        Exit(
            when=AllOf(
                path="exit[0].when",
                items=(Compare(signal="subscription_status", op="eq", value="cancelled"),),
            ),
            outcome="lost",
        ),
    )
    await house.engine.publish(
        playbook(Wait(id="pause", spec=Elapsed(seconds=DAY)), email("more"), exits=exits)
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM runs WHERE state = 'running'")
    await house.engine.send("ada", "subscription_cancelled")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("lost", "exit[0].when")
    assert not house.smtp.accepted


async def test_a_run_waits_for_an_event_and_takes_the_branch_that_it_decides(house: House) -> None:
    waiting = WaitFor(
        id="back",
        event=EventMatch(name="login"),
        for_seconds=DAY,
        then=(email("welcome-back"),),
        otherwise=(email("miss-you"),),
    )
    await house.engine.publish(playbook(waiting))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM waits")
    await house.engine.send("ada", "login")
    await house.engine.until(ENDED)
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About welcome-back"]


async def test_a_wait_for_that_times_out_takes_the_other_branch(house: House) -> None:
    waiting = WaitFor(
        id="back", event=EventMatch(name="login"), for_seconds=1, then=(), otherwise=(email("miss-you"),)
    )
    await house.engine.publish(playbook(waiting))
    await ada(house)
    await house.engine.send("ada", "login")
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(ENDED)
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About miss-you"]


async def test_a_call_is_put_on_a_list_and_its_outcome_branches(house: House) -> None:
    outcomes = {
        "declined": Reaction(do="stop"),
        "no_answer": Reaction(do="fallback", steps=(sms("sorry-we-missed-you"),)),
    }
    await house.engine.publish(playbook(call("ring", outcomes=outcomes), email("summary")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [task] = await house.engine.until("SELECT * FROM tasks WHERE state = 'open'")
    assert (task["title"], task["assignee"], task["kind"]) == ("Call Ada", "grace", "call")
    await complete_task(house.engine.database, str(task["id"]), "no_answer", notes="mailbox full", by="grace")
    [run] = await house.engine.until(ENDED)
    assert run["outcome"] == "completed"
    assert [text.body for text in house.twilio.accepted] == ["Hi Ada"]
    assert len(house.smtp.accepted) == 1


async def test_a_declined_call_stops_the_run(house: House) -> None:
    await house.engine.publish(
        playbook(call("ring", outcomes={"declined": Reaction(do="stop")}), email("summary"))
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [task] = await house.engine.until("SELECT * FROM tasks WHERE state = 'open'")
    await complete_task(house.engine.database, str(task["id"]), "declined", by="grace")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("stopped", "ring: declined")
    assert not house.smtp.accepted


async def test_if_experiment_and_stop_decide_the_course(house: House) -> None:
    pro = AllOf(items=(Compare(signal="plan", op="eq", value="pro"),))
    steps = (
        Branch(id="which", when=pro, then=(email("for-pros"),), otherwise=(email("for-others"),)),
        Split(
            id="split", experiment="tone",
            variants={
                "warm": Variant(weight=1, steps=(email("warm"), Stop(id="enough", outcome="success"))),
                "cool": Variant(weight=0),
            },
        ),
        email("never"),
    )  # fmt: skip
    await house.engine.publish(playbook(*steps))
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com", plan="pro")
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["variants"]) == ("success", {"tone": "warm"})
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About for-pros", "About warm"]
    [exposure] = await house.engine.rows("SELECT experiment, variant FROM exposures")
    assert (exposure["experiment"], exposure["variant"]) == ("helping/tone", "warm")


async def test_pause_resume_stop_and_the_trace(house: House) -> None:
    await house.engine.publish(
        playbook(
            Wait(id="pause", spec=Elapsed(seconds=5)),
            email("more"),
            Wait(id="long", spec=Elapsed(seconds=DAY)),
        )
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])
    await handle.execute_update("pause", Command(by="ops", reason="vip"))
    await house.engine.until("SELECT 1 FROM runs WHERE paused")
    await handle.execute_update("resume", Command(by="ops"))
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'more'")
    trace = await handle.query("trace")
    assert [(line["step"], line["outcome"]) for line in trace["lines"]] == [
        ("pause", "waiting"), ("run", "paused"), ("run", "resumed"), ("more", "sent"), ("long", "waiting"),
    ]  # fmt: skip
    assert trace["step"] == "long"
    await handle.execute_update("stop", Command(by="ops", reason="asked to"))
    [ended] = await house.engine.until(ENDED)
    assert (ended["outcome"], ended["reason"]) == ("stopped", "asked to")


async def test_one_run_at_a_time_and_a_reason_for_each_entry_that_did_not_happen(house: House) -> None:
    await house.engine.publish(
        playbook(Wait(id="pause", spec=Elapsed(seconds=DAY)), group="care", priority=90),
        playbook(
            Wait(id="pause", spec=Elapsed(seconds=DAY)), name="second-choice", group="care", priority=10
        ),
        playbook(email("x"), name="nobody-enters", enter=Enter(when=trigger().when, holdout_percent=100)),
    )
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM runs WHERE state = 'running'")
    await house.engine.send("ada", "help_wanted")
    decisions = await house.engine.until(
        "SELECT playbook, reason FROM decisions ORDER BY id", holds=lambda rows: len(rows) >= 5
    )
    assert [(d["playbook"], d["reason"]) for d in decisions] == [
        ("helping", "entered"), ("nobody-enters", "held_out"), ("second-choice", "group"),
        ("helping", "already_running"), ("nobody-enters", "already_running"),
    ]  # fmt: skip
    runs = await house.engine.rows("SELECT playbook, arm, state FROM runs ORDER BY playbook")
    assert [(r["playbook"], r["arm"], r["state"]) for r in runs] == [
        ("helping", "treated", "running"), ("nobody-enters", "held_out", "observed"),
    ]  # fmt: skip
    assert not house.smtp.accepted


async def test_the_temporal_ui_can_be_read(house: House) -> None:
    await house.engine.publish(playbook(email("greet"), Wait(id="pause", spec=Elapsed(seconds=DAY))))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    assert run["workflow_id"] == f"playbook/helping/{run['customer_id']}"
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])

    async def standing() -> str:
        described = await handle.describe()
        return str(described.search_attributes.get("PlaybookStep", [""])[0])

    assert await eventually(standing) == "pause"
    described = await handle.describe()
    assert described.search_attributes["PlaybookName"] == ["helping"]
    assert described.search_attributes["CustomerId"] == [str(run["customer_id"])]
    summaries = [
        event.activity_task_scheduled_event_attributes.task_queue.name
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert summaries == [SEND_QUEUE]
    history = (await handle.fetch_history()).to_json()
    for secret in ("ada@example.com", "Ada", "+15005550009"):
        assert secret not in history


async def test_an_entry_can_be_asked_for_by_hand_and_is_refused_with_its_reason(house: House) -> None:
    await house.engine.publish(
        playbook(email("greet"), Wait(id="pause", spec=Elapsed(seconds=DAY)), enter=None)
    )
    await ada(house)
    run_id = await request_entry(house.engine.database, "helping", "ada", "she rang us")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    assert (str(run["id"]), run["trigger"]["reason"]) == (run_id, "she rang us")
    with pytest.raises(ConflictError, match="already_running"):
        await request_entry(house.engine.database, "helping", "ada", "once more")
    with pytest.raises(NotFoundError, match="no customer 'bob'"):
        await request_entry(house.engine.database, "helping", "bob", "who?")
