"""Events that come twice, in the wrong order, too late or from the future, over two web processes and two workers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from channels.outcome import Channel
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.twilio import TwilioSmsChannel
from schemas.condition import AllOf, Compare, EventCount, NoneOf
from schemas.incoming import IncomingEvent
from store.intake import take_in
from tests.integration.message_desk import OPEN
from tests.integration.plans import DAY as DAY_SECONDS
from tests.integration.plans import email, playbook, sms, trigger
from tests.integration.running_engine import RunningEngine, run_engine
from tests.integration.step_desk import DAY, START, StepDesk, open_desk
from tests.integration.web_edge import RunningWeb, run_web
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn


@dataclass
class Twins:
    """Two of everything on one database: engines with workers of their own, and web applications."""

    engine: RunningEngine
    webs: tuple[RunningWeb, RunningWeb]
    smtp: SmtpStandIn
    twilio: TwilioStandIn


@pytest.fixture
async def twins(database_url: str, temporal: str) -> AsyncIterator[Twins]:
    async with contextlib.AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(SmtpStandIn())
        twilio = await stack.enter_async_context(TwilioStandIn())
        engines = [
            await stack.enter_async_context(run_engine(database_url, temporal, make_channels(smtp, twilio)))
            for _ in range(2)
        ]
        first = await stack.enter_async_context(run_web(database_url))
        second = await stack.enter_async_context(run_web(database_url))
        yield Twins(engines[0], (first, second), smtp, twilio)


def make_channels(smtp: SmtpStandIn, twilio: TwilioStandIn) -> dict[str, Channel]:
    return {
        "email": SmtpChannel(parse_smtp_url(smtp.url), sender=("Holdfast", "care@example.com")),
        "sms": TwilioSmsChannel(
            account_sid=twilio.account, auth_token=twilio.token, sender="+15005550006", base_url=twilio.url
        ),
    }


async def test_what_comes_ten_times_to_two_of_everything_starts_one_run_and_sends_each_message_once(
    twins: Twins,
) -> None:
    people = 12
    await twins.engine.publish(playbook(email("greet"), sms("nudge")))

    def calls(n: int) -> list[dict[str, Any]]:
        traits = {
            "firstName": "Ada",
            "email": f"ada{n}@example.com",
            "phone": f"+1500555{n:04d}",
            "timezone": "UTC",
        }
        who = {"userId": f"ada{n}"}
        return [
            {"type": "identify", **who, "messageId": f"i{n}", "traits": traits},
            {"type": "track", **who, "messageId": f"t{n}", "event": "help_wanted"},
        ]

    async def post(web: RunningWeb, n: int, again: int) -> httpx.Response:
        headers = {"X-Retry-Count": str(again)} if again else {}
        return await web.client.post("/v1/batch", json={"batch": calls(n)}, headers=headers)

    answers = await asyncio.gather(
        *(post(web, n, again) for again in range(5) for n in range(people) for web in twins.webs)
    )
    assert {answer.status_code for answer in answers} == {200}
    over = "SELECT outcome FROM runs WHERE ended_at IS NOT NULL"
    rows = await twins.engine.until(over, holds=lambda rows: len(rows) == people)
    assert {row["outcome"] for row in rows} == {"completed"}
    # The same once more, when all of it is over.
    assert (await post(twins.webs[1], 0, 1)).status_code == 200
    [counts] = await twins.engine.rows(
        "SELECT (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM events) AS events, "
        "(SELECT count(*) FROM deliveries) AS deliveries, (SELECT count(*) FROM evaluations) AS waiting"
    )
    assert counts == {"runs": people, "events": 2 * people, "deliveries": 2 * people, "waiting": 0}
    mails = Counter(recipient for mail in twins.smtp.accepted for recipient in mail.recipients)
    texts = Counter(message.to for message in twins.twilio.accepted)
    assert (len(mails), set(mails.values())) == (people, {1})
    assert (len(texts), set(texts.values())) == (people, {1})


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[StepDesk]:
    async with open_desk(database_url) as opened:
        yield opened


async def say(desk: StepDesk, name: str, at: datetime, **traits: Any) -> None:
    """Something that Ada's sender says happened at `at`, and that arrives now."""
    now = desk.clock.now
    event = IncomingEvent("test", str(uuid.uuid4()), "ada", name, at, now, at.date(), {}, traits)
    await take_in(desk.database, [event], move=desk.opening.move)


async def test_paid_that_arrives_before_the_failure_it_settles_keeps_the_run_from_sending(
    desk: StepDesk,
) -> None:
    """The payment failed at 8:50 and came through at 8:55; the two are told in the wrong order."""
    failed, paid = (
        EventCount(name=f"payment_{how}", within_seconds=DAY_SECONDS) for how in ("failed", "succeeded")
    )
    unpaid = AllOf(items=(failed, NoneOf(items=(paid,))))
    entering = trigger().model_copy(update={"when": unpaid})
    await desk.publish("dunning", email("remind"), enter=entering, policy=OPEN)
    await say(desk, "payment_succeeded", START - timedelta(minutes=5))
    await desk.evaluate()
    await say(desk, "payment_failed", START - timedelta(minutes=10))
    await desk.evaluate()
    assert await desk.rows("SELECT 1 FROM runs") == []
    # A payment that fails when the other is long over is another matter.
    desk.clock.now += 2 * DAY
    await say(desk, "payment_failed", desk.clock.now)
    await desk.evaluate()
    assert len(await desk.rows("SELECT 1 FROM runs")) == 1


async def test_an_older_word_about_a_trait_that_arrives_late_does_not_bring_the_trigger_back(
    desk: StepDesk,
) -> None:
    past_due = AllOf(items=(Compare(signal="plan", op="eq", value="past_due"),))
    await desk.publish(
        "dunning", email("remind"), enter=trigger().model_copy(update={"when": past_due}), policy=OPEN
    )
    await say(desk, "identify", START - timedelta(minutes=5), plan="pro")
    await say(desk, "identify", START - timedelta(minutes=10), plan="past_due")
    await desk.evaluate()
    assert await desk.rows("SELECT 1 FROM runs") == []


async def test_an_event_older_than_the_triggers_window_is_kept_and_starts_nothing(desk: StepDesk) -> None:
    wanted = EventCount(name="help_wanted", within_seconds=7 * DAY_SECONDS)
    recently = trigger().model_copy(update={"when": AllOf(items=(wanted,))})
    await desk.publish("helping", email("greet"), enter=recently, policy=OPEN)
    await say(desk, "help_wanted", START - 400 * DAY)
    await desk.evaluate()
    [event] = await desk.rows("SELECT at, received_at FROM events WHERE name = 'help_wanted'")
    assert event["received_at"] - event["at"] == 400 * DAY
    assert await desk.rows("SELECT 1 FROM runs") == []
