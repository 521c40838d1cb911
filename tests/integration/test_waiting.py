"""The record of a wait: until when, and what was assumed to say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from activities.waiting import Waiting
from schemas.condition import AllOf, Compare
from schemas.plan import Branch, CalendarDays, EventMatch, Wait, WaitFor
from tests.integration.step_desk import StepDesk, open_desk


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ({"timezone": "Europe/Berlin", "country": "DE"}, "until 2026-03-03 09:00 UTC"),
        (
            {"timezone": "Mars/Phobos", "country": "XX"},
            "until 2026-03-03 09:00 UTC; default zone UTC: Mars/Phobos is unknown; "
            "weekends only: no holidays known for XX",
        ),
    ],
)
async def test_what_a_wait_had_to_assume_stands_in_its_record(
    desk: StepDesk, traits: dict[str, str], told: str
) -> None:
    run = await desk.enter(Wait(id="stand", spec=CalendarDays(days=1, business=True)))
    await desk.identify(**traits)
    result = await Waiting(desk.opening).resolve(desk.call(run, "stand"))
    assert (result.outcome, result.detail) == ("waiting", "")
    assert await desk.record(run) == [("stand", "waiting", told)]


@pytest.mark.parametrize(("replies", "outcome"), [(True, "then"), (False, "else")])
async def test_how_a_wait_for_something_ended_is_said_alike_however_often_it_is_asked(
    desk: StepDesk, replies: bool, outcome: str
) -> None:
    run = await desk.enter(WaitFor(id="reply", event=EventMatch(name="replied"), for_seconds=3600))
    waiting, began = Waiting(desk.opening), desk.call(run, "reply")
    assert (await waiting.listen(began)).outcome == "waiting"
    desk.clock.now += timedelta(hours=1)
    if replies:
        await desk.send("ada", "replied")
    late = began.model_copy(update={"at": desk.clock.now})
    # The worker may die between the answer's commit and its way to the run.
    assert [(await waiting.close(late)).outcome for _ in range(2)] == [outcome, outcome]
    # What comes after the end changes nothing, nor does an attempt at its beginning that was held up until now.
    await desk.send("ada", "replied")
    assert [(await waiting.listen(began)).outcome, (await waiting.close(late)).outcome] == [outcome, outcome]
    assert await desk.rows("SELECT 1 FROM waits") == []


async def test_what_the_evaluator_saw_come_has_come_though_it_holds_no_more(desk: StepDesk) -> None:
    pro = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="wait_for.plan"),))
    run = await desk.enter(WaitFor(id="upgrade", when=pro, for_seconds=3600))
    waiting, began = Waiting(desk.opening), desk.call(run, "upgrade")
    assert (await waiting.listen(began)).outcome == "waiting"
    for plan in ("pro", "free"):
        await desk.identify(plan=plan)
        await desk.evaluate()
    desk.clock.now += timedelta(hours=1)
    assert (await waiting.close(began.model_copy(update={"at": desk.clock.now}))).outcome == "then"


async def test_which_way_to_go_is_decided_once_however_often_it_is_asked(desk: StepDesk) -> None:
    pro = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="if.plan"),))
    run = await desk.enter(Branch(id="which", when=pro, then=(), otherwise=()))
    await desk.identify(plan="pro")
    waiting = Waiting(desk.opening)
    assert (await waiting.check(desk.call(run, "which"))).outcome == "then"
    [before] = await desk.rows("SELECT * FROM run_steps")
    desk.clock.now += timedelta(minutes=5)
    await desk.identify(plan="free")
    assert (await waiting.check(desk.call(run, "which"))).outcome == "then"
    assert await desk.rows("SELECT * FROM run_steps") == [before]
    assert (await waiting.check(desk.call(run, "which", 1))).outcome == "else"
