"""`set` marks the customer the way an identify call does; `start` asks for an entry into another playbook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import ValidationError

from activities.entries import EntryAsking
from activities.mark import MarkArguments
from activities.marks import Marks
from schemas.condition import AllOf, Compare, Contains
from schemas.plan import Again, Elapsed, Enter, Wait
from tests.integration.step_desk import StepDesk, act, open_desk

STAND = Wait(id="stand", spec=Elapsed(seconds=86400 * 30))


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


async def tags(desk: StepDesk) -> list[str]:
    [row] = await desk.rows("SELECT s.tags, c.traits FROM signals s JOIN customers c ON c.id = s.customer_id")
    assert row["traits"]["tags"] == row["tags"]
    return list(row["tags"])


async def test_tags_come_and_go_one_by_one(desk: StepDesk) -> None:
    await desk.identify(tags=["photographer", "trial"])
    steps = (
        act("set", "vip", tag="vip"), act("set", "again", tag="vip"), act("set", "paid", untag="trial"),
        act("set", "swap", tag="gold", untag="vip"), act("set", "none", untag="never had"),
    )  # fmt: skip
    run = await desk.enter(*steps)
    for step in steps:
        desk.clock.now += timedelta(seconds=1)
        assert (await Marks(desk.opening).set(desk.call(run, step.id))).outcome == "set"
    assert await tags(desk) == ["photographer", "gold"]
    assert [detail for _, _, detail in await desk.record(run)] == [
        "tag vip", "tag vip", "no tag trial", "tag gold, no tag vip", "no tag never had",
    ]  # fmt: skip


async def test_it_is_set_once_and_another_who_changes_it_back_is_not_overruled(desk: StepDesk) -> None:
    run = await desk.enter(act("set", tag="vip"))
    await Marks(desk.opening).set(desk.call(run, "set"))
    desk.clock.now += timedelta(seconds=1)
    await desk.identify(tags=[])
    assert (await Marks(desk.opening).set(desk.call(run, "set"))).outcome == "set"
    assert await tags(desk) == []


async def test_attributes_are_rendered_and_known_to_conditions_profile_and_other_playbooks(
    desk: StepDesk,
) -> None:
    steps = act("set", attributes={"tier": "{{ customer.first_name }}'s gold", "plan": "pro", "team_size": 4})
    run = await desk.enter(steps)
    when = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="enter.when.plan"),))
    await desk.publish("upgraded", STAND, enter=Enter(when=when))
    await Marks(desk.opening).set(desk.call(run, "set"))
    [row] = await desk.rows(
        "SELECT s.plan, s.team_size, c.traits FROM signals s JOIN customers c ON c.id = s.customer_id"
    )
    assert (row["plan"], row["team_size"], row["traits"]["tier"]) == ("pro", 4, "Ada's gold")
    await desk.evaluate()
    assert [row["playbook"] for row in await desk.rows("SELECT playbook FROM runs ORDER BY 1")] == [
        "helping", "upgraded",
    ]  # fmt: skip


async def test_what_is_set_holds_though_somebody_elses_clock_was_ahead(desk: StepDesk) -> None:
    desk.clock.now += timedelta(minutes=3)
    await desk.identify(tags=["old"])
    desk.clock.now -= timedelta(minutes=3)
    run = await desk.enter(act("set", tag="vip"))
    await Marks(desk.opening).set(desk.call(run, "set"))
    assert await tags(desk) == ["old", "vip"]


async def test_a_step_after_it_sees_it(desk: StepDesk) -> None:
    guard = AllOf(items=(Contains(signal="tags", item="vip", path="if.tags"),))
    later = act("set", "later", tag="seen").model_copy(update={"guard": guard})
    run = await desk.enter(later, act("set", "first", tag="vip"), later.model_copy(update={"id": "again"}))
    marks = Marks(desk.opening)
    outcomes = [(await marks.set(desk.call(run, step))).outcome for step in ("later", "first", "again")]
    assert outcomes == ["skipped", "set", "set"]


async def test_a_shadow_run_marks_nobody_and_starts_nothing(desk: StepDesk) -> None:
    run = await desk.enter(act("set", tag="vip"), act("start", playbook="other"))
    await desk.publish("other", STAND)
    await desk.shadow(run)
    assert (await Marks(desk.opening).set(desk.call(run, "set"))).outcome == "shadow"
    assert (await EntryAsking(desk.opening).ask(desk.call(run, "start"))).outcome == "shadow"
    await desk.evaluate()
    assert await desk.record(run) == [("set", "shadow", "tag vip"), ("start", "shadow", "other")]
    assert await desk.rows("SELECT 1 FROM entry_requests") == []
    assert await desk.rows("SELECT 1 FROM signals WHERE tags IS NOT NULL AND tags <> '{}'") == []


@pytest.mark.parametrize(
    "wrong", [{}, {"attributes": {}}, {"tag": ""}, {"tag": " vip"}, {"attributes": {"tags": "x"}}, {"label": "x"},
              {"attributes": {"a b": 1}}],
)  # fmt: skip
def test_what_sets_nothing_or_cannot_be_set_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MarkArguments.model_validate(wrong)


async def test_start_lets_the_customer_in_by_the_other_playbooks_rules_once(desk: StepDesk) -> None:
    run = await desk.enter(act("start", playbook="other"))
    # Its trigger doesn't hold, and isn't asked.
    when = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="enter.when.plan"),))
    await desk.publish("other", STAND, enter=Enter(when=when, again=Again(kind="never")))
    asking = EntryAsking(desk.opening)
    for _ in range(2):
        result = await asking.ask(desk.call(run, "start"))
    assert (result.outcome, await desk.record(run)) == ("asked", [("start", "asked", "other")])
    await desk.evaluate()
    [other] = await desk.rows("SELECT id, trigger FROM runs WHERE playbook = 'other'")
    assert other["trigger"]["reason"] == "started by helping"

    await asking.ask(desk.call(run, "start", occurrence=1))
    await desk.evaluate()
    answers = await desk.rows(
        "SELECT decision FROM entry_requests ORDER BY requested_at, decided_at, decision"
    )
    assert sorted(row["decision"] for row in answers) == ["already_running", "entered"]


async def test_a_playbook_that_is_not_there_cannot_be_started(desk: StepDesk) -> None:
    run = await desk.enter(act("start", playbook="gone"))
    assert (await EntryAsking(desk.opening).ask(desk.call(run, "start"))).outcome == "failed"
    assert await desk.record(run) == [("start", "failed", "there is no playbook gone")]
