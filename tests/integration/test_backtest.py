"""A backtest of a period and a live run of the same period agree, and what a backtest tells beside."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from loops import player
from loops.backtest.playing import backtest
from loops.backtest.result import BacktestResult
from loops.simulation.stage import set_stage
from schemas.catalogue import load_catalogue
from store.database import Database, PlayedClock
from tests.standins.smtp import SmtpStandIn
from tests.standins.twilio import TwilioStandIn

DAYS = 14
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
        await player.play(environ, lambda line: None, days=DAYS, customers=45)
    return begun[0]


async def play_back(
    database_url: str, file: Path, start: datetime, days: int = DAYS, **options: Any
) -> BacktestResult:
    """The backtest of the days from `start` on, a day after they are over."""
    stage = set_stage(file, load_catalogue())
    database = Database(database_url, connections=2, clock=PlayedClock(start + timedelta(days=DAYS + 1)))
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


async def test_a_backtest_of_a_period_agrees_with_the_live_run_of_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Narrow limits, so that the order in which customers come matters; the goal closes after the period.
    file = directory_of("rescue-declining-supplier", tmp_path, ("at_most: 40 per day", "at_most: 2 per day"))
    start = await play_live(database_url, tmp_path, monkeypatch)
    found = await play_back(database_url, file, start)
    assert len(found.entrants) >= 8
    assert len(found.work) >= 5
    assert {one.channel for one in found.sent} >= {"email", "in_app"}
    assert found.kept_out["waiting"] > 0
    assert "success" in {one.outcome for one in found.entrants}
    await assert_agrees(database_url, found)
    assert found.recorded_runs == len(found.entrants)
    assert any("really ran in this period" in limit for limit in found.limits)
    # What a day kept live is what the backtest worked out for the next one: the second week from its own midnight on
    # knows the runs of the first as neighbours.
    later = (start + timedelta(days=7)).replace(hour=0, minute=0, second=0, microsecond=0)
    second = await play_back(database_url, file, later, days=6)
    mine = {(one.customer, one.at) for one in found.entrants if later < one.at < later + timedelta(days=6)}
    assert mine <= {(one.customer, one.at) for one in second.entrants}
