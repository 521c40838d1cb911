"""`whatsapp`, `push` and `message` from the step to the provider, what shadow runs record, and the best time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from schemas.condition import AllOf, Compare
from schemas.plan import Act, Reaction, SendWindow
from schemas.policy import Cap, Policy
from tests.integration.conftest import run_engine
from tests.integration.message_desk import (
    ADDRESSES,
    NUDGE,
    OPEN,
    TEMPLATES,
    MessageDesk,
    make_all_channels,
    open_message_desk,
    open_providers,
)
from tests.integration.plans import DAY, playbook
from tests.integration.step_desk import START, act

NIGHT = OPEN.model_copy(update={"quiet_hours": (21 * 60, 8 * 60)})
HOLD = {name: Reaction(do="hold", hold_seconds=2 * DAY) for name in ("held_quiet_hours", "capped")}


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[MessageDesk]:
    async with open_message_desk(database_url, tmp_path) as desk:
        yield desk


def nudge(*channels: str, step: str = "nudge", **changes: object) -> Act:
    args = {"channels": channels} if channels else {}
    return act("message", step, template="nudge", **args).model_copy(update={"outcomes": HOLD, **changes})


def own(word: str, **changes: object) -> Act:
    return act(word, template="nudge").model_copy(update={"outcomes": HOLD, **changes})


def capped(**caps: int) -> Policy:
    return OPEN.model_copy(update={"caps": {name: Cap(times=n, seconds=7 * DAY) for name, n in caps.items()}})


# One channel


async def test_a_whatsapp_step_sends_the_approved_template_filled_in(desk: MessageDesk) -> None:
    run = await desk.enter(own("whatsapp"))
    assert (await desk.carry_out(run, "whatsapp")).outcome == "sent"
    [taken] = desk.providers.twilio.accepted
    assert (taken.to, taken.body) == ("whatsapp:+15005550009", "Hello Ada, we kept your place.")
    [row] = await desk.rows("SELECT * FROM deliveries")
    assert (row["channel"], row["provider_id"]) == ("whatsapp", taken.sid)
    assert row["content"] == {
        "content_sid": NUDGE, "variables": {"1": "Ada"}, "text": f"WhatsApp template {NUDGE}\n1: Ada",
    }  # fmt: skip


async def test_a_whatsapp_step_can_name_the_template_and_its_variables_itself(desk: MessageDesk) -> None:
    variables = {"1": {"text": "{{ signals.plan }}", "default": "friend"}}
    run = await desk.enter(act("whatsapp", content_sid=NUDGE, variables=variables))
    assert (await desk.carry_out(run, "whatsapp")).outcome == "sent"
    assert desk.providers.twilio.accepted[0].body == "Hello friend, we kept your place."


async def test_a_whatsapp_message_whose_answer_got_lost_is_found_and_not_sent_again(
    desk: MessageDesk,
) -> None:
    desk.providers.twilio.programme.script.append("cut_after")
    run = await desk.enter(own("whatsapp"))
    # Twilio notes the real time of what it takes.
    desk.steps.clock.now = datetime.now(UTC)
    assert (await desk.carry_through(run, "whatsapp")).outcome == "sent"
    assert desk.providers.sent() == {"whatsapp": 1}
    assert await desk.ledger("state, attempt, reconciled_at IS NULL") == [("accepted", 1, False)]


async def test_what_was_shown_in_the_product_is_shown_once_however_often_it_is_asked_for(
    desk: MessageDesk,
) -> None:
    """Temporal asks again where the answer was lost, and asks for everything where it lost the run."""
    run = await desk.enter(own("in_app"))
    first = await desk.carry_out(run, "in_app")
    desk.steps.clock.now += timedelta(minutes=5)
    assert await desk.carry_out(run, "in_app") == first
    assert first.outcome == "sent"
    assert await desk.ledger("state, attempt") == [("accepted", 1)]


async def test_what_is_shown_in_the_product_speaks_of_earlier_steps(desk: MessageDesk) -> None:
    said = act("in_app", title="Again", text="The mail was {{ steps.email.outcome }}")
    run = await desk.enter(own("email"), said)
    for step in ("email", "in_app"):
        assert (await desk.carry_out(run, step)).outcome == "sent"
    [row] = await desk.rows("SELECT content->>'text' AS text FROM deliveries WHERE channel = 'in_app'")
    assert row["text"] == "The mail was sent"


async def test_a_push_step_notifies_the_customers_phone(desk: MessageDesk) -> None:
    run = await desk.enter(own("push"), policy=NIGHT)
    assert (await desk.carry_out(run, "push")).outcome == "sent"
    [taken] = desk.providers.fcm.accepted
    assert taken["token"] == "Device:One"
    assert taken["notification"] == {"title": "Hello Ada", "body": "On the phone"}
    # It is nine in the morning: what the phone hasn't fetched by nine in the evening isn't shown, though handing it
    # over may take half a minute.
    assert taken["android"]["ttl"] == f"{12 * 3600 - 30}s"


async def test_a_push_that_may_have_been_sent_stays_unknown_and_is_not_sent_again(desk: MessageDesk) -> None:
    desk.providers.fcm.programme.script.append("cut_after")
    run = await desk.enter(own("push"))
    assert (await desk.carry_through(run, "push")).outcome == "unknown"
    assert (await desk.carry_through(run, "push")).outcome == "unknown"
    assert desk.providers.sent() == {"push": 1}
    assert await desk.ledger() == [("push", "unknown", "HF412")]


async def test_an_app_that_is_gone_gets_no_more_pushes_until_it_has_another_token(desk: MessageDesk) -> None:
    desk.providers.fcm.programme.script.append("404/UNREGISTERED")
    run = await desk.enter(
        own("push"), act("push", "more", template="nudge"), act("push", "again", template="nudge")
    )
    assert (await desk.carry_out(run, "push")).outcome == "failed"
    assert (await desk.carry_out(run, "more")).outcome == "suppressed"
    await desk.steps.identify(push_token="device:one")
    assert (await desk.carry_out(run, "again")).outcome == "sent"
    assert await desk.ledger("step, state, error_code") == [
        ("again", "accepted", None), ("more", "skipped", "suppressed"), ("push", "failed", "UNREGISTERED"),
    ]  # fmt: skip


async def test_a_used_up_push_quota_is_waited_out(desk: MessageDesk) -> None:
    desk.providers.fcm.programme.script.append("429/QUOTA_EXCEEDED")
    run = await desk.enter(own("push"))
    with pytest.raises(ApplicationError) as raised:
        await desk.carry_out(run, "push")
    assert raised.value.next_retry_delay == timedelta(seconds=60)
    desk.steps.clock.now += timedelta(seconds=60)
    assert (await desk.carry_out(run, "push")).outcome == "sent"
    assert await desk.ledger("state, attempt") == [("accepted", 2)]


@pytest.mark.parametrize("word", ["whatsapp", "push"])
async def test_both_need_consent_and_respect_the_night(word: str, desk: MessageDesk) -> None:
    run = await desk.enter(own(word), act(word, "later", template="nudge"), policy=NIGHT)
    desk.steps.clock.now = START.replace(hour=22)
    held = await desk.carry_out(run, word)
    assert (held.outcome, held.until) == ("held_quiet_hours", START.replace(day=3, hour=8))
    await desk.consent(word, granted=False)
    assert (await desk.carry_out(run, word)).outcome == "no_consent"
    assert desk.providers.sent() == {}


async def test_a_channel_without_a_provider_fails_visibly(desk: MessageDesk) -> None:
    del desk.channels["push"]
    run = await desk.enter(own("push"))
    assert (await desk.carry_out(run, "push")).outcome == "failed"
    assert await desk.ledger("state, error_code, error") == [
        ("failed", "no_provider", "no provider is configured for push")
    ]


# The best channel


async def test_a_message_goes_by_the_first_channel_that_reaches_the_customer_and_says_why(
    desk: MessageDesk,
) -> None:
    run = await desk.enter(nudge("push", "email", "whatsapp", "sms"))
    await desk.steps.identify(push_token="")
    await desk.consent("email", granted=False)
    result = await desk.carry_out(run, "nudge")
    why = "by whatsapp; not push: there is no address for push; not email: email was refused"
    assert (result.outcome, result.detail) == ("sent", why)
    assert desk.providers.sent() == {"whatsapp": 1}
    [row] = await desk.rows(
        "SELECT d.channel, d.content, s.* FROM deliveries d JOIN run_steps s USING (run_id)"
    )
    assert (row["channel"], row["content"]["chosen"]) == ("whatsapp", why)
    assert (row["word"], row["outcome"], row["detail"]) == ("message", "sent", why)
    assert row["output"] == {"channel": "whatsapp"}


async def test_left_to_itself_a_message_takes_the_cheapest_channel(desk: MessageDesk) -> None:
    run = await desk.enter(nudge())
    assert (await desk.carry_out(run, "nudge")).detail == "by in_app"
    [row] = await desk.rows("SELECT channel, state, provider, content FROM deliveries")
    assert (row["channel"], row["state"], row["provider"]) == ("in_app", "accepted", "in_app")
    assert row["content"]["title"] == "Hello Ada"
    assert desk.providers.sent() == {}


async def test_the_policys_costs_decide_what_is_cheap(desk: MessageDesk) -> None:
    dear = OPEN.model_copy(
        update={"costs": {"in_app": 0.5, "push": 0.3, "email": 0.2, "whatsapp": 0.1, "sms": 0.01}}
    )
    run = await desk.enter(nudge(), policy=dear)
    assert (await desk.carry_out(run, "nudge")).detail == "by sms"
    assert await desk.ledger("channel, cost::float") == [("sms", 0.01)]


async def test_what_may_leave_now_beats_what_is_preferred(desk: MessageDesk) -> None:
    run = await desk.enter(nudge("email", "in_app"), policy=NIGHT)
    desk.steps.clock.now = START.replace(hour=23)
    result = await desk.carry_out(run, "nudge")
    assert result.detail == "by in_app; not email: quiet hours, until 2026-03-03 08:00 UTC"


async def test_a_message_that_must_wait_is_held_and_decided_anew_when_its_time_comes(
    desk: MessageDesk,
) -> None:
    run = await desk.enter(nudge("sms", "email"), policy=NIGHT)
    due = desk.steps.clock.now = START.replace(hour=23)
    held = await desk.carry_out(run, "nudge")
    assert (held.outcome, held.until) == ("held_quiet_hours", START.replace(day=3, hour=8))
    assert "by sms from 2026-03-03 08:00 UTC: quiet hours" in held.detail
    [(_, outcome, detail)] = await desk.steps.record(run)
    assert outcome == "holding"
    assert detail.startswith("held_quiet_hours, until 2026-03-03 08:00 UTC; by sms from")
    await desk.consent("sms", granted=False)
    desk.steps.clock.now = held.until
    assert (await desk.carry_out(run, "nudge", due_at=due)).detail.startswith(
        "by email; not sms: sms was refused"
    )
    assert desk.providers.sent() == {"email": 1}


async def test_a_message_that_is_tried_again_stays_on_its_channel(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("429")
    run = await desk.enter(nudge("sms", "in_app"))
    with pytest.raises(ApplicationError):
        await desk.carry_out(run, "nudge")
    # Now in-app would be the better one: to be shown what may come by SMS as well is twice.
    await desk.consent("sms", granted=False)
    assert (await desk.carry_out(run, "nudge")).outcome == "no_consent"
    assert await desk.ledger() == [("sms", "skipped", "no_consent")]


async def test_a_message_that_may_have_left_is_looked_up_where_it_was_sent(desk: MessageDesk) -> None:
    desk.providers.twilio.programme.script.append("500_after")
    run = await desk.enter(nudge("sms", "email"))
    desk.steps.clock.now = datetime.now(UTC)
    with pytest.raises(ApplicationError):
        await desk.carry_out(run, "nudge")
    await desk.consent("sms", granted=False)
    result = await desk.carry_through(run, "nudge")
    assert (result.outcome, result.detail) == ("sent", "by sms")
    assert desk.providers.sent() == {"sms": 1}


async def test_who_cannot_be_reached_at_all_is_unreachable_and_every_reason_is_kept(
    desk: MessageDesk,
) -> None:
    run = await desk.enter(nudge("push", "email", "sms"))
    del desk.channels["sms"]
    await desk.steps.identify(push_token="")
    await desk.consent("email", granted=False)
    result = await desk.carry_out(run, "nudge")
    why = (
        "not push: there is no address for push; not email: email was refused; "
        "not sms: no provider is configured for sms"
    )
    assert (result.outcome, result.detail) == ("unreachable", why)
    assert await desk.ledger("state, error_code, error") == [("skipped", "unreachable", why)]


async def test_who_refused_every_channel_is_told_so(desk: MessageDesk) -> None:
    run = await desk.enter(nudge("email", "sms"))
    await desk.consent("email", granted=False)
    await desk.consent("sms", granted=False)
    assert (await desk.carry_out(run, "nudge")).outcome == "no_consent"


async def test_a_channel_that_the_template_has_no_part_for_is_no_candidate(desk: MessageDesk) -> None:
    templates = {"nudge": {"email": TEMPLATES["nudge"]["email"]}}
    run = await desk.enter(nudge(), nudge("sms", "email", step="second"), templates=templates)
    assert (await desk.carry_out(run, "nudge")).detail == "by email"
    assert (
        await desk.carry_out(run, "second")
    ).detail == "by email; not sms: the template has no part for it"


async def test_without_any_provider_a_message_fails_and_says_so(desk: MessageDesk) -> None:
    desk.channels.clear()
    run = await desk.enter(nudge("email", "sms"))
    assert (await desk.carry_out(run, "nudge")).outcome == "failed"
    assert await desk.ledger("state, error_code, error") == [
        (
            "failed",
            "no_provider",
            "email: no provider is configured for email; sms: no provider is configured for sms",
        )
    ]


async def test_a_message_whose_if_does_not_hold_is_skipped(desk: MessageDesk) -> None:
    guard = AllOf(items=(Compare(signal="plan", op="eq", value="pro"),))
    run = await desk.enter(nudge(guard=guard))
    assert (await desk.carry_out(run, "nudge")).outcome == "skipped"
    assert await desk.ledger() == [("in_app", "skipped", "guard")]


async def test_later_texts_can_say_which_way_an_earlier_message_took(desk: MessageDesk) -> None:
    text = "We wrote to you by {{ steps.nudge.channel }} ({{ steps.nudge.outcome }})"
    run = await desk.enter(nudge("sms"), act("email", "more", subject="About it", text=text))
    await desk.carry_out(run, "nudge")
    await desk.carry_out(run, "more")
    assert await desk.ledger("channel, content->>'text'") == [
        ("email", "We wrote to you by sms (sent)"), ("sms", "Hello Ada"),
    ]  # fmt: skip


# Shadows


async def test_a_shadow_run_records_the_rendered_message_and_sends_nothing(desk: MessageDesk) -> None:
    run = await desk.enter(own("email"), nudge("whatsapp"), own("in_app"), shadow=True)
    for step in ("email", "nudge", "in_app"):
        assert (await desk.carry_out(run, step)).outcome == "shadow"
        assert (await desk.carry_out(run, step)).outcome == "shadow"
    assert desk.providers.sent() == {}
    title = "coalesce(content->>'subject', content->>'title')"
    assert await desk.ledger(f"channel, state, error_code, claimed_at, {title}") == [
        ("email", "skipped", "shadow", None, "Hello Ada"),
        ("in_app", "skipped", "shadow", None, "Hello Ada"),
        ("whatsapp", "skipped", "shadow", None, None),
    ]  # fmt: skip
    [row] = await desk.rows("SELECT content, error FROM deliveries WHERE channel = 'whatsapp'")
    assert (row["content"]["variables"], row["error"]) == (
        {"1": "Ada"},
        "a shadow run sends nothing; by whatsapp",
    )
    assert [(step, outcome) for step, outcome, _ in await desk.steps.record(run)] == [
        ("email", "shadow"), ("in_app", "shadow"), ("nudge", "shadow"),
    ]  # fmt: skip


async def test_a_shadow_run_decides_as_a_real_one_would(desk: MessageDesk) -> None:
    broken = act("email", "broken", subject="About {{ signals.plan }}", text="x")
    run = await desk.enter(own("email"), own("sms"), broken, policy=NIGHT, shadow=True)
    await desk.consent("sms", granted=False)
    assert (await desk.carry_out(run, "sms")).outcome == "no_consent"
    assert (await desk.carry_out(run, "broken")).outcome == "failed"
    desk.steps.clock.now = START.replace(hour=23)
    held = await desk.carry_out(run, "email")
    assert (held.outcome, held.until) == ("held_quiet_hours", START.replace(day=3, hour=8))


async def test_shadows_use_up_each_others_caps_and_nobody_elses(desk: MessageDesk) -> None:
    policy = capped(email=1)
    imagined = await desk.enter(
        own("email"), act("email", "second", template="nudge"), policy=policy, shadow=True
    )
    assert (await desk.carry_out(imagined, "email")).outcome == "shadow"
    assert (await desk.carry_out(imagined, "second")).outcome == "capped"
    other = await desk.enter(own("email"), name="other", policy=policy, shadow=True)
    assert (await desk.carry_out(other, "email")).outcome == "capped"
    real = await desk.enter(own("email"), name="real", policy=policy)
    assert (await desk.carry_out(real, "email")).outcome == "sent"


async def test_what_was_really_sent_counts_for_shadows_too(desk: MessageDesk) -> None:
    policy = capped(email=1)
    real = await desk.enter(own("email"), policy=policy)
    assert (await desk.carry_out(real, "email")).outcome == "sent"
    imagined = await desk.enter(own("email"), name="imagined", policy=policy, shadow=True)
    assert (await desk.carry_out(imagined, "email")).outcome == "capped"


# The best time


async def test_a_message_waits_for_the_hour_at_which_the_customer_is_there(desk: MessageDesk) -> None:
    await desk.there(*(START.replace(hour=17, minute=30) - timedelta(days=days) for days in range(1, 8)))
    run = await desk.enter(own("email", send=SendWindow(best_time=True)))
    held = await desk.carry_out(run, "email")
    assert (held.outcome, held.until) == ("held_quiet_hours", START.replace(hour=17))
    told = "the best time is between 17:00 and 18:00 of the customer's day (7 of 7 visits were around then)"
    assert held.detail == told
    assert (await desk.steps.record(run))[0][2] == f"held_quiet_hours, until 2026-03-02 17:00 UTC; {told}"
    desk.steps.clock.now = held.until
    assert (await desk.carry_out(run, "email", due_at=START)).outcome == "sent"


async def test_messages_that_were_seen_in_the_product_count_as_visits(desk: MessageDesk) -> None:
    shown = [own("in_app", id=f"show-{day}") for day in range(5)]
    run = await desk.enter(*shown, own("email", send=SendWindow(best_time=True)))
    for step in shown:
        await desk.carry_out(run, step.id)
    seen = START.replace(hour=20) - timedelta(days=10)
    await desk.rows(
        "UPDATE deliveries SET seen_at = CAST(:at AS timestamptz) + right(step, 1)::int * interval '1 day' RETURNING 1",
        at=seen,
    )
    assert (await desk.carry_out(run, "email")).until == START.replace(hour=20)


async def test_old_visits_and_few_visits_say_nothing(desk: MessageDesk) -> None:
    await desk.there(*(START.replace(hour=17) - timedelta(days=100 + days) for days in range(20)))
    await desk.there(*(START.replace(hour=18) - timedelta(days=days) for days in range(1, 5)))
    run = await desk.enter(own("email", send=SendWindow(best_time=True)))
    assert (await desk.carry_out(run, "email")).outcome == "sent"


# All of it, on a running engine


async def test_a_run_goes_through_whatsapp_push_and_message(
    database_url: str, temporal: str, tmp_path: Path
) -> None:
    async with open_providers() as providers:
        channels = make_all_channels(providers, tmp_path)
        async with run_engine(database_url, temporal, channels) as engine:
            steps = (
                act("whatsapp", template="nudge"),
                act("push", template="nudge"),
                nudge("sms"),
                nudge(step="free"),
            )
            await engine.publish(playbook(*steps, templates=TEMPLATES), policy=OPEN)
            await engine.identify("ada", first_name="Ada", timezone="UTC", **ADDRESSES)
            await engine.send("ada", "help_wanted")
            [run] = await engine.until("SELECT * FROM runs WHERE ended_at IS NOT NULL", seconds=60)
            trace = await engine.client.get_workflow_handle(run["workflow_id"]).query("trace")
            ledger = await engine.rows("SELECT channel, state FROM deliveries ORDER BY created_at")
        assert [(row["channel"], row["state"]) for row in ledger] == [
            ("whatsapp", "accepted"), ("push", "accepted"), ("sms", "accepted"), ("in_app", "accepted"),
        ]  # fmt: skip
        assert providers.sent() == {"whatsapp": 1, "push": 1, "sms": 1}
    lines = [(line["step"], line["outcome"], line["detail"]) for line in trace["lines"]]
    assert [line for line in lines if line[1] == "sent"] == [
        ("whatsapp", "sent", ""), ("push", "sent", ""), ("nudge", "sent", "by sms"), ("free", "sent", "by in_app"),
    ]  # fmt: skip
