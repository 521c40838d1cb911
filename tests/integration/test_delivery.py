"""The ledger: each message is accepted once, or it is known why it wasn't, whatever the provider does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.plan import Act, Reaction
from schemas.policy import Cap, Policy
from store.contact import record_consent
from store.evaluations import request_everything
from tests.integration.plans import DAY, ada, email, playbook, sms
from tests.integration.running_engine import OPEN, House

ENDED = "SELECT * FROM runs WHERE ended_at IS NOT NULL"


async def run_through(house: House, *steps: Act, policy: Policy = OPEN) -> list[Any]:
    """Let Ada through these steps; the deliveries in order."""
    await house.engine.publish(playbook(*steps), policy=policy)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(ENDED, seconds=60)
    return await house.engine.rows("SELECT * FROM deliveries ORDER BY created_at")


async def outcomes(house: House) -> list[tuple[str, str]]:
    rows = await house.engine.rows("SELECT step, outcome FROM run_steps ORDER BY at, step")
    return [(row["step"], row["outcome"]) for row in rows]


async def test_what_a_server_refuses_for_now_is_tried_again_and_accepted_once(house: House) -> None:
    house.smtp.programme.script.extend(["451_at_rcpt", "452_after_dot"])
    [delivery] = await run_through(house, email("greet"))
    assert (delivery["state"], delivery["attempt"]) == ("accepted", 3)
    assert house.smtp.count(str(delivery["id"])) == 1


async def test_an_sms_whose_answer_got_lost_is_found_at_the_provider_and_not_sent_again(house: House) -> None:
    house.twilio.programme.script.extend(["500_after"])
    [delivery] = await run_through(house, sms("nudge"))
    assert (delivery["state"], delivery["attempt"]) == ("accepted", 1)
    assert delivery["reconciled_at"] is not None
    assert house.twilio.count_body("Hi Ada") == 1


async def test_an_sms_that_the_provider_never_got_is_sent_again(house: House) -> None:
    house.twilio.programme.script.extend(["cut_before"])
    [delivery] = await run_through(house, sms("nudge"))
    assert (delivery["state"], delivery["attempt"]) == ("accepted", 2)
    assert house.twilio.count_body("Hi Ada") == 1


async def test_a_mail_that_may_have_been_sent_stays_visibly_unknown_and_the_run_goes_on(house: House) -> None:
    house.smtp.programme.script.extend(["cut_after_dot"])
    unsure, after = await run_through(house, email("greet"), email("more"))
    assert (unsure["state"], after["state"]) == ("unknown", "accepted")
    assert house.smtp.count(str(unsure["id"])) == 1
    assert await outcomes(house) == [("greet", "unknown"), ("more", "sent")]


async def test_an_address_that_does_not_exist_fails_and_is_not_used_again(house: House) -> None:
    house.smtp.programme.script.extend(["550_at_rcpt"])
    failed, second = await run_through(house, email("greet"), email("more"))
    assert (failed["state"], second["state"], second["error_code"]) == ("failed", "skipped", "suppressed")
    assert await outcomes(house) == [("greet", "failed"), ("more", "suppressed")]
    [suppressed] = await house.engine.rows("SELECT channel, reason FROM suppressions")
    assert suppressed == {"channel": "email", "reason": "invalid_address"}


async def test_who_opted_out_at_the_provider_gets_nothing_more_on_that_channel_but_the_fallback(
    house: House,
) -> None:
    house.twilio.programme.script.extend(["21610"])
    fallback = {"suppressed": Reaction(do="fallback", steps=(email("instead"),))}
    step = sms("nudge").model_copy(update={"outcomes": fallback})
    await run_through(house, step, sms("later"))
    assert await outcomes(house) == [("nudge", "suppressed"), ("instead", "sent"), ("later", "suppressed")]
    assert house.twilio.accepted == []


async def test_without_consent_or_address_nothing_is_sent_and_the_reason_is_kept(house: House) -> None:
    await house.engine.identify("ada", first_name="Ada", email="ada@example.com")
    async with house.engine.database.transaction() as connection:
        [row] = await house.engine.rows("SELECT id FROM customers")
        await record_consent(
            connection, str(row["id"]), "email", "tips", granted=False, source="test", at=datetime.now(UTC)
        )
    await house.engine.publish(
        playbook(email("tips", topic="tips"), sms("nudge"), email("news")), policy=OPEN
    )
    await house.engine.send("ada", "help_wanted")
    await house.engine.until(ENDED)
    assert await outcomes(house) == [("tips", "no_consent"), ("nudge", "unreachable"), ("news", "sent")]
    rows = await house.engine.rows("SELECT state, error FROM deliveries ORDER BY created_at")
    assert [(r["state"], r["error"]) for r in rows][:2] == [
        ("skipped", "email:tips was refused"), ("skipped", "there is no address for sms"),
    ]  # fmt: skip


async def test_a_cap_counts_what_left_and_what_cannot_wait_is_skipped(house: House) -> None:
    capped = OPEN.model_copy(update={"caps": {"email": Cap(times=1, seconds=7 * DAY)}})
    await run_through(house, email("first"), email("second"), sms("third"), policy=capped)
    assert await outcomes(house) == [("first", "sent"), ("second", "capped"), ("third", "sent")]


async def test_a_message_waits_for_the_quiet_hours_to_end(house: House) -> None:
    minute = datetime.now(UTC).hour * 60 + datetime.now(UTC).minute
    quiet = OPEN.model_copy(update={"quiet_hours": ((minute - 60) % 1440, (minute + 60) % 1440)})
    held = email("greet").model_copy(
        update={"outcomes": {"held_quiet_hours": Reaction(do="hold", hold_seconds=2 * DAY)}}
    )
    await house.engine.publish(playbook(held), policy=quiet)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT * FROM runs WHERE step = 'greet'")
    handle = house.engine.client.get_workflow_handle(run["workflow_id"])

    async def held_until() -> Any:
        lines = (await handle.query("trace"))["lines"]
        return lines and lines[-1]

    from tests.integration.running_engine import eventually

    line = await eventually(held_until)
    assert (line["step"], line["outcome"]) == ("greet", "held_quiet_hours")
    assert not house.smtp.accepted


async def test_a_template_with_a_missing_value_sends_nothing_half_rendered(house: House) -> None:
    [failed, sent] = await run_through(
        house, email("greet", text="Your plan is {{ signals.plan }}"), email("more")
    )
    assert (failed["state"], failed["error_code"], sent["state"]) == ("failed", "template", "accepted")
    assert "plan" in failed["error"]
    assert len(house.smtp.accepted) == 1


async def test_what_is_sent_is_checked_against_the_goal_at_the_last_moment(house: House) -> None:
    """The evaluator hasn't looked yet, but the goal holds: the message doesn't leave."""
    from schemas.condition import AllOf, Compare
    from schemas.plan import Elapsed, Goal, Wait

    goal = Goal(
        name="pro", when=AllOf(items=(Compare(signal="plan", op="eq", value="pro"),)), within_seconds=DAY
    )
    await house.engine.publish(playbook(Wait(id="pause", spec=Elapsed(seconds=5)), email("greet"), goal=goal))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    await house.engine.until("SELECT 1 FROM runs WHERE state = 'running'")
    # Behind the evaluator's back: nobody is asked to look at her.
    await house.engine.rows("UPDATE signals SET plan = 'pro' RETURNING 1")
    [run] = await house.engine.until(ENDED)
    assert (run["outcome"], run["reason"]) == ("success", "goal pro")
    assert not house.smtp.accepted


async def test_a_daily_look_finds_what_time_alone_made_true(house: House) -> None:
    from schemas.condition import AllOf, Compare
    from schemas.plan import Enter

    when = AllOf(items=(Compare(signal="days_since_last_login", op="ge", value=10, path="enter.when.days"),))
    await house.engine.publish(playbook(email("miss-you"), enter=Enter(when=when)))
    await ada(house)
    from schemas.incoming import IncomingEvent

    long_ago = datetime.now(UTC) - timedelta(days=12)
    await house.engine.take(
        IncomingEvent("test", "m1", "ada", "login", long_ago, datetime.now(UTC), long_ago.date(), {})
    )
    async with house.engine.database.transaction() as connection:
        await request_everything(connection, datetime.now(UTC))
    await house.engine.until(ENDED)
    assert len(house.smtp.accepted) == 1
