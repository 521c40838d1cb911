"""WhatsApp's 24 hours: within them a text of ours, outside the approved template, decided when the message leaves."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.main import run as run_command
from schemas.delivery_report import InboundMessage
from store.inbound_messages import record_message
from tests.integration.message_desk import ADDRESSES, NUDGE, MessageDesk, open_message_desk
from tests.integration.step_desk import act

TEXT = "Hello {{ customer.first_name }}, thanks for writing."
ANSWER = act("whatsapp", "answer", content_sid=NUDGE, variables={"1": "{{ customer.first_name }}"}, text=TEXT)
FREELY, APPROVED = "Hello Ada, thanks for writing.", "Hello Ada, we kept your place."


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def write(desk: MessageDesk, ago: timedelta, channel: str = "whatsapp") -> None:
    """Ada wrote to us."""
    message = InboundMessage(
        "twilio", uuid.uuid4().hex, channel, ADDRESSES["phone"], "Are you there?", desk.now - ago
    )
    async with desk.steps.database.transaction() as connection:
        await record_message(connection, message, customer_id=None, delivery=None, keyword=None, now=desk.now)


@pytest.mark.parametrize(
    ("ago", "channel", "said"),
    [
        (timedelta(hours=1), "whatsapp", FREELY),
        (timedelta(hours=23, minutes=58), "whatsapp", FREELY),
        (timedelta(hours=23, minutes=59), "whatsapp", APPROVED),
        (timedelta(days=3), "whatsapp", APPROVED),
        (timedelta(hours=1), "sms", APPROVED),
    ],
)
async def test_within_a_day_of_the_customers_own_message_a_text_goes_else_the_template(
    ago: timedelta, channel: str, said: str, desk: MessageDesk
) -> None:
    await write(desk, ago, channel)
    run = await desk.enter(ANSWER)
    assert (await desk.carry_out(run, "answer")).outcome == "sent"
    [taken] = desk.providers.twilio.accepted
    assert (taken.to, taken.body) == ("whatsapp:+15005550009", said)
    [row] = await desk.rows("SELECT content FROM deliveries")
    assert row["content"].get("content_sid") == (None if said == FREELY else NUDGE)


async def test_a_window_that_closes_during_a_wait_means_the_template(desk: MessageDesk) -> None:
    await write(desk, timedelta())
    run = await desk.enter(ANSWER, ANSWER.model_copy(update={"id": "later"}))
    assert (await desk.carry_out(run, "answer")).outcome == "sent"
    desk.steps.clock.now += timedelta(days=1)
    assert (await desk.carry_out(run, "later")).outcome == "sent"
    assert [taken.body for taken in desk.providers.twilio.accepted] == [FREELY, APPROVED]


async def test_where_whatsapp_says_that_the_window_is_closed_the_template_goes_once(
    desk: MessageDesk,
) -> None:
    await write(desk, timedelta(hours=1))
    desk.providers.twilio.programme.script.append("400/63016")
    run = await desk.enter(ANSWER)
    assert (await desk.carry_through(run, "answer")).outcome == "sent"
    assert [taken.body for taken in desk.providers.twilio.accepted] == [APPROVED]
    assert await desk.ledger("state, attempt, content ->> 'content_sid'") == [("accepted", 2, NUDGE)]
    # It is about this message: nobody who is fine is left alone for it.
    assert await desk.rows("SELECT 1 FROM suppressions") == []


PLAYBOOK = """
playbook: answer
title: Answer on WhatsApp
owner: cs
status: live
enter: {when: {plan: pro}}
steps:
  - wait: 1h
  - {id: soon, whatsapp: answer}
  - wait: 2d
  - {id: later, whatsapp: answer}
"""
TEMPLATE = """
template: answer
whatsapp:
  content_sid: HX11111111111111111111111111111111
  variables: {"1": "{{ customer.first_name }}"}
  text: "Hello {{ customer.first_name }}, thanks for writing."
"""
TESTS = """
playbook: answer
given:
  signals: {plan: pro}
  profile: {first_name: Ann, phone: "+4915112345678", timezone: Europe/Berlin}
  consent: {whatsapp: true}
  events: [{name: message_replied, at: -10m, properties: {channel: whatsapp}}]
tests:
  - name: first in our own words, later by the template
    expect:
      - {after: 1h, whatsapp: sent, step: soon, text: thanks for writing}
      - {after: 2d1h, whatsapp: sent, step: later, text: WhatsApp template HX1}
      - ...
"""


def test_simulated_runs_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (
        ("answer.yaml", PLAYBOOK), ("templates/answer.yaml", TEMPLATE), ("tests/answer.yaml", TESTS),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert run_command(["test", str(tmp_path)]) == 0, capsys.readouterr().out
