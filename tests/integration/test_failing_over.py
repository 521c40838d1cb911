"""Several providers for one channel: the next one is asked where a message surely wasn't taken, and never else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.delivery import MessageDelivery
from channels.outcome import Channel, OutgoingMessage, Receipt, TransientError
from channels.pool import Provider, ProviderPool
from channels.resend import ResendChannel
from channels.settings import parse_smtp_url
from channels.smtp import SmtpChannel
from channels.smtp_replies import Stage, refused
from schemas.plan import Act
from store.providers import FAILURES_TO_REST, unpark_providers
from tests.integration.message_desk import MessageDesk, open_message_desk
from tests.integration.step_desk import act
from tests.integration.trouble import Trouble
from tests.standins import resend
from tests.standins.resend import ResendStandIn

SENDER = ("Holdfast", "care@example.com")
MINUTE = timedelta(minutes=1)
REFUSED = "mail:530 5.7.0 authentication required"


@dataclass
class Desk:
    """The message desk, whose e-mail goes by SMTP, and by Resend where that fails."""

    messages: MessageDesk
    resend: ResendStandIn
    smtp: SmtpChannel
    backup: ResendChannel

    def use(self, *names: str, settings: str = "") -> None:
        """Which providers e-mail has, in this order, and which settings they have now."""
        channels: dict[str, Channel] = {"smtp": self.smtp, "resend": self.backup}
        pool = ProviderPool("email", [Provider(channels[name], settings or name) for name in names])
        self.messages.channels["email"] = pool

    def fail(self, *faults: str) -> None:
        """What the SMTP server does with the next messages."""
        self.messages.providers.smtp.programme.script.extend(faults)

    def taken(self) -> tuple[int, int]:
        """How many mails SMTP and Resend have taken."""
        return len(self.messages.providers.smtp.accepted), len(self.resend.accepted)

    async def states(self) -> list[tuple[Any, ...]]:
        rows = await self.messages.rows("SELECT provider, state, code, failures FROM providers WHERE channel = 'email' "
                                        "AND (state <> 'ok' OR failures > 0) ORDER BY provider")  # fmt: skip
        return [tuple(row.values()) for row in rows]

    async def alerts(self) -> list[tuple[str, bool]]:
        rows = await self.messages.rows(
            "SELECT kind, resolved_at IS NOT NULL AS over FROM alerts ORDER BY id"
        )
        return [(row["kind"], row["over"]) for row in rows]

    async def try_once(self, run: str, step: str = "email") -> tuple[str, timedelta | None]:
        """The kind of the error that asks for a repetition, and after how long."""
        with pytest.raises(ApplicationError) as raised:
            await self.messages.carry_out(run, step)
        return str(raised.value.type), raised.value.next_retry_delay

    def pass_time(self, passed: timedelta) -> None:
        self.messages.steps.clock.now += passed


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_message_desk(database_url, tmp_path) as messages, ResendStandIn() as server:
        smtp = SmtpChannel(parse_smtp_url(messages.providers.smtp.url), sender=SENDER)
        backup = ResendChannel(resend.KEY, sender=SENDER, base_url=server.url)
        desk = Desk(messages, server, smtp, backup)
        desk.use("smtp", "resend")
        yield desk
        for channel in (smtp, backup):
            await channel.close()


def mail(step: str = "email") -> Act:
    return act("email", step, template="nudge")


async def enter(desk: Desk, *steps: str) -> str:
    return await desk.messages.enter(*(mail(step) for step in steps or ("email",)))


@pytest.mark.parametrize(
    "fault", ["421_at_connect", "mail:451 4.3.0 try later", "451_at_rcpt", REFUSED, "452_after_dot"]
)
async def test_what_surely_was_not_taken_goes_to_the_next_provider_under_the_same_claim(
    fault: str, desk: Desk
) -> None:
    run = await enter(desk)
    desk.fail(fault)
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)
    [row] = await desk.messages.ledger("state, attempt, provider, provider_id")
    assert row == ("accepted", 1, "resend", desk.resend.accepted[0].id)


async def test_where_nobody_listens_the_next_provider_takes_it(desk: Desk) -> None:
    await desk.messages.providers.smtp.__aexit__(None, None, None)
    run = await enter(desk)
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)
    await desk.messages.providers.smtp.__aenter__()


@pytest.mark.parametrize(
    ("fault", "state"), [("550_at_rcpt", "failed"), ("554_after_dot", "failed"), ("cut_after_dot", "unknown")]
)
async def test_what_may_have_been_taken_or_nobody_could_deliver_goes_nowhere_else(
    fault: str, state: str, desk: Desk
) -> None:
    run = await enter(desk)
    desk.fail(fault)
    await desk.messages.carry_through(run, "email")
    assert await desk.messages.ledger("state, provider") == [(state, "smtp")]
    assert desk.resend.requests == []


async def test_a_refusal_in_an_encoding_of_the_mail_servers_own_is_on_record(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: OutgoingMessage) -> Receipt:
        # As aiosmtplib reads a reply in Latin-1, and as JSON may spell a NUL.
        raise refused(
            Stage.RCPT,
            550,
            b"5.1.1 bo\xeete\x00 inconnue".decode("utf-8", "surrogateescape"),
            provider="smtp",
        )

    monkeypatch.setattr(desk.smtp, "send", refuse)
    run = await enter(desk)
    await desk.messages.carry_through(run, "email")
    [(state, told)] = await desk.messages.ledger("state, error")
    assert state == "failed"
    assert "bo\ufffdte\ufffd inconnue" in told


async def test_a_provider_that_refuses_us_is_parked_with_one_alert_and_left_alone(desk: Desk) -> None:
    run = await enter(desk, "one", "two", "three")
    desk.fail(REFUSED)
    for step in ("one", "two", "three"):
        assert (await desk.messages.carry_out(run, step)).outcome == "sent"
    assert desk.taken() == (0, 3)
    assert await desk.states() == [("smtp", "parked", "530", 1)]
    assert await desk.alerts() == [("provider:email/smtp", False)]


async def test_while_every_provider_refuses_us_a_message_waits_unclaimed_and_its_run_says_why(
    desk: Desk,
) -> None:
    desk.use("smtp")
    run = await enter(desk)
    desk.fail(REFUSED, *["ok"] * 5)
    assert await desk.try_once(run) == ("AccountError", timedelta(seconds=2))
    for _ in range(3):
        assert await desk.try_once(run) == ("ProvidersAway", timedelta(seconds=30))
    assert await desk.messages.ledger("state, attempt") == [("retrying", 1)]
    [(_, outcome, detail)] = await desk.messages.steps.record(run)
    assert outcome == "holding"
    assert "smtp refuses us (530)" in detail
    # Other settings, another try: nothing was lost.
    desk.use("smtp", settings="new password")
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (1, 0)
    assert (await desk.states(), await desk.alerts()) == ([], [("provider:email/smtp", True)])


async def test_what_was_never_claimed_waits_without_a_row_and_fails_after_six_hours(desk: Desk) -> None:
    desk.use("smtp")
    run = await enter(desk, "one", "two")
    desk.fail(REFUSED)
    await desk.try_once(run, "one")
    assert (await desk.try_once(run, "two"))[0] == "ProvidersAway"
    assert await desk.messages.ledger("step, attempt") == [("one", 1)]
    async with desk.messages.steps.database.transaction() as connection:
        # Its trials are somebody else's.
        await connection.execute(text("UPDATE providers SET until = until + interval '1 day'"))
    # Temporal repeats the same request, whose own moment stands still.
    call = desk.messages.steps.call(run, "two")
    environment = ActivityEnvironment()
    begun = environment.info.scheduled_time
    environment.info = replace(
        environment.info, current_attempt_scheduled_time=begun + timedelta(hours=6, seconds=1)
    )
    delivery = MessageDelivery(desk.messages.steps.opening, desk.messages.channels)
    result = await environment.run(delivery.send, call)
    assert (result.outcome, result.detail) == ("failed", "no_provider")
    assert desk.taken() == (0, 0)


async def test_somebody_says_that_the_account_is_in_order(desk: Desk) -> None:
    desk.use("smtp")
    run = await enter(desk)
    desk.fail(REFUSED)
    await desk.try_once(run)
    async with desk.messages.steps.database.transaction() as connection:
        [freed] = await unpark_providers(connection, "smtp", None, desk.messages.now)
    assert (freed.channel, freed.state, freed.code) == ("email", "parked", "530")
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"


async def test_a_parked_provider_is_tried_again_by_one_message_every_ten_minutes(desk: Desk) -> None:
    run = await enter(desk, *"abcde")
    desk.fail(REFUSED)
    for step in "ab":
        await desk.messages.carry_out(run, step)
    connections = desk.messages.providers.smtp.connections
    desk.pass_time(10 * MINUTE)
    desk.fail(REFUSED)
    for step in "cd":
        await desk.messages.carry_out(run, step)
    # One of them was the trial, met the same refusal, and went the other way like its fellows.
    assert desk.messages.providers.smtp.connections - connections <= 1
    assert (desk.taken(), len(desk.messages.providers.smtp.programme.script)) == ((0, 4), 0)
    assert await desk.alerts() == [("provider:email/smtp", False)]
    desk.pass_time(10 * MINUTE)
    await desk.messages.carry_out(run, "e")
    assert desk.taken() == (1, 4)
    assert (await desk.states(), await desk.alerts()) == ([], [("provider:email/smtp", True)])


async def test_what_other_settings_were_refused_with_binds_nobody(desk: Desk) -> None:
    """Two versions side by side during a roll-out: the old key is parked, the new one isn't."""
    run = await enter(desk, "one", "two", "three")
    desk.use("smtp", "resend", settings="old")
    delivery = MessageDelivery(desk.messages.steps.opening, dict(desk.messages.channels))
    desk.fail(REFUSED, "ok")
    await delivery.send(desk.messages.steps.call(run, "one"))
    desk.use("smtp", "resend", settings="new")
    assert (await desk.messages.carry_out(run, "two")).outcome == "sent"
    assert desk.taken() == (1, 1)


async def test_five_failures_in_a_row_and_a_provider_rests_twice_as_long_after_each_further_one(
    desk: Desk,
) -> None:
    desk.use("smtp")
    names = [f"m{number}" for number in range(FAILURES_TO_REST + 3)]
    run = await enter(desk, *names)
    rests = []
    desk.fail(*["mail:451 4.3.0 try later"] * len(names))
    for number, step in enumerate(names):
        kind, _ = await desk.try_once(run, step)
        assert kind == "TransientError", f"message {number} was asked for while the provider rested"
        [row] = await desk.messages.rows(
            "SELECT state, until FROM providers WHERE provider = 'smtp' AND channel = 'email'"
        )
        if row["state"] == "resting":
            rests.append((row["until"] - desk.messages.now).total_seconds())
            waiting = (await desk.try_once(run, names[-1]))[0]
            assert waiting == "ProvidersAway"
            desk.pass_time(row["until"] - desk.messages.now)
    assert rests == [30.0, 60.0, 120.0, 240.0]
    assert (await desk.messages.carry_out(run, names[0])).outcome == "sent"
    assert await desk.states() == []


async def test_a_success_in_between_begins_the_count_anew(desk: Desk) -> None:
    desk.use("smtp")
    run = await enter(desk, "bad", "good")
    desk.fail(*["mail:451 4.3.0 try later"] * 4, "ok")
    for _ in range(4):
        await desk.try_once(run, "bad")
    assert await desk.states() == [("smtp", "ok", "451", 4)]
    await desk.messages.carry_out(run, "good")
    assert await desk.states() == []


async def test_one_recipients_greylisting_says_nothing_about_the_server(desk: Desk) -> None:
    desk.use("smtp")
    run = await enter(desk)
    desk.fail(*["451_at_rcpt"] * 8)
    for _ in range(8):
        await desk.try_once(run)
    assert await desk.states() == []


async def test_a_provider_that_asks_for_time_is_left_alone_and_other_channels_go_on(desk: Desk) -> None:
    desk.use("resend")
    run = await desk.messages.enter(mail("one"), mail("two"), act("sms", "text", template="nudge"))
    desk.resend.programme.script.append("429")
    assert await desk.try_once(run, "one") == ("TransientError", timedelta(seconds=7))
    assert await desk.try_once(run, "two") == ("ProvidersAway", timedelta(seconds=7))
    assert (await desk.messages.carry_out(run, "text")).outcome == "sent"
    assert len(desk.resend.requests) == 1
    desk.pass_time(timedelta(seconds=7))
    assert (await desk.messages.carry_out(run, "one")).outcome == "sent"
    assert await desk.messages.ledger("step, state") == [("one", "accepted"), ("text", "accepted")]


async def test_a_country_that_is_not_enabled_parks_nobody(desk: Desk) -> None:
    run = await desk.messages.enter(act("sms", "one", template="nudge"), act("sms", "two", template="nudge"))
    desk.messages.providers.twilio.programme.script.append("400/21408")
    assert (await desk.try_once(run, "one"))[0] == "AccountError"
    assert (await desk.messages.carry_out(run, "two")).outcome == "sent"
    assert await desk.alerts() == []


async def test_what_resend_may_have_taken_is_sent_again_there_alone_and_arrives_once(desk: Desk) -> None:
    desk.use("resend", "smtp")
    run = await enter(desk)
    desk.resend.programme.script.append("cut_after")
    assert await desk.try_once(run) == ("UnknownOutcome", timedelta(seconds=2))
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)
    assert len(desk.resend.requests) == 2
    [row] = await desk.messages.ledger("state, attempt, provider, provider_id")
    assert row == ("accepted", 2, "resend", desk.resend.accepted[0].id)


async def test_after_a_refusal_elsewhere_the_repetition_goes_to_whom_the_ledger_names(desk: Desk) -> None:
    run = await enter(desk)
    desk.fail("421_at_connect", "ok", "ok")
    desk.resend.programme.script.append("cut_before")
    assert (await desk.try_once(run))[0] == "UnknownOutcome"
    assert await desk.messages.ledger("state, provider") == [("unknown", "resend")]
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)


@pytest.mark.parametrize("comes_to_nothing", ["its commit isn't answered", "it comes too late"])
async def test_a_repetition_that_never_left_leaves_the_message_unknown_and_nobody_else_is_asked(
    desk: Desk, comes_to_nothing: str
) -> None:
    desk.use("resend", "smtp")
    run = await enter(desk)
    desk.resend.programme.script.extend(["cut_before", "429"])
    assert (await desk.try_once(run))[0] == "UnknownOutcome"
    steps = desk.messages.steps
    if comes_to_nothing == "it comes too late":
        slow = MessageDelivery(steps.opening, desk.messages.channels, settle_seconds=-1)
        with pytest.raises(ApplicationError, match="too late"):
            await slow.send(steps.call(run, "email"))
    else:
        with Trouble(0, "unanswered").over(steps.database), pytest.raises(OperationalError):
            await desk.messages.carry_out(run, "email")
    assert await desk.messages.ledger("state, attempt") == [("unknown", 2)]
    # Resend is busy: whoever is next in line mustn't have what Resend may have taken.
    assert (await desk.try_once(run))[0] == "UnknownOutcome"
    desk.pass_time(MINUTE)
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)


async def test_the_claim_of_a_sender_that_died_is_settled_with_whom_it_was_made(desk: Desk) -> None:
    desk.use("resend", "smtp")
    run = await enter(desk)
    desk.resend.programme.script.append("cut_after")
    await desk.try_once(run)
    await _pretend_killed(desk)
    assert (await desk.try_once(run))[0] == "InFlight"
    desk.pass_time(MINUTE)
    assert (await desk.try_once(run))[0] == "Repeated"
    assert (await desk.messages.carry_out(run, "email")).outcome == "sent"
    assert desk.taken() == (0, 1)


async def test_a_dead_senders_claim_at_smtp_stays_unknown_and_nobody_else_is_asked(desk: Desk) -> None:
    run = await enter(desk)
    desk.fail("cut_after_dot")
    await desk.try_once(run)
    await _pretend_killed(desk)
    desk.pass_time(MINUTE)
    assert (await desk.messages.carry_out(run, "email")).outcome == "unknown"
    assert (desk.taken(), desk.resend.requests) == ((1, 0), [])


async def _pretend_killed(desk: Desk) -> None:
    """As if the worker had been killed after its request: the claim stands, without a word of how it went."""
    async with desk.messages.steps.database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE deliveries SET state = 'claimed', settled_at = NULL, error = NULL, error_code = NULL"
            )
        )


async def test_who_opts_out_in_between_is_not_sent_the_repetition(desk: Desk) -> None:
    desk.use("resend")
    run = await enter(desk)
    desk.resend.programme.script.append("cut_before")
    await desk.try_once(run)
    await desk.messages.consent("email", granted=False)
    assert (await desk.messages.carry_out(run, "email")).outcome == "no_consent"
    assert (len(desk.resend.requests), desk.taken()) == (1, (0, 0))
    # Whether the first request arrived isn't known, and the ledger says so.
    assert await desk.messages.ledger("state") == [("unknown",)]


class _Slow:
    """A provider that takes its time to say no; meanwhile somebody else settles the claim."""

    name, provider = "email", "slow"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send(self, message: OutgoingMessage) -> Receipt:
        async with self._desk.messages.steps.database.transaction() as connection:
            await connection.execute(text("UPDATE deliveries SET state = 'unknown'"))
        raise TransientError("later", provider=self.provider)

    async def look_up(self, message: OutgoingMessage, since: object) -> None:
        return None

    async def close(self) -> None:
        return None


async def test_a_claim_that_no_longer_stands_is_handed_to_nobody(desk: Desk) -> None:
    run = await enter(desk)
    pool = ProviderPool("email", [Provider(_Slow(desk)), Provider(desk.backup)])
    desk.messages.channels["email"] = pool
    assert (await desk.try_once(run))[0] == "InFlight"
    assert desk.resend.requests == []


async def test_a_pool_alone_moves_on_in_the_same_way(desk: Desk) -> None:
    pool = desk.messages.channels["email"]
    message = OutgoingMessage("d-1", "grace@example.com", "x", "s")
    desk.fail("421_at_connect", "cut_after_dot")
    assert (await pool.send(message)).provider == "resend"
    with contextlib.suppress(Exception):
        await pool.send(message)
    assert desk.taken() == (1, 1)


async def test_twilios_refusal_parks_sms_alone_and_nothing_is_lost(desk: Desk) -> None:
    run = await desk.messages.enter(
        act("sms", "text", template="nudge"), act("whatsapp", "chat", template="nudge")
    )
    desk.messages.providers.twilio.programme.script.append("401")
    assert (await desk.try_once(run, "text"))[0] == "AccountError"
    assert (await desk.try_once(run, "text"))[0] == "ProvidersAway"
    assert await desk.alerts() == [("provider:sms/twilio", False)]
    assert (await desk.messages.carry_out(run, "chat")).outcome == "sent"
    async with desk.messages.steps.database.transaction() as connection:
        await unpark_providers(connection, "twilio", "sms", desk.messages.now)
    assert (await desk.messages.carry_out(run, "text")).outcome == "sent"
    assert desk.messages.providers.sent() == {"whatsapp": 1, "sms": 1}
