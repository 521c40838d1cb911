"""Providers as people see them: over HTTP, on the command line, and in what the doctor says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from cli.provider_findings import examine_providers
from cli.providers import command
from schemas.settings import Settings
from store.database import Database
from store.providers import adopt_providers, count_failure, load_providers, park_provider
from tests.integration.web_edge import run_web

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
REASON = "SendGrid said 401: The provided authorization grant is invalid."
USED = [("email", "sendgrid", "s1"), ("email", "smtp", "m1"), ("sms", "twilio", "t1")]
COMPLETE = {
    "SMTP_URL": "smtp://127.0.0.1:2525", "HOLDFAST_MAIL_FROM": "Ada <ada@holdfast.example>",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "secret", "TWILIO_FROM": "+15005550006",
    "SENDGRID_API_KEY": "SG.x", "TEMPORAL_ADDRESS": "127.0.0.1:9",
}  # fmt: skip


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """SendGrid is parked, SMTP was asked to be left alone, Twilio is well."""
    database = Database(database_url, connections=2)
    async with database.transaction() as connection:
        await adopt_providers(connection, USED, NOW)
        await park_provider(
            connection, "email", "sendgrid", code="401", reason=REASON, settings="s1", now=NOW
        )
        await count_failure(
            connection, "email", "smtp", code="421", reason="busy", now=NOW, leave_for_seconds=90
        )
    yield database
    await database.close()


async def test_the_api_lists_them(database: Database) -> None:
    async with run_web(database.url) as web:
        answer = (await web.client.get("/api/providers")).json()
    assert answer["success"]
    shown = {row["provider"]: row for row in answer["providers"]}
    assert {name: row["state"] for name, row in shown.items()} == {
        "sendgrid": "parked", "smtp": "resting", "twilio": "ok",
    }  # fmt: skip
    assert shown["sendgrid"] == {
        "channel": "email", "provider": "sendgrid", "state": "parked", "code": "401", "reason": REASON, "failures": 1,
        "since": "2026-03-02T09:00:00Z", "until": "2026-03-02T09:10:00Z",
    }  # fmt: skip
    assert shown["smtp"]["until"] == "2026-03-02T09:01:30Z"


async def test_starting_with_the_same_settings_leaves_it_parked_and_with_others_frees_it(
    database: Database,
) -> None:
    for settings, state, alerts in (("s1", "parked", 1), ("s2", "ok", 0)):
        async with database.transaction() as connection:
            await adopt_providers(connection, [("email", "sendgrid", settings)], NOW)
            found = {one.provider: one.state for one in await load_providers(connection)}
            open_alerts = await connection.exec_driver_sql("SELECT 1 FROM alerts WHERE resolved_at IS NULL")
        assert (found["sendgrid"], len(open_alerts.all())) == (state, alerts)


def _run(database: Database, *arguments: str) -> tuple[int, str]:
    environ = {"HOLDFAST_DATABASE_URL": database.url, "TEMPORAL_ADDRESS": "127.0.0.1:9"}
    result = CliRunner().invoke(command, list(arguments), env=environ)
    return result.exit_code, result.output


def test_the_command_lists_them_and_lets_one_go_on(database: Database) -> None:
    status, output = _run(database, "list", "--format", "json")
    rows = [json.loads(line) for line in output.splitlines()]
    assert (status, [row["state"] for row in rows]) == (0, ["parked", "resting", "ok"])
    assert "settings" not in rows[0]
    assert "parked since 2026-03-02 09:00 UTC, 401" in _run(database, "list")[1]
    assert _run(database, "unpark", "sendgrid", "--channel", "sms")[0] == 1
    assert _run(database, "unpark", "sendgrid")[0] == 0
    assert _run(database, "unpark", "sendgrid")[0] == 1
    assert "ok" in _run(database, "list")[1].splitlines()[0]


def test_the_doctor_names_the_order_and_who_is_parked(database: Database) -> None:
    environ = {**COMPLETE, "HOLDFAST_DATABASE_URL": database.url}
    good, parked, resting = examine_providers(Settings.read(environ))
    assert (good.ok, good.found) == (True, "email by smtp, then sendgrid; sms by twilio")
    assert (parked.ok, parked.remedy.endswith("`holdfast providers unpark sendgrid`.")) == (False, True)
    assert "sendgrid (email) parked" in parked.found
    assert "smtp (email) rests until 2026-03-02 09:01:30 UTC" in resting.found


def test_the_doctor_says_nothing_of_them_where_the_database_is_away() -> None:
    environ = {**COMPLETE, "HOLDFAST_DATABASE_URL": "postgresql://me@127.0.0.1:9/x"}
    [good] = examine_providers(Settings.read(environ))
    assert good.ok
