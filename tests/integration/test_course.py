"""Choices, rounds, branches that go on together, and pauses, on the running engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from click.testing import CliRunner

from cli.main import holdfast
from schemas.condition import AllOf, Compare
from schemas.plan import Case, Choose, Elapsed, Repeat, Steps, Stop, Together, Wait
from schemas.run import Command
from tests.integration.plans import ada, call, email, playbook, sms
from tests.integration.running_engine import SECRET, House, eventually

SECOND = timedelta(seconds=1)
ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"
STEPS = "SELECT step, occurrence, word, outcome FROM run_steps ORDER BY at, step, occurrence"


def pause(step: str, seconds: int = 1) -> Wait:
    return Wait(id=step, spec=Elapsed(seconds=seconds))


def plan_is(plan: str) -> AllOf:
    return AllOf(items=(Compare(signal="plan", op="eq", value=plan, path="plan"),))


async def walk(house: House, *steps: object, **more: object) -> list[tuple[str, int, str]]:
    """Carry Ada through `steps`; what they came to."""
    await house.engine.publish(playbook(*steps, **more))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(ENDED)
    return [(row["step"], row["occurrence"], row["outcome"]) for row in await house.engine.rows(STEPS)]


def choice() -> Choose:
    return Choose(
        id="which",
        cases=(
            Case(when=plan_is("free"), steps=(email("free"),)),
            Case(when=plan_is("pro"), steps=(email("pro"),)),
        ),
        otherwise=(email("other"),),
    )


async def test_the_first_case_that_is_true_is_taken(house: House) -> None:
    await house.engine.identify("ada", plan="pro")
    assert await walk(house, choice()) == [("which", 0, "2"), ("pro", 0, "sent")]


async def test_unknown_is_not_true_so_that_else_is_taken(house: House) -> None:
    assert await walk(house, choice()) == [("which", 0, "else"), ("other", 0, "sent")]


async def test_every_round_sends_its_own_message_once(house: House) -> None:
    rounds = Repeat(id="rounds", at_most=3, steps=(email("again"), pause("breath")))
    assert await walk(house, rounds) == [("again", 0, "sent"), ("again", 1, "sent"), ("again", 2, "sent")]
    assert len(house.smtp.accepted) == 3


async def test_until_is_looked_at_after_each_round(house: House) -> None:
    rounds = Repeat(id="rounds", at_most=5, until=plan_is("pro"), steps=(email("again"), pause("breath", 2)))
    await house.engine.publish(playbook(rounds))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM run_steps WHERE step = 'again' AND occurrence = 1")
    await house.engine.identify("ada", plan="pro")
    await house.engine.until(ENDED)
    decided = [row for row in await house.engine.rows(STEPS) if row["step"] == "rounds"]
    assert [row["outcome"] for row in decided] == ["again", "done"]
    assert len(house.smtp.accepted) == 2


async def test_rounds_inside_rounds_keep_their_messages_apart(house: House) -> None:
    inner = Repeat(id="inner", at_most=2, steps=(sms("text"),))
    outer = Repeat(id="outer", at_most=2, steps=(inner,))
    taken = await walk(house, outer)
    assert taken == [("text", number, "sent") for number in range(4)]


async def test_branches_go_on_at_the_same_time_and_the_run_when_all_are_done(house: House) -> None:
    both = Together(
        id="both",
        branches=((pause("long", 2), email("late")), (sms("soon"), pause("short"), sms("then"))),
    )
    taken = await walk(house, both, email("last"))
    assert [step for step, _, _ in taken] == ["soon", "then", "late", "last"]


async def test_the_trace_names_every_branch_that_stands(house: House) -> None:
    both = Together(id="both", branches=((pause("one", 60),), (pause("two", 60),)))
    await house.engine.publish(playbook(both))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])

    async def step() -> str:
        return (await handle.query("trace"))["step"] or ""

    assert await eventually(step, lambda seen: "+" in seen) == "one + two"
    await handle.execute_update("stop", Command(by="test"))
    [ended] = await house.engine.until(ENDED)
    assert ended["outcome"] == "stopped"


async def test_a_stop_in_one_branch_ends_the_run_and_nothing_more_is_sent(house: House) -> None:
    branches: tuple[Steps, ...] = (
        (pause("a-moment"), Stop(id="enough", outcome="lost")),
        (pause("longer", 30), email("never")),
    )
    await walk(house, Together(id="both", branches=branches), email("nor-this"))
    [run] = await house.engine.rows(ENDED)
    assert (run["outcome"], run["reason"]) == ("lost", "step enough")
    assert house.smtp.accepted == []


async def test_two_calls_at_the_same_time_are_answered_one_by_one(house: House) -> None:
    both = Together(id="both", branches=((call("first"),), (call("second"), email("after"))))
    await house.engine.publish(playbook(both))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM tasks", holds=lambda rows: len(rows) == 2)
    [run] = await house.engine.rows("SELECT * FROM runs")
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])
    await handle.execute_update("complete_step", Command(by="grace", step="second", outcome="reached"))
    await house.engine.until("SELECT 1 FROM deliveries WHERE state = 'accepted'")
    await handle.execute_update("complete_step", Command(by="grace", step="first", outcome="no_answer"))
    await house.engine.until(ENDED)
    states = await house.engine.rows("SELECT step, state, outcome FROM tasks ORDER BY step")
    assert [tuple(row.values()) for row in states] == [
        ("first", "done", "no_answer"),
        ("second", "done", "reached"),
    ]


async def paused(house: House, *, max_overdue_seconds: int) -> list[tuple[str, str]]:
    """Pause a run in its first wait until that is 2 s overdue, and let it go on."""
    steps = (pause("first"), email("one"), sms("two"), pause("second"), email("three"))
    await house.engine.publish(playbook(*steps, max_overdue_seconds=max_overdue_seconds))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])
    await handle.execute_update("pause", Command(by="test"))
    await house.engine.until("SELECT 1 FROM runs WHERE paused")
    await house.engine.until("SELECT 1 WHERE now() > :due", due=run["entered_at"] + 3 * SECOND)
    await handle.execute_update("resume", Command(by="test"))
    await house.engine.until(ENDED)
    return [(row["step"], row["outcome"]) for row in await house.engine.rows(STEPS)]


async def test_what_is_a_little_overdue_after_a_pause_goes_on_at_once(house: House) -> None:
    assert await paused(house, max_overdue_seconds=3600) == [
        ("one", "sent"), ("two", "sent"), ("three", "sent"),
    ]  # fmt: skip


async def test_what_is_overdue_by_more_is_skipped_up_to_the_next_wait(house: House) -> None:
    assert await paused(house, max_overdue_seconds=1) == [
        ("one", "skipped"), ("two", "skipped"), ("three", "sent"),
    ]  # fmt: skip
    assert [mail.message["Subject"] for mail in house.smtp.accepted] == ["About three"]


async def test_a_run_is_paused_resumed_and_stopped_from_the_command_line(
    house: House, database_url: str, temporal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.engine.publish(playbook(pause("long", 600)))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE state = 'running'")
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal)
    # What passes through Temporal is sealed with it.
    monkeypatch.setenv("HOLDFAST_SECRET_KEY", SECRET)

    async def order(*words: str) -> tuple[int, str]:
        told = await asyncio.to_thread(CliRunner().invoke, holdfast, [*words, str(run["id"])])
        return told.exit_code, told.output

    assert await order("pause") == (0, f"{run['id']} paused\n")
    code, told = await order("pause")
    assert code == 1
    assert "paused already" in told
    assert await order("resume") == (0, f"{run['id']} resumed\n")
    assert await order("stop", "--outcome", "lost", "--reason", "closed") == (0, f"{run['id']} stopping\n")
    [ended] = await house.engine.until(ENDED)
    assert (ended["outcome"], ended["reason"]) == ("lost", "closed")
    assert (await order("stop"))[0] == 1
