"""A backtest of a period and a live run of the same period agree, and what a backtest tells beside."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli.main import run
from loops import player
from loops.backtest.playing import backtest
from loops.backtest.result import BacktestResult
from loops.simulation.stage import set_stage
from schemas.catalogue import load_catalogue
from schemas.incoming import IncomingEvent
from scoring.moving import make_mover
from store.database import Database, PlayedClock
from store.intake import take_in
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

DAYS = 14
# Each of them takes seconds to be lived through.
LIVED_DAYS = 10
SHIPPED = Path("playbooks")


async def play_live(database_url: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Play the playbook in `directory` over a few dozen suppliers, live; returns when that began."""
    begun: list[datetime] = []

    class Noting(player.Player):
        async def play(self, start: datetime, days: int) -> None:
            begun.append(start)
            await super().play(start, days)

    monkeypatch.setattr(player, "Player", Noting)
    async with SmtpStandIn() as smtp, TwilioStandIn() as twilio:
        environ = {
            "HOLDFAST_DATABASE_URL": database_url,
            "HOLDFAST_PLAYBOOKS": str(directory),
            "SMTP_URL": smtp.url,
            "HOLDFAST_MAIL_FROM": "Holdfast <care@holdfast.example>",
            "TWILIO_ACCOUNT_SID": twilio.account,
            "TWILIO_AUTH_TOKEN": twilio.token,
            "TWILIO_FROM": "+15005550006",
            "TWILIO_BASE_URL": twilio.url,
        }
        await player.play(environ, lambda line: None, days=LIVED_DAYS, customers=30)
    return begun[0]


async def play_back(
    database_url: str, file: Path, start: datetime, days: int = DAYS, **options: Any
) -> BacktestResult:
    """The backtest of the days from `start` on, a day after they are over."""
    stage = set_stage(file, load_catalogue())
    database = Database(database_url, connections=2, clock=PlayedClock(start + timedelta(days=days + 1)))
    try:
        return await backtest(
            database, stage.playbook, start, start + timedelta(days=days), policy=stage.policy,
            step_types=stage.step_types, playbooks=stage.others, **options,
        )  # fmt: skip
    finally:
        await database.close()


async def rows(database_url: str, sql: str) -> Sequence[Any]:
    database = Database(database_url, connections=1)
    async with database.transaction() as connection:
        found = (await connection.execute(text(sql))).all()
    await database.close()
    return found


def directory_of(playbook: str, tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A directory with one of the shipped playbooks, its policy and templates; returns the playbook's file."""
    shutil.copytree(SHIPPED / "templates", tmp_path / "templates")
    shutil.copy(SHIPPED / "policy.yaml", tmp_path)
    source = (SHIPPED / f"{playbook}.yaml").read_text()
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    file = tmp_path / f"{playbook}.yaml"
    file.write_text(source)
    return file


async def assert_agrees(database_url: str, found: BacktestResult) -> None:
    """The same entrants at the same moments, the same messages and the same work as the database has of the period."""
    entered = await rows(
        database_url,
        "SELECT c.external_id, r.entered_at, r.arm, CASE WHEN r.ended_at IS NULL THEN 'open' ELSE r.outcome END "
        "FROM runs r JOIN customers c ON c.id = r.customer_id",
    )
    assert sorted((one.customer, one.at, one.arm, one.outcome) for one in found.entrants) == sorted(
        (customer, at.astimezone(UTC), arm, outcome) for customer, at, arm, outcome in entered
    )
    messages = await rows(
        database_url,
        "SELECT c.external_id, d.step, d.channel, coalesce(d.claimed_at, d.settled_at), "
        "CASE d.state WHEN 'accepted' THEN 'sent' ELSE d.error_code END "
        "FROM deliveries d JOIN customers c ON c.id = d.customer_id",
    )
    assert sorted(
        (one.customer, one.step, one.channel, one.at.astimezone(UTC).date(), one.outcome)
        for one in found.messages
    ) == sorted(
        (customer, step, channel, at.astimezone(UTC).date(), outcome)
        for customer, step, channel, at, outcome in messages
    )
    work = await rows(
        database_url,
        "SELECT c.external_id, t.step, t.kind, t.created_at, t.assignee "
        "FROM tasks t JOIN customers c ON c.id = t.customer_id",
    )
    assert sorted(
        (one.customer, one.step, one.kind, one.at.astimezone(UTC).date(), one.assignee) for one in found.work
    ) == sorted(
        (customer, step, kind, at.astimezone(UTC).date(), assignee)
        for customer, step, kind, at, assignee in work
    )


CROSSING = """
playbook: crossing
title: History, counts, marks and waits
owner: cs-ops
status: live
enter:
  when:
    any:
      - health_score: {crosses_below: 60, for: 1d}
      - health_score: {drops_by: 4, within: 7d}
      - event: {name: ticket_opened, within: 2d}
  again: after 2d
  at_most: 3 per day
  holdout: 25%
goal:
  name: busy
  event: {name: form_created}
  within: 4d
exit:
  - when: {days_since_last_login: "> 20"}
    outcome: lost
steps:
  - set: {tag: watched}
  - reward: {feature: premium, for: 1d}
  - wait_for: {event: {name: login}, for: 2d}
    then:
      - in_app: {title: Hello, text: "Welcome back, {{ customer.first_name }}"}
    else:
      - email: {subject: We miss you, text: "Come back"}
  - task: {title: Look at them, assign: csm, due: 8h, give_up: 1d, escalate: {after: 1h, to: cs-lead}}
  - set: {untag: watched}
  - sms: {text: "Hello"}
    topic: tips
"""


async def test_a_backtest_of_a_period_agrees_with_the_live_run_of_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A narrow limit, so that the order in which customers come matters.
    file = directory_of("rescue-declining-supplier", tmp_path, ("at_most: 40 per day", "at_most: 2 per day"))
    start = await play_live(database_url, tmp_path, monkeypatch)
    found = await play_back(database_url, file, start, LIVED_DAYS)
    assert len(found.entrants) >= 5
    assert len(found.work) >= 3
    assert {one.channel for one in found.sent} >= {"email", "in_app"}
    assert found.kept_out["waiting"] > 0
    assert "success" in {one.outcome for one in found.entrants}
    await assert_agrees(database_url, found)
    assert found.recorded_runs == len(found.entrants)
    assert any("really ran in this period" in limit for limit in found.limits)


async def test_they_agree_on_history_counts_marks_and_entering_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = directory_of("rescue-declining-supplier", tmp_path)
    file.unlink()
    file = tmp_path / "crossing.yaml"
    file.write_text(CROSSING)
    start = await play_live(database_url, tmp_path, monkeypatch)
    found = await play_back(database_url, file, start, LIVED_DAYS)
    assert {one.arm for one in found.entrants} == {"treated", "held_out"}
    assert len({one.customer for one in found.entrants}) < len(found.entrants)
    assert len({one.outcome for one in found.entrants}) >= 2
    assert found.escalated > 0
    assert {one.outcome for one in found.messages} >= {"sent", "no_consent"}
    await assert_agrees(database_url, found)


# A small past of our own making

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ASKING = """
playbook: asking
title: Somebody asks for help
owner: cs-ops
status: draft
enter:
  when:
    event: {name: help_wanted, within: 1d}
    subscription_status: active
  at_most: 2 per day
  group: care
  again: after 30d
steps:
  - email: {subject: Help, text: "Hello {{ customer.first_name }}"}
  - wait: 2d
  - call: {title: Call them, assign: csm, give_up: 1d}
"""


class Past:
    """Customers with a plain past, in the database."""

    def __init__(self, database_url: str, tmp_path: Path) -> None:
        self.url = database_url
        self.file = tmp_path / "asking.yaml"
        self.file.write_text(ASKING)
        (tmp_path / "policy.yaml").write_text("consent: {email: assumed}\ncaps: {email: 1 per 7d}\n")
        self.database = Database(database_url, connections=1)
        self._made = 0

    async def tell(
        self, customer: str, name: str, at: datetime, *, known_at: datetime | None = None, **traits: str
    ) -> None:
        self._made += 1
        event = IncomingEvent(
            "test", str(self._made), customer, name, at, known_at or at, at.date(), {}, traits
        )
        await take_in(self.database, [event], move=make_mover(load_catalogue()))

    async def join(self, *customers: str) -> None:
        for customer in customers:
            await self.tell(
                customer, "identify", NOON - timedelta(days=60), first_name=customer.title(),
                email=f"{customer}@example.com", subscription_status="active", csm="kim@example.com",
            )  # fmt: skip

    async def run_on_record(self, customer: str, playbook: str, at: datetime, ended_at: datetime) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(
                text(
                    "INSERT INTO runs (id, playbook, version, customer_id, run_group, arm, state, entered_at, "
                    "workflow_id, outcome, ended_at) SELECT gen_random_uuid(), :playbook, 'v', id, 'care', 'treated', "
                    "'ended', :at, 'w', 'completed', :ended FROM customers WHERE external_id = :customer"
                ),
                {"playbook": playbook, "at": at, "ended": ended_at, "customer": customer},
            )

    async def database_is_untouched(self) -> bool:
        counted = await rows(
            self.url, "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM signal_history)"
        )
        return bool(counted[0][0] == 0)

    async def play_back(self, **options: Any) -> BacktestResult:
        return await play_back(self.url, self.file, NOON, **options)


@pytest.fixture
async def past(database_url: str, tmp_path: Path) -> AsyncIterator[Past]:
    past = Past(database_url, tmp_path)
    yield past
    await past.database.close()


def entered(found: BacktestResult) -> list[tuple[str, timedelta]]:
    return [(one.customer, one.at - NOON) for one in found.entrants]


async def test_what_was_told_late_counts_from_when_it_was_told(past: Past) -> None:
    await past.join("ada", "bea")
    await past.tell("ada", "help_wanted", NOON + timedelta(hours=1), known_at=NOON + timedelta(hours=5))
    # Told only when nobody would have asked any more.
    await past.tell("bea", "help_wanted", NOON + timedelta(hours=1), known_at=NOON + timedelta(days=3))
    found = await past.play_back()
    assert entered(found) == [("ada", timedelta(hours=5))]
    assert [(one.customer, one.outcome, one.at - NOON) for one in found.messages] == [
        ("ada", "sent", timedelta(hours=5))
    ]
    happened = await past.play_back(as_happened=True)
    assert entered(happened) == [("ada", timedelta(hours=1)), ("bea", timedelta(hours=1))]
    assert any("when they happened" in limit for limit in happened.limits)


async def test_a_correction_counts_from_when_it_came(past: Past) -> None:
    await past.join("ada", "bea")
    for customer, day in (("ada", 1), ("bea", 5)):
        await past.tell(customer, "help_wanted", NOON + timedelta(days=day))
        # That the subscription was over by noon is said two days later.
        await past.tell(
            customer, "identify", NOON, known_at=NOON + timedelta(days=2), subscription_status="cancelled"
        )
    assert entered(await past.play_back()) == [("ada", timedelta(days=1))]


async def test_the_limit_lets_in_those_who_came_first_and_the_next_day_those_who_waited(past: Past) -> None:
    names = ["ada", "bea", "cleo", "dora", "eve"]
    await past.join(*names)
    for number, name in enumerate(reversed(names)):
        await past.tell(name, "help_wanted", NOON + timedelta(hours=number))
    found = await past.play_back()
    midnight = timedelta(hours=12)
    assert entered(found) == [
        ("eve", timedelta(0)), ("dora", timedelta(hours=1)), ("bea", midnight), ("cleo", midnight),
    ]  # fmt: skip
    assert found.kept_out == {"waiting": 3}
    # By the midnight after, ada's call for help is more than a day old.
    assert found.by_day(one.at for one in found.entrants) == {"2026-03-02": 2, "2026-03-03": 2}


async def test_runs_on_record_of_others_stand_and_its_own_are_played_anew(past: Past) -> None:
    await past.join("ada", "bea", "cleo")
    for name in ("ada", "bea", "cleo"):
        await past.tell(name, "help_wanted", NOON + timedelta(hours=1))
    hour = timedelta(hours=1)
    # Another playbook of the group has ada until the next day; bea's and cleo's are of this one, cleo's from before.
    await past.run_on_record("ada", "caring", NOON, NOON + 20 * hour)
    await past.run_on_record("bea", "asking", NOON + hour, NOON + 2 * hour)
    await past.run_on_record("cleo", "asking", NOON - 48 * hour, NOON - 40 * hour)
    found = await past.play_back()
    assert entered(found) == [("bea", hour)]
    assert found.kept_out == {"group": 1, "again_rule": 1}
    assert found.recorded_runs == 1
    assert any("1 runs of other playbooks" in limit for limit in found.limits)


async def test_work_that_nobody_does_is_load_and_a_sample_says_so(past: Past) -> None:
    await past.join("ada", "bea", "cleo", "dora")
    for name in ("ada", "bea", "cleo", "dora"):
        await past.tell(name, "help_wanted", NOON)
        await past.tell(name, "subscription_cancelled", NOON + timedelta(days=10))
    found = await past.play_back(customers=2, horizon=timedelta(days=11))
    assert (found.customers, found.of) == (2, 4)
    assert any(
        "2 of 4 customers were played" in limit and "cut to the same share" in limit for limit in found.limits
    )
    assert [one.at - NOON for one in found.entrants] == [timedelta(0), timedelta(hours=12)]
    assert [(one.assignee, one.kind) for one in found.work] == [("kim@example.com", "call")] * 2
    assert (found.detection.flags, found.detection.recall.hits, found.detection.cancellations) == (2, 2, 2)
    assert found.detection.lead_days == {"quartile_1": 10, "median": 10, "quartile_3": 10}


async def test_the_command_prints_numbers_words_and_a_picture(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await past.join("ada", "bea")
    await past.tell("ada", "help_wanted", NOON)
    await past.tell("bea", "subscription_cancelled", NOON + timedelta(days=3))
    picture = tmp_path / "asking.svg"
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", past.url)
    arguments = ["backtest", str(past.file), "--from", "2026-03-02", "--to", "2026-03-10"]

    async def order(*more: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(run, [*arguments, *more])
        return status, *capsys.readouterr()

    status, out, err = await order("--format", "json", "--picture", str(picture))
    assert status == 0, err
    told = json.loads(out)
    assert told["entrants"]["by_day"] == {"2026-03-02": 1}
    assert told["messages"]["by_day"] == {"2026-03-02": {"email": 1}}
    assert told["load"]["by_day"] == {"2026-03-04": {"kim@example.com": 1}}
    assert told["detection"]["never_flagged"] == ["bea"]
    assert told["from"] == "2026-03-02T00:00:00Z"
    assert told["to"] == "2026-03-11T00:00:00Z"
    assert told["limits"]
    drawn = picture.read_text()
    assert "asking: 1 entrants, 1 messages, 1 calls and tasks" in drawn
    assert "base rate" in drawn
    status, out, _ = await order()
    assert status == 0
    assert "1 by 1 customers: 1 treated, 0 held out" in out
    assert "What this can't tell:" in out
    assert (await order("--picture", str(tmp_path / "picture.txt")))[0] == 1
    assert await past.database_is_untouched()
