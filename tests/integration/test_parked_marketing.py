"""Too many complaints: what isn't critical waits or goes another way, says so, and goes on when somebody lifts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.main import run as run_command
from rules.sending import PARKED_PAUSE
from schemas.plan import Reaction
from store.standing_alerts import (
    last_lifted_at,
    lift_parking,
    load_parked_channels,
    parking_kind,
    raise_standing,
)
from tests.integration.hook_desk import open_hook_desk
from tests.integration.message_desk import MessageDesk, open_message_desk
from tests.integration.step_desk import act
from tests.integration.test_message_step import HOLD, nudge

MAIL = act("email", "mail", subject="Hi", text="Hello").model_copy(update={"outcomes": HOLD})
WHY = "so many complained that nothing but what is critical leaves by email"


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def park(desk: MessageDesk, channel: str = "email") -> None:
    async with desk.steps.database.transaction() as connection:
        assert await raise_standing(connection, parking_kind(channel), "too many complained", {}, desk.now)


async def lift(desk: MessageDesk) -> None:
    async with desk.steps.database.transaction() as connection:
        assert await lift_parking(connection, "email", "anna", desk.now)
        assert not await lift_parking(connection, "email", "anna", desk.now)
        assert await last_lifted_at(connection, "email") == desk.now


async def test_what_is_parked_waits_says_why_and_leaves_when_it_is_lifted(desk: MessageDesk) -> None:
    await park(desk)
    run = await desk.enter(MAIL)
    held = await desk.carry_out(run, "mail")
    assert (held.outcome, held.until, held.detail) == ("held_quiet_hours", desk.now + PARKED_PAUSE, WHY)
    [shown] = await desk.rows("SELECT outcome, detail FROM run_steps")
    assert shown["outcome"] == "holding"
    assert WHY in shown["detail"]
    assert desk.providers.sent() == {}
    assert await desk.ledger() == []
    await lift(desk)
    assert (await desk.carry_out(run, "mail")).outcome == "sent"


async def test_what_can_not_wait_longer_is_skipped_with_the_reason(desk: MessageDesk) -> None:
    await park(desk)
    run = await desk.enter(MAIL, act("email", "now", subject="Hi", text="Hello").model_copy(
        update={"outcomes": {"held_quiet_hours": Reaction(do="next")}}
    ))  # fmt: skip
    assert (await desk.carry_out(run, "now")).until is None
    due_at = desk.now
    desk.steps.clock.now += timedelta(days=2)
    assert (await desk.carry_out(run, "mail", due_at=due_at)).outcome == "held_quiet_hours"
    rows = await desk.ledger("state, error_code, error")
    assert rows == [("skipped", "held_quiet_hours", f"{WHY}; that doesn't end in time")] * 2


async def test_critical_messages_and_other_channels_go_on(desk: MessageDesk) -> None:
    await park(desk)
    critical = act("email", "notice", subject="Hi", text="Hello", critical=True)
    run = await desk.enter(critical, act("sms", text="Hello"), nudge("email", "push"))
    assert (await desk.carry_out(run, "notice")).outcome == "sent"
    assert (await desk.carry_out(run, "sms")).outcome == "sent"
    best = await desk.carry_out(run, "nudge")
    assert best.outcome == "sent"
    assert best.detail.startswith(f"by push; not email: {WHY}")


async def test_complaints_park_what_comes_next_and_count_afresh_when_it_is_lifted(database_url: str) -> None:
    async with open_hook_desk(database_url) as hooks:
        messages, number = hooks.messages, 0
        for parks in (True, True):
            for _ in range(3):
                number += 1
                delivery = await hooks.send("email", name=f"helping-{number}")
                await hooks.event("spamreport", delivery, f"s{number}")
                async with messages.steps.database.transaction() as connection:
                    # Or the next message to the same person wouldn't leave.
                    await connection.execute(text("DELETE FROM suppressions"))
                    there = await load_parked_channels(connection)
                assert ("email" in there) is (number % 3 == 0 and parks)
            run = await messages.enter(act("email", "more", subject="Hi", text="Hi"), name=f"more-{number}")
            assert (await messages.carry_out(run, "more")).outcome == "held_quiet_hours"
            await lift(messages)
            messages.steps.clock.now += timedelta(minutes=1)


async def test_the_command_tells_and_lifts(
    desk: MessageDesk, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    assert await asyncio.to_thread(run_command, ["complaints", "--lift", "email"]) == 1
    await park(desk)
    assert await asyncio.to_thread(run_command, ["complaints"]) == 0
    assert "0 of 0 (0.00%)  parked since" in capsys.readouterr().out
    assert await asyncio.to_thread(run_command, ["complaints", "--lift", "email"]) == 0
    async with desk.steps.database.transaction() as connection:
        assert await load_parked_channels(connection) == {}
