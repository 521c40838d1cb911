"""A reward unlocks a feature once and locks it again when its time is over, whatever ended the run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from activities.rewards import Rewards
from schemas.condition import AllOf, Compare
from schemas.run import Interruption
from store import inbox, runs
from store.reading_changes import list_changes
from store.reading_runs import list_steps
from tests.integration.step_desk import DAY, START, StepDesk, act, open_desk

GRANTS = "SELECT feature, granted_at, until, revoked_at FROM rewards ORDER BY granted_at"
UNLOCKED, LOCKED = "feature_unlocked", "feature_locked"


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as desk:
        yield desk


async def test_a_reward_is_granted_once_and_taken_back_to_the_minute(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium", **{"for": "7d"}))
    rewards = Rewards(desk.opening)
    first = await rewards.grant(desk.call(run, "reward"))
    desk.clock.now += timedelta(hours=3)
    again = await rewards.grant(desk.call(run, "reward"))
    assert (first.outcome, again.outcome) == ("granted", "granted")
    assert await desk.record(run) == [("reward", "granted", "premium until 2026-03-09 09:00 UTC")]
    until = START + 7 * DAY
    [grant] = await desk.rows(GRANTS)
    assert (grant["feature"], grant["granted_at"], grant["until"]) == ("premium", START, until)
    assert await desk.upkeep.next_due() is not None

    await desk.pass_time(6 * DAY)
    assert (await desk.rows(GRANTS))[0]["revoked_at"] is None
    # Nobody was there to take it back in time.
    await desk.pass_time(2 * DAY)
    [grant] = await desk.rows(GRANTS)
    assert grant["revoked_at"] == until
    assert await desk.events(UNLOCKED, LOCKED) == [
        (UNLOCKED, START, {"feature": "premium", "until": "2026-03-09T09:00:00+00:00"}),
        (LOCKED, until, {"feature": "premium"}),
    ]
    await desk.pass_time(DAY)
    assert len(await desk.events(LOCKED)) == 1


async def test_it_is_taken_back_though_the_run_ended_long_before(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium", **{"for": "7d"}))
    await Rewards(desk.opening).grant(desk.call(run, "reward"))
    async with desk.database.transaction() as connection:
        await runs.end_run(connection, run, "stopped", "stopped by hand", desk.clock.now)
    await desk.pass_time(7 * DAY)
    [grant] = await desk.rows(GRANTS)
    assert grant["revoked_at"] == START + 7 * DAY


async def test_without_for_it_is_for_good(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium"))
    await Rewards(desk.opening).grant(desk.call(run, "reward"))
    assert await desk.record(run) == [("reward", "granted", "premium for good")]
    await desk.pass_time(1000 * DAY)
    [grant] = await desk.rows(GRANTS)
    assert (grant["until"], grant["revoked_at"]) == (None, None)


async def test_of_two_overlapping_grants_the_later_end_locks_the_feature(desk: StepDesk) -> None:
    long = act("reward", "long", feature="premium", **{"for": "7d"})
    short = act("reward", "short", feature="premium", **{"for": "2d"})
    other = act("reward", "other", feature="analytics", **{"for": "2d"})
    run = await desk.enter(long, short, other)
    rewards = Rewards(desk.opening)
    for step in ("long", "short", "other"):
        await rewards.grant(desk.call(run, step))
    told = [properties["until"] for _, _, properties in await desk.events(UNLOCKED)]
    assert sorted(told) == ["2026-03-04T09:00:00+00:00"] + ["2026-03-09T09:00:00+00:00"] * 2
    await desk.pass_time(3 * DAY)
    assert await desk.events(LOCKED) == [(LOCKED, START + 2 * DAY, {"feature": "analytics"})]
    await desk.pass_time(5 * DAY)
    assert [properties["feature"] for _, _, properties in await desk.events(LOCKED)] == [
        "analytics",
        "premium",
    ]


async def test_grants_of_rounds_are_grants_of_their_own(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium", **{"for": "1d"}))
    rewards = Rewards(desk.opening)
    for occurrence in (0, 1, 1):
        await rewards.grant(desk.call(run, "reward", occurrence))
    assert len(await desk.rows(GRANTS)) == 2


async def test_a_run_that_is_to_end_or_an_if_that_does_not_hold_grants_nothing(desk: StepDesk) -> None:
    guard = AllOf(items=(Compare(signal="plan", op="eq", value="pro", path="if.plan"),))
    guarded = act("reward", "guarded", feature="premium").model_copy(update={"guard": guard})
    run = await desk.enter(guarded, act("reward", "late", feature="premium"))
    rewards = Rewards(desk.opening)
    assert (await rewards.grant(desk.call(run, "guarded"))).outcome == "skipped"
    async with desk.database.transaction() as connection:
        gone = Interruption(kind="exit", outcome="lost", reason="cancelled", at=desk.clock.now)
        await inbox.interrupt(connection, run, gone)
    assert (await rewards.grant(desk.call(run, "late"))).interruption is not None
    assert await desk.rows(GRANTS) == []


async def test_a_shadow_run_says_what_it_would_have_granted(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium", **{"for": "7d"}))
    await desk.shadow(run)
    assert (await Rewards(desk.opening).grant(desk.call(run, "reward"))).outcome == "shadow"
    assert await desk.record(run) == [("reward", "shadow", "premium for 7d")]
    assert await desk.rows(GRANTS) == []
    assert await desk.events(UNLOCKED) == []


async def test_the_end_of_a_reward_is_a_second_line_of_its_step(desk: StepDesk) -> None:
    run = await desk.enter(act("reward", feature="premium", **{"for": "7d"}))
    await Rewards(desk.opening).grant(desk.call(run, "reward"))
    await desk.pass_time(7 * DAY)
    async with desk.database.transaction() as connection:
        lines = await list_steps(connection, run)
        changes = await list_changes(connection, desk.clock.now)
    assert [(line.step, line.word, line.outcome, line.detail) for line in lines] == [
        ("reward", "reward", "granted", "premium until 2026-03-09 09:00 UTC"),
        ("reward", "reward", "taken_back", "premium"),
    ]
    assert lines[1].at == START + 7 * DAY
    assert [(change.kind, change.run_id, change.state) for change in changes] == [
        ("reward", run, "taken_back")
    ]
