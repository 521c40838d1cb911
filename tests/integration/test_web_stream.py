"""Server-sent events: what changes is told, and an open stream never keeps a server from stopping."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from store.alerts import raise_alert
from tests.integration.web_edge import KEY, RunningWeb, furnish, run_web


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


class Stream:
    """One open stream, read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next event; a comment has no `event`."""
        found: dict[str, Any] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                found[name] = json.loads(value) if name == "data" else value
            elif found:
                return found
        return {"end": True}

    async def until(self, event: str) -> dict[str, Any]:
        """The next event of this kind."""
        while True:
            found = await self.next()
            if found.get("event") == event or "end" in found:
                return found


@contextlib.asynccontextmanager
async def open_stream(web: RunningWeb, path: str = "/api/stream", **headers: str) -> AsyncIterator[Stream]:
    async with web.client.stream("GET", path, headers=headers) as response:
        assert (response.status_code, response.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        stream = Stream(response)
        assert await stream.next() == {"retry": "2000"}
        assert "" in await stream.next()  # a comment: it listens now
        yield stream


async def test_runs_steps_messages_and_tasks_are_told_as_they_change(web: RunningWeb) -> None:
    async with open_stream(web) as stream:
        ids = await furnish(web)
        seen: dict[str, list[dict[str, Any]]] = {}
        while not {"run", "step", "delivery", "task"} <= set(seen):
            event = await stream.next()
            seen.setdefault(event.get("event", ""), []).append(event.get("data", {}))
        run = seen["run"][0]
        assert (run["playbook"], run["userId"]) == ("rescue-ended", "ada/1")
        await web.change("UPDATE tasks SET state = 'done', outcome = 'reached', closed_at = now()")
        task = (await stream.until("task"))["data"]
        assert (task["id"], task["state"]) == (ids["task"], "reached")


async def test_an_alert_is_told_when_it_opens_without_waiting_for_the_next_look(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.changes.Changes.INTERVAL_SECONDS", 3600.0)
    async with open_stream(web) as stream:
        async with web.other.transaction() as connection:
            now = await web.other.clock.read(connection)
            await raise_alert(connection, "queue:evaluate", "Customers wait.", {}, now)
        assert (await stream.until("alert"))["data"]["state"] == "warning"


async def test_a_ring_is_heard_before_the_next_poll(web: RunningWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.changes.Changes.INTERVAL_SECONDS", 3600.0)
    async with open_stream(web) as stream:
        await furnish(web)
        ringing = asyncio.create_task(_ring(web))
        assert (await stream.until("task"))["data"]["state"] == "open"
        ringing.cancel()


async def _ring(web: RunningWeb) -> None:
    while True:
        await web.other.notify("holdfast_changes")
        await asyncio.sleep(0.2)


async def test_one_customers_changes_can_be_asked_for(web: RunningWeb) -> None:
    await furnish(web)
    async with (
        open_stream(web, "/api/stream?customerId=nobody") as nobody,
        open_stream(web, "/api/stream?userId=ada/1") as hers,
    ):
        await web.change("UPDATE tasks SET state = 'done', outcome = 'reached', closed_at = now()")
        assert (await hers.until("task"))["data"]["state"] == "reached"
        waiting = asyncio.create_task(nobody.next())
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        waiting.cancel()


async def test_who_comes_back_hears_what_was_missed(web: RunningWeb) -> None:
    async with open_stream(web) as stream:
        await furnish(web)
        last = (await stream.until("run"))["id"]
    await web.change(
        "UPDATE runs SET state = 'ended', outcome = 'lost', reason = 'x', ended_at = now() WHERE ended_at "
        "IS NULL"
    )
    async with open_stream(web, **{"Last-Event-ID": last}) as stream:
        while True:
            event = await stream.until("run")
            if event["data"]["state"] == "lost":
                break
    answer = await web.client.get("/api/stream", headers={"Last-Event-ID": "yesterday"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_who_comes_back_hears_what_was_committed_late_too(web: RunningWeb) -> None:
    ids = await furnish(web)
    # The last event told is younger than what another transaction commits only now.
    last = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    await web.change("UPDATE tasks SET state = 'done', outcome = 'reached', closed_at = created_at")
    for since in (last, "0001-01-01T00:00:00+00:00"):
        async with open_stream(web, **{"Last-Event-ID": since}) as stream:
            task = (await stream.until("task"))["data"]
            assert (task["id"], task["state"]) == (ids["task"], "reached")


async def test_a_key_is_needed(web: RunningWeb) -> None:
    answer = await web.client.get("/api/stream", headers={"Authorization": f"Bearer {KEY}x"})
    assert answer.status_code == 401


async def test_a_stream_ends_with_the_key_that_opened_it(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.watched_stream.LOOK_EVERY_SECONDS", 0.1)
    made = await web.client.post("/api/keys", json={"name": "dashboards", "role": "csm"})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    async with open_stream(web, **headers) as theirs, open_stream(web) as ours:
        await furnish(web)
        assert (await theirs.until("task"))["data"]["state"] == "open"
        assert (await web.client.delete("/api/keys/dashboards")).status_code == 200
        assert await theirs.until("nothing") == {"end": True}
        # Others hear on.
        await web.change("UPDATE tasks SET state = 'done', outcome = 'reached', closed_at = now()")
        while (await ours.until("task"))["data"]["state"] != "reached":
            pass


async def test_a_stream_ends_when_its_token_runs_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.watched_stream.LOOK_EVERY_SECONDS", 0.1)
    secret = "a-secret-of-at-least-64-characters-so-that-every-hmac-is-content!"
    async with run_web(database_url, HOLDFAST_TOKEN_SECRET=secret) as web:
        claims = {"sub": "ada/1", "aud": "holdfast", "exp": datetime.now(UTC) + timedelta(hours=1)}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
        async with open_stream(web, **headers) as stream:
            # As if two hours had passed.
            monkeypatch.setattr("web.user_tokens.LEEWAY_SECONDS", -7200)
            assert await asyncio.wait_for(stream.until("nothing"), 30) == {"end": True}


async def test_a_key_and_a_person_have_so_many_streams_and_no_more(database_url: str) -> None:
    given = {"HOLDFAST_STREAMS_PER_KEY": "2", "HOLDFAST_STREAMS_PER_PERSON": "1"}
    secret = "a-secret-of-at-least-64-characters-so-that-every-hmac-is-content!"
    async with run_web(database_url, HOLDFAST_TOKEN_SECRET=secret, **given) as web:
        await furnish(web)
        claims = {"sub": "ada/1", "aud": "holdfast", "exp": datetime.now(UTC) + timedelta(hours=1)}
        hers = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
        async with open_stream(web), contextlib.AsyncExitStack() as stack:
            last = await stack.enter_async_context(open_stream(web))
            # Of the API's and the pages' streams alike.
            for path in ("/api/stream", "/changes"):
                refused = await web.client.get(path)
                problem = refused.json()
                assert (refused.status_code, problem["code"]) == (429, "HF171")
                assert problem["detail"] == "api has 2 streams open already."
                assert int(refused.headers["Retry-After"]) > 0
            async with open_stream(web, **hers):
                assert (await web.client.get("/api/stream", headers=hers)).status_code == 429
            # What nobody reads any more makes room, however it ended.
            await last.response.aclose()
            async with asyncio.timeout(30):
                while True:
                    if await _is_free(web):
                        break
                    await asyncio.sleep(0.05)
        # A stream that can't even begin takes no place.
        for _ in range(3):
            wrong = await web.client.get("/api/stream", headers={"Last-Event-ID": "yesterday"})
            assert wrong.status_code in (400, 422)
        assert await _is_free(web)


async def _is_free(web: RunningWeb) -> bool:
    """Whether one more stream is to be had."""
    async with web.client.stream("GET", "/api/stream") as response:
        return response.status_code == 200


async def test_a_stream_ends_when_the_server_stops(database_url: str) -> None:
    async with contextlib.AsyncExitStack() as stack, run_web(database_url) as web:
        streams = [await stack.enter_async_context(open_stream(web)) for _ in range(5)]
        web.server.should_exit = True
        # Cut off after the grace, a stream would raise here; ended, it just ends.
        for stream in streams:
            assert await stream.next() == {"end": True}
