"""What becomes of a message that may have been sent, where nobody can be asked, is the policy's to say: by class."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.delivery import MessageDelivery
from schemas.policy import Policy
from tests.integration.message_desk import OPEN, MessageDesk, open_message_desk
from tests.integration.step_desk import act

AGAIN = OPEN.model_copy(update={"unknown": {"critical": "again", "other": "leave"}})


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def enter(desk: MessageDesk, *faults: str, critical: bool = True, policy: Policy = AGAIN) -> str:
    """Ada's run, whose mail server takes mails and loses its answers so."""
    desk.providers.smtp.programme.script.extend(faults)
    return await desk.enter(act("email", template="nudge", critical=critical), policy=policy)


async def test_a_critical_one_is_sent_once_more_until_somebody_says_that_they_have_it(
    desk: MessageDesk,
) -> None:
    run = await enter(desk, "cut_after_dot")
    assert (await desk.carry_through(run, "email")).outcome == "sent"
    # Whoever reads it may have two; that is what was asked for. Programs tell them by their id.
    assert len({mail.message["Message-ID"] for mail in desk.providers.smtp.accepted}) == 1
    assert desk.providers.sent() == {"email": 2}
    assert await desk.ledger("state, attempt, error_code") == [("accepted", 2, None)]


async def test_after_three_times_it_stays_unknown(desk: MessageDesk) -> None:
    run = await enter(desk, *["cut_after_dot"] * 9)
    assert (await desk.carry_through(run, "email")).outcome == "unknown"
    assert desk.providers.sent() == {"email": 3}
    assert await desk.ledger("state, attempt, reconciled_at IS NULL") == [("unknown", 3, False)]
    assert (await desk.carry_through(run, "email")).outcome == "unknown"
    assert desk.providers.sent() == {"email": 3}


@pytest.mark.parametrize(("critical", "policy"), [(False, AGAIN), (True, OPEN)])
async def test_others_and_all_where_the_policy_says_nothing_are_left(
    desk: MessageDesk, critical: bool, policy: Policy
) -> None:
    run = await enter(desk, "cut_after_dot", critical=critical, policy=policy)
    assert (await desk.carry_through(run, "email")).outcome == "unknown"
    assert desk.providers.sent() == {"email": 1}


async def test_who_says_no_in_between_gets_no_second_one(desk: MessageDesk) -> None:
    run = await enter(desk, "cut_after_dot")
    with pytest.raises(Exception, match="isn't known"):
        await desk.carry_out(run, "email")
    await desk.consent("email", granted=False)
    assert (await desk.carry_through(run, "email")).outcome == "no_consent"
    assert desk.providers.sent() == {"email": 1}
    # Whether the first one arrived nobody knows.
    assert await desk.ledger("state") == [("unknown",)]


async def test_after_six_hours_it_is_no_longer_timely(desk: MessageDesk) -> None:
    run = await enter(desk, "cut_after_dot")
    began = desk.steps.call(run, "email")
    with pytest.raises(Exception, match="isn't known"):
        await desk.carry_out(run, "email")
    desk.steps.clock.now += timedelta(hours=7)
    late = began.model_copy(update={"played": False})
    delivery = MessageDelivery(desk.steps.opening, desk.channels)
    assert (await delivery.send(late)).outcome == "unknown"
    assert desk.providers.sent() == {"email": 1}


async def test_a_provider_that_can_be_asked_is_asked(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("cut_after")
    run = await desk.enter(act("sms", template="nudge", critical=True), policy=AGAIN)
    # Twilio notes the real time of what it takes.
    desk.steps.clock.now = datetime.now(UTC)
    assert (await desk.carry_through(run, "sms")).outcome == "sent"
    assert desk.providers.sent() == {"sms": 1}
