"""A registered step is carried out once, with its texts rendered, and the ledger says what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import Field
from temporalio.exceptions import ApplicationError

from activities.carrying import StepCarrying
from channels.outcome import ContentError, TransientError, UnknownOutcomeError
from schemas.condition import AllOf, Compare
from schemas.frozen import Frozen
from schemas.message_part import Part
from schemas.run import Interruption
from schemas.step_type import Done, StepType, Work
from store import deliveries, inbox
from tests.integration.step_desk import START, StepDesk, act, open_desk


class Line(Frozen):
    """One line of an order."""

    what: Part
    count: int = 1


class OrderArguments(Frozen):
    """What is ordered."""

    note: Part
    lines: list[Line] = []
    fields: dict[str, Part] = Field({}, alias="with")
    plain: str = "{{ customer.first_name }}"
    tree: dict[str, Any] = Field({}, json_schema_extra={"x-texts": True})


class Receiver:
    """What a step type talks to: does `script`'s next, and remembers what it was given."""

    def __init__(self, *script: Callable[[Work], Awaitable[Done]] | BaseException | Done) -> None:
        self.script = list(script)
        self.got: list[Work] = []

    async def __call__(self, work: Work) -> Done:
        self.got.append(work)
        then = self.script.pop(0) if self.script else Done()
        if isinstance(then, BaseException):
            raise then
        return then if isinstance(then, Done) else await then(work)


def order(receiver: Receiver, **more: Any) -> StepType:
    return StepType(word="order", about="Orders.", arguments=OrderArguments, carry_out=receiver, **more)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


def carrying(desk: StepDesk, step_type: StepType, **more: float) -> StepCarrying:
    return StepCarrying(desk.opening, {step_type.word: step_type}, **more)


async def ledger(desk: StepDesk) -> list[tuple[str, str, int, str | None]]:
    rows = await desk.rows("SELECT channel, state, attempt, error_code FROM deliveries ORDER BY created_at")
    return [(row["channel"], row["state"], row["attempt"], row["error_code"]) for row in rows]


async def test_every_text_is_rendered_and_the_output_is_there_for_later_steps(desk: StepDesk) -> None:
    receiver = Receiver(Done("done", {"number": 17, "at": START}, "ordered 17"), Done())
    step_type = order(receiver)
    first = act(
        step_type, "first", note="For {{ customer.first_name }}",
        lines=[{"what": {"text": "{{ customer.shoe_size }}", "default": "shoes"}, "count": 2}],
        tree={"a": ["{{ customer.id }}", 3, {"b": "{{ run.playbook }}"}]}, **{"with": {"x": "{{ 1 + 1 }}"}},
    )  # fmt: skip
    second = act(step_type, "second", note="After {{ steps.first.number }}, {{ steps.first.outcome }}")
    run = await desk.enter(first, second)
    steps = carrying(desk, step_type)
    result = await steps.carry_out(desk.call(run, "first"))
    desk.clock.now += timedelta(minutes=1)
    await steps.carry_out(desk.call(run, "second"))
    assert (result.outcome, result.detail) == ("done", "")
    work = receiver.got[0]
    assert work.args == {
        "note": "For Ada", "lines": [{"what": "shoes", "count": 2}], "fields": {"x": "2"},
        "plain": "{{ customer.first_name }}", "tree": {"a": ["ada", 3, {"b": "helping"}]},
    }  # fmt: skip
    assert (work.key, work.now, work.attempt) == (deliveries.delivery_id(run, "first", 0), START, 1)
    assert work.customer["first_name"] == "Ada"
    assert (work.run["id"], work.run["step"], work.run["playbook"]) == (run, "first", "helping")
    assert receiver.got[1].args["note"] == "After 17, done"
    assert await desk.record(run) == [("first", "done", "ordered 17"), ("second", "done", "")]
    assert await ledger(desk) == [("order", "accepted", 1, None)] * 2


async def test_what_was_done_is_not_done_again_when_its_answer_was_lost(desk: StepDesk) -> None:
    receiver = Receiver(Done("sold"))
    step_type = order(receiver, outcomes=("sold", "failed"))
    run = await desk.enter(act(step_type, note="x"))
    for _ in range(3):
        assert (await carrying(desk, step_type).carry_out(desk.call(run, "order"))).outcome == "sold"
    assert len(receiver.got) == 1
    await carrying(desk, step_type).carry_out(desk.call(run, "order", occurrence=1))
    assert len({work.key for work in receiver.got}) == 2


async def test_what_fails_for_now_is_tried_again_with_the_same_key_for_six_hours(desk: StepDesk) -> None:
    slow = TransientError("busy", provider="shop", retry_after_seconds=77)
    receiver = Receiver(TransientError("away", provider="shop"), slow, Done())
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="x"))
    call, steps = desk.call(run, "order").model_copy(update={"played": False}), carrying(desk, step_type)
    delays = []
    for _ in range(2):
        with pytest.raises(ApplicationError) as caught:
            await steps.carry_out(call)
        delays.append(caught.value.next_retry_delay)
    assert delays == [timedelta(seconds=2), timedelta(seconds=77)]
    assert await desk.record(run) == []
    assert (await steps.carry_out(call)).outcome == "done"
    assert len({work.key for work in receiver.got}) == 1
    assert [work.attempt for work in receiver.got] == [1, 2, 3]
    assert await ledger(desk) == [("order", "accepted", 3, None)]


async def test_after_six_hours_it_has_failed(desk: StepDesk) -> None:
    receiver = Receiver(*[TransientError("away", provider="shop", provider_code="down")] * 2)
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="x"))
    call, steps = desk.call(run, "order").model_copy(update={"played": False}), carrying(desk, step_type)
    desk.clock.now += timedelta(hours=5, minutes=59)
    with pytest.raises(ApplicationError):
        await steps.carry_out(call)
    desk.clock.now += timedelta(minutes=2)
    assert (await steps.carry_out(call)).outcome == "failed"
    assert await ledger(desk) == [("order", "failed", 2, "down")]
    assert await desk.record(run) == [("order", "failed", "away")]


@pytest.mark.parametrize(
    ("answer", "outcome", "state", "told"),
    [
        (UnknownOutcomeError("cut off", provider="shop"), "unknown", "unknown", "cut off"),
        (ContentError("no such shoe", provider="shop"), "failed", "failed", "no such shoe"),
        (KeyError("size"), "failed", "failed", "KeyError: 'size'"),
        (ContentError("no\x00 sho\udcee", provider="shop"), "failed", "failed", "no\ufffd sho\ufffd"),
        (ValueError("no\x00 sho\udcee"), "failed", "failed", "ValueError: no\ufffd sho\ufffd"),
        (Done("failed", {}, "sold out"), "failed", "failed", "sold out"),
        (Done("failed", {}, "sold\x00 \udcee"), "failed", "failed", "sold\ufffd \ufffd"),
        (Done("gone"), "failed", "accepted", "`order` said `gone`, which isn't among its outcomes"),
        (Done("done", {"x": "y" * 200_000}), "failed", "accepted", "its output has 200008 bytes"),
    ],
)
async def test_what_cannot_be_repeated_or_helped_ends_the_step(
    desk: StepDesk,
    caplog: pytest.LogCaptureFixture,
    answer: BaseException | Done,
    outcome: str,
    state: str,
    told: str,
) -> None:
    # What is captured of a test travels between processes, where it must be Unicode.
    caplog.set_level(logging.CRITICAL + 1)
    receiver = Receiver(answer)
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="x"))
    for _ in range(2):
        assert (await carrying(desk, step_type).carry_out(desk.call(run, "order"))).outcome == outcome
    assert len(receiver.got) == 1
    assert await desk.record(run) == [("order", outcome, told)]
    assert [(channel, kept) for channel, kept, *_ in await ledger(desk)] == [("order", state)]


async def test_an_output_that_is_no_unicode_cannot_be_kept(desk: StepDesk) -> None:
    receiver = Receiver(Done("done", {"size": "\udcee"}))
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="x"))
    assert (await carrying(desk, step_type).carry_out(desk.call(run, "order"))).outcome == "failed"
    [(_, _, told)] = await desk.record(run)
    assert told.startswith("its output can't be kept: ")


async def test_what_takes_too_long_is_unknown_unless_it_may_be_repeated(desk: StepDesk) -> None:
    async def hang(_: Work) -> Done:
        await asyncio.sleep(60)
        raise AssertionError("it was let hang")

    receiver = Receiver(hang, hang)
    once, often = order(receiver), order(receiver, repeatable=True)
    run = await desk.enter(act(once, "once", note="x"), act(often, "often", note="x"))
    result = await carrying(desk, once, limit_seconds=0.05).carry_out(desk.call(run, "once"))
    assert result.outcome == "unknown"
    steps = carrying(desk, often, limit_seconds=0.05)
    with pytest.raises(ApplicationError):
        await steps.carry_out(desk.call(run, "often"))
    assert (await steps.carry_out(desk.call(run, "often"))).outcome == "done"


@pytest.mark.parametrize(("repeatable", "outcome", "times"), [(False, "unknown", 1), (True, "done", 2)])
async def test_what_a_killed_worker_began_is_settled_after_a_while(
    desk: StepDesk, repeatable: bool, outcome: str, times: int
) -> None:
    class KilledError(BaseException):
        pass

    receiver = Receiver(KilledError(), Done())
    step_type = order(receiver, repeatable=repeatable)
    run = await desk.enter(act(step_type, note="x"))
    call, steps = desk.call(run, "order").model_copy(update={"played": False}), carrying(desk, step_type)
    with pytest.raises(KilledError):
        await steps.carry_out(call)
    with pytest.raises(ApplicationError, match="still be under way") as caught:
        await steps.carry_out(call)
    assert caught.value.next_retry_delay == timedelta(seconds=40.1)
    desk.clock.now += timedelta(seconds=41)
    assert (await steps.carry_out(call)).outcome == outcome
    assert len(receiver.got) == times


async def test_a_text_that_cannot_be_made_fails_the_step_and_nothing_is_done(desk: StepDesk) -> None:
    receiver = Receiver()
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="Size {{ customer.shoe_size }}"))
    result = await carrying(desk, step_type).carry_out(desk.call(run, "order"))
    assert (result.outcome, result.detail) == ("failed", "template")
    assert receiver.got == []
    assert await ledger(desk) == [("order", "failed", 0, "template")]


async def test_neither_a_false_if_nor_a_run_that_is_to_end_gets_as_far_as_doing_it(desk: StepDesk) -> None:
    receiver = Receiver()
    step_type = order(receiver)
    guard = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="if.plan"),))
    run = await desk.enter(
        act(step_type, "guarded", note="x").model_copy(update={"guard": guard}),
        act(step_type, "late", note="x"),
    )
    assert (await carrying(desk, step_type).carry_out(desk.call(run, "guarded"))).outcome == "skipped"
    async with desk.database.transaction() as connection:
        left = Interruption(kind="exit", outcome="lost", reason="cancelled", at=desk.clock.now)
        await inbox.interrupt(connection, run, left)
    assert (await carrying(desk, step_type).carry_out(desk.call(run, "late"))).interruption is not None
    assert receiver.got == []


async def test_a_shadow_run_shows_what_it_would_have_done(desk: StepDesk) -> None:
    receiver = Receiver()
    step_type = order(receiver)
    run = await desk.enter(act(step_type, note="For {{ customer.first_name }}"))
    await desk.shadow(run)
    assert (await carrying(desk, step_type).carry_out(desk.call(run, "order"))).outcome == "shadow"
    assert receiver.got == []
    assert await ledger(desk) == [("order", "skipped", 1, "shadow")]
    [row] = await desk.rows("SELECT content FROM deliveries")
    assert row["content"]["arguments"]["note"] == "For Ada"


async def test_it_is_no_message_and_counts_under_no_cap(desk: StepDesk) -> None:
    step_type = order(Receiver())
    run = await desk.enter(act(step_type, note="x"))
    await carrying(desk, step_type).carry_out(desk.call(run, "order"))
    async with desk.database.transaction() as connection:
        [row] = await desk.rows("SELECT id::text AS id FROM customers")
        sent = await deliveries.load_recent_sends(
            connection, row["id"], desk.clock.now - timedelta(days=31), but=run
        )
    assert sent == []


async def test_a_word_that_this_worker_does_not_know_fails_and_says_so(desk: StepDesk) -> None:
    step_type = order(Receiver())
    run = await desk.enter(act(step_type, note="x"))
    result = await StepCarrying(desk.opening, {}).carry_out(desk.call(run, "order"))
    assert result.outcome == "failed"
    assert await desk.record(run) == [
        ("order", "failed", "this worker knows no step `order`; is its file in activities/?")
    ]
