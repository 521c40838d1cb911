"""What is unwell becomes an alert on a real database; alerts reach a real receiver, signed, in spite of failures."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from loops.alerting import JUDGE_EVERY, Alerting, AlertWebhook
from schemas.errors import SettingError
from schemas.settings import Settings
from store import tables
from store.alert_telling import hold_alert
from store.alerts import raise_alert, resolve_alerts
from store.database import Database, PlayedClock
from store.reading_changes import CHANNEL
from store.standing_alerts import lift_parking, parking_kind, raise_standing
from tests.standins.http import respond
from tests.standins.receiver import CUT, ReceiverStandIn, verify

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
START = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Watch:
    """A database whose clock is ours, somebody who alerts, and a receiver."""

    database: Database
    clock: PlayedClock
    receiver: ReceiverStandIn
    alerting: Alerting

    def wait(self, **more: float) -> None:
        self.clock.now += timedelta(**more)

    async def judge(self) -> dict[str, str]:
        """What is found, a while later."""
        self.wait(seconds=JUDGE_EVERY.total_seconds())
        found = await self.alerting.judge()
        assert found is not None
        return {one.kind: one.severity for one in found}

    async def tell(self) -> list[tuple[str, str]]:
        """What the receiver hears now: type and kind."""
        before = len(self.receiver.requests)
        await self.alerting.tell()
        return [(body["type"], body["data"]["kind"]) for body in self.receiver.bodies[before:]]

    async def change(self, sql: str, **values: Any) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), values)

    async def alerts(self) -> list[Mapping[str, Any]]:
        async with self.database.transaction() as connection:
            rows = await connection.execute(text("SELECT * FROM alerts ORDER BY id"))
            return [dict(row._mapping) for row in rows]

    async def raise_one(self, kind: str = "provider:email/smtp") -> None:
        async with self.database.transaction() as connection:
            detail = {"provider": "smtp", "settings": "fingerprint"}
            await raise_alert(connection, kind, "smtp refuses us", detail, self.clock.now)

    async def resolve(self, kind: str = "provider:email/smtp") -> None:
        async with self.database.transaction() as connection:
            await resolve_alerts(connection, kind, self.clock.now)


@pytest.fixture
async def watch(database_url: str) -> AsyncIterator[Watch]:
    clock = PlayedClock(START)
    database = Database(database_url, clock=clock)
    async with ReceiverStandIn() as receiver:
        given = {"HOLDFAST_ALERT_WEBHOOK": f"{receiver.url}/alerts?team=cs", "HOLDFAST_ALERT_SECRET": SECRET}
        webhook = AlertWebhook.read(Settings.read(given))
        yield Watch(database, clock, receiver, Alerting(database, webhook))
    await database.close()


async def test_a_queue_that_waits_is_told_when_it_opens_gets_critical_and_is_over(watch: Watch) -> None:
    async with watch.database.transaction() as connection:
        row = {"source": "smtp", "request_id": "1", "body": b"x", "received_at": START, "next_at": START}
        await connection.execute(insert(tables.hook_requests).values(row))
    assert await watch.judge() == {}
    watch.wait(minutes=5)
    assert await watch.judge() == {"queue:hooks": "warning"}
    assert await watch.tell() == [("alert.opened", "queue:hooks")]
    assert await watch.judge() == {"queue:hooks": "warning"}
    assert await watch.tell() == []
    watch.wait(hours=1)
    assert await watch.judge() == {"queue:hooks": "critical"}
    assert await watch.tell() == [("alert.critical", "queue:hooks")]
    await watch.change("UPDATE hook_requests SET done_at = next_at")
    assert await watch.judge() == {}
    assert await watch.tell() == [("alert.resolved", "queue:hooks")]
    assert await watch.tell() == []
    [alert] = await watch.alerts()
    assert (alert["severity"], alert["told_as"]) == ("critical", "resolved")
    assert alert["resolved_at"] is not None
    ids = [request.headers["webhook-id"] for request in watch.receiver.requests]
    assert ids == [f"alert-{alert['id']}-{what}" for what in ("opened", "critical", "resolved")]


async def test_pages_hear_at_once_of_what_is_found_and_of_what_is_let_go_on(watch: Watch) -> None:
    bell = asyncio.Event()
    listening = asyncio.create_task(watch.database.listen([CHANNEL], bell))

    async def is_rung() -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await bell.wait()
        rung = bell.is_set()
        bell.clear()
        return rung

    try:
        assert await is_rung()  # it listens
        async with watch.database.transaction() as connection:
            assert await hold_alert(connection, "queue:evaluate", "warning", "slow", {}, watch.clock.now)
        assert await is_rung()
        async with watch.database.transaction() as connection:
            assert await hold_alert(connection, "queue:evaluate", "critical", "slower", {}, watch.clock.now)
        assert await is_rung()
        async with watch.database.transaction() as connection:
            await raise_standing(connection, parking_kind("email"), "parked", {}, watch.clock.now)
        assert await is_rung()
        async with watch.database.transaction() as connection:
            assert await lift_parking(connection, "email", "ops", watch.clock.now)
        assert await is_rung()
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_a_channel_whose_only_provider_is_parked_is_critical_at_once(watch: Watch) -> None:
    later = START + timedelta(days=1)
    async with watch.database.transaction() as connection:
        row = {"channel": "email", "provider": "smtp", "state": "parked", "since": START, "until": later}
        await connection.execute(insert(tables.providers).values(row))
    watch.wait(minutes=2)
    assert await watch.judge() == {"channel_down:email": "critical"}
    await watch.tell()
    [body] = watch.receiver.bodies
    assert (body["type"], body["data"]["severity"]) == ("alert.opened", "critical")
    assert body["data"]["detail"]["providers"] == ["smtp"]


async def test_a_channel_is_not_told_to_be_well_because_its_provider_is_about_to_be_tried(
    watch: Watch,
) -> None:
    rest = timedelta(minutes=5)
    async with watch.database.transaction() as connection:
        row = {
            "channel": "email",
            "provider": "smtp",
            "state": "resting",
            "since": START,
            "until": START + rest,
        }
        await connection.execute(insert(tables.providers).values(row))
    watch.clock.now = START + rest
    assert await watch.judge() == {"channel_down:email": "critical"}
    # It failed again: it rests on. Then nobody has anything for it any more.
    await watch.change("UPDATE providers SET until = :until", until=START + 2 * rest)
    watch.clock.now = START + 2 * rest + timedelta(minutes=1)
    assert await watch.judge() == {"channel_down:email": "critical"}
    watch.clock.now = START + 2 * rest + timedelta(minutes=3)
    assert await watch.judge() == {}
    assert [one["resolved_at"] is not None for one in await watch.alerts()] == [True]


async def test_what_a_receiver_gets_is_signed_and_says_what_is_wrong(watch: Watch) -> None:
    await watch.raise_one()
    await watch.tell()
    [request] = watch.receiver.requests
    assert (request.method, request.path, request.query) == ("POST", "/alerts", {"team": "cs"})
    assert verify(request, SECRET)
    [body] = watch.receiver.bodies
    assert body["timestamp"] == START.isoformat()
    assert body["data"] == {
        "id": body["data"]["id"], "kind": "provider:email/smtp", "severity": "warning", "message": "smtp refuses us",
        "detail": {"provider": "smtp"}, "opened_at": START.isoformat(), "resolved_at": None,
        "url": "http://127.0.0.1:8080/alerts",
    }  # fmt: skip


async def test_it_is_told_again_until_it_is_taken_under_the_same_id(watch: Watch) -> None:
    watch.receiver.script.extend([respond(500, b""), CUT, respond(404, b"")])
    await watch.raise_one()
    assert len(await watch.tell()) == 1
    assert await watch.tell() == []
    for pause_seconds in (5, 10, 20):
        watch.wait(seconds=pause_seconds - 1)
        assert await watch.tell() == []
        watch.wait(seconds=1)
        assert len(await watch.tell()) == 1
    watch.wait(hours=1)
    assert await watch.tell() == []
    assert len({request.headers["webhook-id"] for request in watch.receiver.requests}) == 1
    [alert] = await watch.alerts()
    assert alert["told_at"] is not None


async def test_what_is_over_before_it_was_taken_is_told_as_over(watch: Watch) -> None:
    watch.receiver.script.append(respond(503, b"", **{"Retry-After": "40"}))
    await watch.raise_one()
    assert await watch.tell() == [("alert.opened", "provider:email/smtp")]
    await watch.resolve()
    watch.wait(seconds=39)
    assert await watch.tell() == []
    watch.wait(seconds=1)
    assert await watch.tell() == [("alert.resolved", "provider:email/smtp")]
    assert await watch.tell() == []


async def test_two_workers_tell_each_alert_once(watch: Watch) -> None:
    for number in range(12):
        await watch.raise_one(f"provider:email/p{number}")
    other = Alerting(watch.database, AlertWebhook.read(Settings.read({
        "HOLDFAST_ALERT_WEBHOOK": watch.receiver.url, "HOLDFAST_ALERT_SECRET": SECRET})))  # fmt: skip
    for _ in range(2):
        await asyncio.gather(watch.alerting.tell(), other.tell())
    kinds = [body["data"]["kind"] for body in watch.receiver.bodies]
    assert sorted(kinds) == sorted({f"provider:email/p{number}" for number in range(12)})
    judged = await asyncio.gather(watch.alerting.judge(), other.judge())
    assert sorted(judged, key=lambda found: found is None) == [[], None]


async def test_without_a_webhook_nothing_piles_up_for_the_day_that_there_is_one(watch: Watch) -> None:
    assert AlertWebhook.read(Settings.read({})) is None
    silent = Alerting(watch.database, None)
    await watch.raise_one("provider:email/a")
    await watch.resolve("provider:email/a")
    await watch.raise_one("provider:email/b")
    assert await silent.tell() == 0
    assert await watch.tell() == [("alert.opened", "provider:email/b")]


async def test_alerts_of_others_are_left_to_them(watch: Watch) -> None:
    await watch.raise_one("runs:stuck")
    assert await watch.judge() == {}
    [alert] = await watch.alerts()
    assert (alert["resolved_at"], alert["severity"]) == (None, "critical")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"HOLDFAST_ALERT_WEBHOOK": "https://x.example/"}, "HOLDFAST_ALERT_SECRET is not set"),
        ({"HOLDFAST_ALERT_WEBHOOK": "ftp://x.example/", "HOLDFAST_ALERT_SECRET": SECRET}, "no web address"),
        ({"HOLDFAST_ALERT_WEBHOOK": "https://x.example/", "HOLDFAST_ALERT_SECRET": "whsec_x"}, "HOLDFAST_ALERT_SECRET"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong_are_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        AlertWebhook.read(Settings.read(given))
