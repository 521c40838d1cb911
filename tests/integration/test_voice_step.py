"""`voice`: a text read out on the phone, on the same terms as every other message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.main import run as run_command
from schemas.policy import Cap
from store.addresses import hash_address
from store.suppressions import suppress
from tests.integration.hook_desk import PHONE, HookDesk, open_hook_desk
from tests.integration.message_desk import OPEN, MessageDesk, open_message_desk
from tests.integration.plans import DAY
from tests.integration.step_desk import START, act
from tests.integration.test_message_step import HOLD, nudge

RING = act("voice", "ring", text="Hello {{ customer.first_name }}, please <call> us.").model_copy(
    update={"outcomes": HOLD}
)
NIGHT = OPEN.model_copy(update={"quiet_hours": (21 * 60, 8 * 60)})


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


async def test_a_text_is_read_out_to_the_customer_and_costs_what_the_policy_says(desk: MessageDesk) -> None:
    run = await desk.enter(RING, policy=OPEN.model_copy(update={"costs": {"voice": 0.12}}))
    assert (await desk.carry_out(run, "ring")).outcome == "sent"
    [taken] = desk.providers.twilio.accepted
    said = "Hello Ada, please &lt;call&gt; us."
    assert (taken.to, taken.body) == (PHONE, f'<Response><Say language="en-GB">{said}</Say></Response>')
    [row] = await desk.rows("SELECT channel, state, provider_id, cost, content FROM deliveries")
    assert (row["channel"], row["state"], row["provider_id"]) == ("voice", "accepted", taken.sid)
    assert float(row["cost"]) == 0.12
    assert row["content"] == {"text": "Hello Ada, please <call> us."}


async def test_a_call_needs_consent_the_day_and_room_under_the_caps(desk: MessageDesk) -> None:
    capped = NIGHT.model_copy(
        update={"caps": {"voice": Cap(times=1, seconds=7 * DAY)}, "consent": {"sms": "assumed"}}
    )
    calls = [RING.model_copy(update={"id": name}) for name in ("ring", "again", "third")]
    run = await desk.enter(*calls, act("sms", text="Hello"), policy=capped)
    assert (await desk.carry_out(run, "ring")).outcome == "no_consent"
    await desk.consent("voice", granted=True)
    desk.steps.clock.now = START.replace(hour=22)
    held = await desk.carry_out(run, "again")
    assert (held.outcome, held.until) == ("held_quiet_hours", START.replace(day=3, hour=8))
    desk.steps.clock.now = START.replace(day=3, hour=9)
    assert (await desk.carry_out(run, "again")).outcome == "sent"
    assert (await desk.carry_out(run, "third")).outcome == "capped"
    assert desk.providers.sent() == {"voice": 1}


async def test_a_number_that_must_not_be_called_can_still_be_written_to(desk: MessageDesk) -> None:
    async with desk.steps.database.transaction() as connection:
        await suppress(connection, "voice", hash_address("voice", PHONE), "manual", desk.now)
    run = await desk.enter(RING, act("sms", "instead", text="Hello"))
    assert (await desk.carry_out(run, "ring")).outcome == "suppressed"
    assert (await desk.carry_out(run, "instead")).outcome == "sent"


async def test_a_message_calls_where_nothing_else_reaches_the_customer(desk: MessageDesk) -> None:
    templates = {"nudge": {"sms": {"text": "Hi"}, "voice": {"text": "Hello"}}}
    run = await desk.enter(nudge(), templates=templates)
    await desk.consent("sms", granted=False)
    assert (await desk.carry_out(run, "nudge")).detail == "by voice"
    assert desk.providers.sent() == {"voice": 1}


async def test_a_call_whose_answer_got_lost_is_found_and_not_placed_again(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("cut_after")
    run = await desk.enter(RING)
    desk.steps.clock.now = datetime.now(UTC)  # Twilio notes the real time of what it takes.
    assert (await desk.carry_through(run, "ring")).outcome == "sent"
    assert desk.providers.sent() == {"voice": 1}


# What comes back


@pytest.mark.parametrize(
    ("reported", "status", "event", "bounce"),
    [
        (["ringing", "in-progress", "completed"], "delivered", "message_delivered", None),
        (["ringing", "no-answer"], "undelivered", "message_bounced", "no-answer"),
        (["busy"], "undelivered", "message_bounced", "busy"),
    ],
)
async def test_runs_can_wait_for_whether_somebody_answered(
    reported: list[str], status: str, event: str, bounce: str | None, database_url: str
) -> None:
    async with open_hook_desk(database_url) as hooks:
        delivery = await ring(hooks)
        call = {"CallSid": "CA" + "b" * 32, "To": PHONE, "From": "+15005550006"}
        for word in reported:
            await hooks.twilio(f"d={delivery}&a=1", CallStatus=word, **call)
        assert (await hooks.delivery(delivery))["status"] == status
        [(name, properties)] = await hooks.events()
        assert (name, properties["channel"], properties.get("bounce")) == (event, "voice", bounce)
        # Who isn't there just now can be called again.
        assert await hooks.suppressed("voice", PHONE) == []


async def ring(hooks: HookDesk) -> str:
    """A call that was placed; the desk of hooks has no telephone of its own."""
    delivery = await hooks.send("sms")
    async with hooks.messages.steps.database.transaction() as connection:
        await connection.execute(text("UPDATE deliveries SET channel = 'voice'"))
    return delivery


# Playbooks and their tests

PLAYBOOK = """
playbook: last-call
title: Call before anything is switched off
owner: billing
status: live
enter: {when: {subscription_status: past_due}}
goal: {event: {name: payment_succeeded}, within: 5d}
steps:
  - {id: ring, voice: payment-call, topic: product}
  - wait_for: {event: {name: message_delivered, where: {step: ring}}, for: 10m}
    then: []
    else: [{id: note, sms: {text: We tried to call you.}}]
"""
TEMPLATE = """
template: payment-call
voice: {text: "Hello {{ customer.first_name }}, your payment failed."}
"""
TESTS = """
playbook: last-call
given:
  signals: {subscription_status: past_due}
  profile: {first_name: Tom, phone: "+4915112345678", timezone: Europe/Berlin}
  consent: {voice: true, sms: true}
tests:
  - name: he picks up
    start: 2026-03-03T10:00Z
    events: [{at: 1m, name: message_delivered, properties: {step: ring}}]
    expect:
      - {after: 0m, voice: sent, step: ring, text: Hello Tom}
      - {after: 5d, ended: expired}
  - name: nobody picks up
    start: 2026-03-03T10:00Z
    expect:
      - {after: 0m, voice: sent}
      - {after: 10m, sms: sent}
      - ...
  - name: nobody is called at night
    start: 2026-03-03T21:30Z
    expect:
      - {at: 2026-03-04T07:00Z, voice: sent}
      - ...
  - name: nobody is called without having said yes
    given: {consent: {voice: false, sms: true}}
    start: 2026-03-03T10:00Z
    expect:
      - {after: 0m, voice: no_consent}
      - ...
"""


def test_a_playbook_with_calls_is_tested_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tests", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "last-call.yaml").write_text(PLAYBOOK)
    (tmp_path / "templates/payment-call.yaml").write_text(TEMPLATE)
    (tmp_path / "tests/last-call.yaml").write_text(TESTS)
    (tmp_path / "policy.yaml").write_text(
        'quiet_hours: "21:00-08:00"\nconsent: {voice: required}\ncaps: {voice: 1 per 7d}\ncosts: {voice: 0.12}\n'
    )
    assert run_command(["test", str(tmp_path)]) == 0, capsys.readouterr().out
