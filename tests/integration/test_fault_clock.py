"""Hosts whose clocks jump: the database's clock decides, and Temporal's timers are Temporal's."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from store.database import Database, LiveClock
from store.shared_time import SharedTime
from tests.integration.web_edge import run_web

# Where the host's clock is read, and why a jump of it harms nobody.
HOST_CLOCK = {
    "channels/http_client.py": "how long a provider asks to wait, where it names an instant: bounded by an hour",
    "channels/ses.py": "the date in a mail's header and in its signature",
    "channels/smtp.py": "the date in a mail's header",
    "channels/webhook.py": "the time that a signature covers; receivers allow for five minutes",
    "loops/mail_api_sink.py": "sinks",
    "loops/mail_sink.py": "sinks",
    "loops/provider_reports.py": "sinks",
    "loops/push_sink.py": "sinks",
    "loops/sms_sink.py": "sinks",
    "schemas/compiled_cache.py": "which compiled files are old enough to be forgotten",
    "store/migrating.py": "which partitions are made ahead",
    "store/shared_time.py": "until the database has answered once",
    "web/backtests.py": "when a backtest began and ended, for readers",
    "web/oidc.py": "how long a browser may take to sign in; whoever is refused begins anew",
    "web/formats.py": "how long ago something was, for readers",
    "web/rendering.py": "how long ago something was, for readers",
    "web/user_tokens.py": "how far ahead a token's end may be, which its issuer's clock set",
}
ROOMS = ("activities", "channels", "loops", "rules", "schemas", "scoring", "store", "web", "workflows")


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
async def test_events_are_received_at_the_databases_time_whatever_the_hosts_clock_says(
    ahead: timedelta, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the host is an hour ahead of the database is the same as that the database is an hour behind."""
    read = LiveClock.read

    async def read_away(self: LiveClock, connection: AsyncConnection) -> datetime:
        return await read(self, connection) - ahead

    monkeypatch.setattr(LiveClock, "read", read_away)
    async with run_web(database_url) as web:
        host = datetime.now(UTC)
        call = {"userId": "ada", "event": "login", "messageId": "m1"}
        sent = {"sentAt": (host - ahead).isoformat(), "timestamp": (host - ahead).isoformat()}
        answers = [await web.client.post("/v1/track", json=call | {"messageId": "m2"} | sent)]
        # The same message again, as its sender's clock is right: whatever ours says, it is the same.
        answers += [await web.client.post("/v1/track", json=call) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        rows = await web.rows(
            "SELECT message_id, at, received_at, properties FROM events ORDER BY message_id"
        )
    assert [row["message_id"] for row in rows] == ["m1", "m2"]
    for row in rows:
        assert abs(row["received_at"] - (host - ahead)) < timedelta(minutes=2)
        assert abs(row["at"] - (host - ahead)) < timedelta(minutes=2)
        assert "_clamped" not in row["properties"]


async def test_without_the_database_time_goes_on_from_its_last_answer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url, connections=1)
    monkeypatch.setattr(SharedTime, "REFRESH_SECONDS", 0.0)
    read = LiveClock.read

    async def read_away(self: LiveClock, connection: AsyncConnection) -> datetime:
        return await read(self, connection) - timedelta(days=3)

    monkeypatch.setattr(LiveClock, "read", read_away)
    shared = SharedTime(database)
    first = await shared.read()
    await database.close()
    monkeypatch.setattr(
        shared, "_database", Database("postgresql://nobody:x@127.0.0.1:9/none", connections=1)
    )
    second = await shared.read()
    assert timedelta() <= second - first < timedelta(minutes=1)
    assert datetime.now(UTC) - second > timedelta(days=2)
    # One that never heard from it has nothing but the host's clock.
    nobody = SharedTime(Database("postgresql://nobody:x@127.0.0.1:9/none", connections=1))
    assert abs(await nobody.read() - datetime.now(UTC)) < timedelta(minutes=1)


def test_nothing_that_decides_reads_the_hosts_clock(checkout: Path) -> None:
    found = set()
    for room in ROOMS:
        for path in (checkout / room).rglob("*.py"):
            if any(reads_host_clock(node) for node in ast.walk(ast.parse(path.read_text()))):
                found.add(str(path.relative_to(checkout)))
    # Benches and simulations of the past aren't live.
    found = {
        name for name in found if not name.startswith(("loops/simulation/", "loops/backtest/", "loops/demo/"))
    }
    assert set(HOST_CLOCK) == found


def reads_host_clock(node: ast.AST) -> bool:
    """`datetime.now(…)`, `datetime.utcnow()`, `date.today()`, `time.time()` and `time.time_ns()`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of = node.func.value
    name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    return (name, node.func.attr) in {
        ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("datetime", "today"), ("time", "time"),
        ("time", "time_ns"),
    }  # fmt: skip
