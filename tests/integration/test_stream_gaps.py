"""The stream under strain: of very much at once, of long absences and lost connections nothing is lost silently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from store.database import Database
from store.score_news import CHANNEL as SCORES
from store.score_news import ScoreNews, pack
from tests.integration.plans import ada, email, playbook
from tests.integration.running_engine import House
from tests.integration.test_course import pause
from tests.integration.test_web_stream import Stream, open_stream
from tests.integration.web_edge import RunningWeb, furnish, run_web
from web.new_changes import NewChanges

TOKENS = "a-secret-of-at-least-64-characters-so-that-every-hmac-is-content!"
# So many alerts at one moment; they stand for whatever changes.
ALERTS = (
    "INSERT INTO alerts (kind, message, at) SELECT 'kind' || n, 'Something', now() - CAST(:ago AS interval) "
    "FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n"
)


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url, HOLDFAST_TOKEN_SECRET=TOKENS) as running:
        yield running


async def raise_alerts(web: RunningWeb, first: int, last: int, ago: timedelta = timedelta()) -> set[str]:
    """The ids of so many new alerts."""
    await web.change(ALERTS, first=first, last=last, ago=ago)
    rows = await web.rows(
        "SELECT id::text AS id FROM alerts WHERE substr(kind, 5)::int BETWEEN :a AND :b", a=first, b=last
    )
    return {row["id"] for row in rows}


async def take(stream: Stream, ids: set[str]) -> list[dict[str, Any]]:
    """Everything that is told until all of these are; an end or a `reload` ends it, too."""
    found: list[dict[str, Any]] = []
    left = set(ids)
    while left:
        event = await stream.next()
        found.append(event)
        if "end" in event or event.get("event") == "reload":
            break
        left.discard(event.get("data", {}).get("id", ""))
    return found


async def test_all_are_told_in_order_of_time_however_many_come_between_two_looks(web: RunningWeb) -> None:
    async with open_stream(web) as stream:
        older = await raise_alerts(web, 1, 700, timedelta(seconds=4))
        ids = older | await raise_alerts(web, 701, 2200)
        events = await asyncio.wait_for(take(stream, ids), 60)
        told = [event["data"] for event in events if "data" in event]
        assert {one["id"] for one in told} == ids
        assert len(told) == len(ids)
        assert [one["at"] for one in told] == sorted(one["at"] for one in told)


async def test_more_than_are_told_one_by_one_are_told_as_one_and_then_it_goes_on(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.new_changes.NewChanges.MOST", 50)
    async with open_stream(web) as stream, open_stream(web, "/api/stream?userId=ada/1") as hers:
        await raise_alerts(web, 1, 1200)
        for one in (stream, hers):
            reload = await one.until("reload")
            assert reload["data"]["state"] == "too_many"
            # Whoever comes back with it goes on from there.
            assert datetime.fromisoformat(reload["id"]) > datetime.now(UTC) - timedelta(minutes=1)
        more = await raise_alerts(web, 2001, 2003)
        told = await asyncio.wait_for(take(stream, more), 30)
        assert {event["data"]["id"] for event in told if "data" in event} == more


async def test_what_is_committed_late_among_very_many_is_told_too(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewChanges(web.other)
    await new.read()
    late = Database(web.other.url, connections=1)
    try:
        async with late.transaction() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO alerts (kind, message, at) VALUES ('late', 'Late', now())"
            )
            ids = await raise_alerts(web, 1, 1500)
            news = await new.read()
            assert {one.id for one in news.changes} == ids
            # One page in which all is known is where a look ends, but for a whole one.
            assert not (await new.read()).changes
        [row] = await web.rows("SELECT id::text AS id FROM alerts WHERE kind = 'late'")
        assert not (await new.read()).changes
        monkeypatch.setattr(new, "WHOLE_SECONDS", 0.0)
        assert [one.id for one in (await new.read()).changes] == [row["id"]]
        assert not (await new.read()).changes
    finally:
        await late.close()


async def test_what_came_while_nobody_could_look_is_told_afterwards(web: RunningWeb) -> None:
    new = NewChanges(web.other)
    new.OVERLAP = timedelta(seconds=1)  # type: ignore[misc]
    await new.read()
    # The database was away, for two minutes and then for longer than changes are told one by one.
    assert new._read_at is not None
    new._read_at -= timedelta(minutes=2)
    ids = await raise_alerts(web, 1, 3, timedelta(minutes=1))
    news = await new.read()
    assert {one.id for one in news.changes} == ids
    new._read_at -= timedelta(hours=2)
    news = await new.read()
    assert news.too_many
    assert not (await new.read()).too_many


async def test_whoever_comes_back_hears_all_or_that_it_is_too_much(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = datetime.now(UTC).isoformat()
    ids = await raise_alerts(web, 1, 1500)
    async with open_stream(web, **{"Last-Event-ID": since}) as stream:
        told = await asyncio.wait_for(take(stream, ids), 60)
        assert {event["data"]["id"] for event in told if "data" in event} >= ids
    monkeypatch.setattr("web.changes.Changes.MOST_MISSED", 1000)
    async with open_stream(web, **{"Last-Event-ID": since}) as stream:
        event = await stream.next()
        assert (event["event"], event["data"]["state"]) == ("reload", "too_many")
        more = await raise_alerts(web, 2001, 2001)
        assert (await stream.until("alert"))["data"]["id"] in more


async def test_whoever_was_away_for_longer_than_is_looked_back_is_told_so(web: RunningWeb) -> None:
    now = datetime.now(UTC)
    await raise_alerts(web, 1, 1, timedelta(minutes=90))
    recent = await raise_alerts(web, 2, 2, timedelta(minutes=10))
    async with open_stream(web, **{"Last-Event-ID": (now - timedelta(hours=2)).isoformat()}) as stream:
        event = await stream.next()
        assert (event["event"], event["data"]["state"]) == ("reload", "too_old")
        assert {(await stream.next())["data"]["id"]} == recent
    async with open_stream(web, **{"Last-Event-ID": (now - timedelta(minutes=30)).isoformat()}) as stream:
        assert {(await stream.next())["data"]["id"]} == recent


async def test_scores_that_could_not_be_heard_are_to_be_read_anew(web: RunningWeb) -> None:
    told = "health_changed", "c1", "ada/1"
    async with open_stream(web) as stream:
        news, _ = pack([ScoreNews(*told, "critical", datetime.now(UTC))])
        await web.other.notify(SCORES, news)
        assert (await stream.until("health_changed"))["data"]["state"] == "critical"
        cut = await web.rows(
            "SELECT pg_terminate_backend(pid) AS cut FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%holdfast_scores%'"
        )
        assert cut == [{"cut": True}]
        reload = await stream.until("reload")
        assert reload["data"]["state"] == "scores"
        # From then on they are heard again.
        news, _ = pack([ScoreNews(*told, "low", datetime.now(UTC))])
        await web.other.notify(SCORES, news)
        assert (await stream.until("health_changed"))["data"]["state"] == "low"


async def test_customers_are_told_to_read_anew_and_nothing_else_of_it(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.new_changes.NewChanges.MOST", 5)
    await furnish(web)
    claims = {"sub": "ada/1", "aud": "holdfast", "exp": datetime.now(UTC) + timedelta(minutes=5)}
    token = jwt.encode(claims, TOKENS, "HS256")
    async with open_stream(web, "/api/stream", Authorization=f"Bearer {token}") as stream:
        await raise_alerts(web, 1, 20)
        reload = (await stream.until("reload"))["data"]
        assert {name: value for name, value in reload.items() if value and name != "at"} == {
            "kind": "reload", "state": "too_many",
        }  # fmt: skip


async def test_pausing_resuming_and_putting_off_a_run_is_told(
    house: House, database_url: str, temporal: str
) -> None:
    await house.engine.publish(playbook(pause("long", 600), email("later")))
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT id::text AS id FROM runs WHERE state = 'running'")
    async with run_web(database_url, temporal) as web, open_stream(web, "/api/stream?userId=ada") as stream:
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        for verb, state in (
            ("pause", "paused"),
            ("resume", "running"),
            ("snooze", "snoozed"),
            ("pause", "paused"),
        ):
            body = {"by": "grace", "reason": "holiday", **({"until": until} if verb == "snooze" else {})}
            answer = await web.client.post(f"/api/runs/{run['id']}/{verb}", json=body)
            assert answer.status_code == 200, answer.text
            told = (await stream.until("run"))["data"]
            assert (told["id"], told["runId"], told["userId"], told["state"]) == (
                run["id"],
                run["id"],
                "ada",
                state,
            )
            # What is told is what is found by whoever looks now.
            shown = (await web.client.get(f"/api/runs/{run['id']}")).json()["run"]
            assert shown["paused"] == (verb == "pause")
        # It ends as it would have, and is told once.
        await web.client.post(f"/api/runs/{run['id']}/stop", json={"by": "grace", "reason": "done"})
        assert (await stream.until("run"))["data"]["state"] == "stopped"


async def test_a_playbook_that_is_paused_tells_of_each_of_its_runs(
    house: House, database_url: str, temporal: str
) -> None:
    plan = playbook(pause("long", 600))
    await house.engine.publish(plan)
    await ada(house)
    await house.engine.send("ada", "help_wanted")
    [run] = await house.engine.until("SELECT id::text AS id FROM runs WHERE state = 'running'")
    async with run_web(database_url, temporal) as web, open_stream(web) as stream:
        for status, state in (("paused", "paused"), ("live", "running")):
            await house.engine.publish(plan.model_copy(update={"status": status}))
            told = (await stream.until("run"))["data"]
            assert (told["id"], told["state"]) == (run["id"], state)
