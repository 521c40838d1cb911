"""Saying afterwards what an event was really like: over the API, from the command line; a worker makes it so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cli.main import run
from tests.integration.running_engine import run_engine
from tests.integration.web_edge import RunningWeb, run_web


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


async def track(web: RunningWeb, message_id: str, event: str, at: str, **properties: Any) -> None:
    body = {
        "userId": "ada",
        "event": event,
        "messageId": message_id,
        "timestamp": at,
        "properties": properties,
    }
    answer = await web.client.post("/v1/track", json=body)
    assert answer.json()["accepted"] == 1


async def correct(web: RunningWeb, status: int = 200, **body: Any) -> Any:
    answer = await web.client.post("/api/events/corrections", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_event_is_corrected_and_retracted_over_the_api(web: RunningWeb) -> None:
    await track(web, "m1", "client_imported", "2026-03-02T09:00:00Z", count=50)
    [source] = [row["source"] for row in await web.rows("SELECT source FROM events")]
    said = {"source": source, "messageId": "m1", "reason": "counted twice"}
    done = await correct(web, **said, properties={"count": 25}, at="2026-03-01T10:00:00+01:00")
    assert (done["success"], done["userId"], done["event"]) == (True, "ada", "client_imported")
    [row] = await web.rows("SELECT properties, occurred_at, author, reason FROM corrections")
    assert (row["properties"], row["author"], row["reason"]) == ({"count": 25}, source, "counted twice")
    assert row["occurred_at"].isoformat() == "2026-03-01T09:00:00+00:00"
    [wanted] = await web.rows("SELECT since::text, whole FROM repairs")
    assert wanted == {"since": "2026-03-02", "whole": True}
    await correct(web, **said, retract=True)
    assert await web.count("corrections") == 2


async def test_the_audit_says_what_stood_before_and_holds_nothing_of_it(web: RunningWeb) -> None:
    await track(web, "m1", "client_imported", "2026-03-02T09:00:00Z", count=50, note="by Ada Lovelace")
    [source] = [row["source"] for row in await web.rows("SELECT source FROM events")]
    said = {"source": source, "messageId": "m1", "reason": "counted twice"}
    await correct(web, **said, properties={"count": 25, "note": "by Ada Lovelace"})
    await correct(web, **said, at="2026-03-01T09:00:00Z")
    await correct(web, **said, retract=True)
    await correct(web, **said, properties={"count": 50, "note": "by Ada Lovelace"}, at="2026-03-02T09:00:00Z")
    rows = await web.rows("SELECT before, after FROM audit_log WHERE action = 'event.corrected' ORDER BY id")
    sent, first, moved, gone = [row["before"] for row in rows]
    assert (sent["retracted"], sent["at"]) == (False, "2026-03-02T09:00:00+00:00")
    assert sent["properties"]["number"] == 2
    # Each one's before is what the one before it left.
    for row, then in zip(rows, [first, moved, gone, sent], strict=True):
        assert {name: row["after"][name] for name in then} == then
    assert first["properties"]["sha256"] != sent["properties"]["sha256"]
    assert moved == first | {"at": "2026-03-01T09:00:00+00:00"}
    assert (gone["retracted"], gone["properties"]) == (True, None)
    assert [row["after"]["changed"] for row in rows] == [["count"], [], ["count", "note"], ["count", "note"]]
    assert "Lovelace" not in str(rows)


async def test_of_an_identify_call_the_audit_says_what_its_traits_were(web: RunningWeb) -> None:
    await web.client.post(
        "/v1/identify",
        json={"userId": "ada", "messageId": "i1", "traits": {"plan": "pro", "email": "ada@example.com"}},
    )
    [source] = [row["source"] for row in await web.rows("SELECT source FROM events")]
    traits = {"plan": "free", "email": "ada@example.com"}
    await correct(web, source=source, messageId="i1", reason="typo", properties=traits)
    [row] = await web.rows("SELECT before, after FROM audit_log WHERE action = 'event.corrected'")
    assert row["before"]["properties"]["number"] == row["after"]["properties"]["number"] == 2
    assert row["after"]["changed"] == ["plan"]
    assert "ada@example.com" not in str(row)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"retract": True, "messageId": "m2"}, 404, "m2"),
        ({}, 422, "not both and not neither"),
        ({"retract": True, "properties": {}}, 422, "not both and not neither"),
        ({"at": "2199-01-01T00:00:00Z"}, 422, "lies ahead"),
        ({"at": "2026-03-01T00:00:00"}, 422, "at"),
        ({"properties": {"a": "\x00"}}, 422, "can't be stored"),
        ({"properties": [1]}, 422, "properties"),
        ({"retract": True, "reason": ""}, 422, "reason"),
    ],
)
async def test_what_cant_be_recorded_is_refused_with_the_reason(
    web: RunningWeb, body: dict[str, Any], status: int, told: str
) -> None:
    await track(web, "m1", "login", "2026-03-02T09:00:00Z")
    [source] = [row["source"] for row in await web.rows("SELECT source FROM events")]
    answer = await correct(web, status, **({"source": source, "messageId": "m1", "reason": "r"} | body))
    assert told in answer["detail"]
    assert await web.count("corrections") == 0
    web.client.headers.pop("Authorization")
    assert (await web.client.post("/api/events/corrections", json={})).status_code == 401


async def test_from_the_command_line_and_a_worker_makes_it_so(
    database_url: str, temporal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    async def told(*arguments: str, status: int = 0) -> str:
        assert await asyncio.to_thread(run, ["correct", *named, *arguments]) == status
        captured = capsys.readouterr()
        return captured.out + captured.err

    async with run_engine(database_url, temporal, {}) as engine:
        for _ in range(3):
            await engine.send("ada", "form_created")
        [row, *_] = await engine.rows("SELECT source, message_id FROM events ORDER BY at")
        named = ["--source", row["source"], "--message-id", row["message_id"], "--reason", "a test"]
        assert "never happened" in await told("--retract")
        await engine.until("SELECT 1 FROM signals WHERE forms_created = 2")
        assert "is corrected" in await told("--properties", "{}", "--at", "2026-01-05T09:00:00Z")
        await engine.until("SELECT 1 FROM signals WHERE forms_created = 3")
        await engine.until("SELECT 1 FROM signal_history WHERE day = now()::date - 1 AND forms_created = 1")
        assert await engine.rows("SELECT * FROM repairs") == []
        for bad, why in (
            (["--properties", "[1]"], "no JSON object"),
            (["--properties", "{"], "no JSON"),
            (["--at", "noon"], "no time"),
            (["--at", "2026-01-05T09:00:00"], "no zone"),
            ([], "not both and not neither"),
        ):
            assert why in await told(*bad, status=1)
