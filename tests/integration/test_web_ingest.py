"""Events come in over Segment's API, from its real client and from hand-made requests, good and bad."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from segment.analytics.client import Client

from loops.embedded_postgres import EmbeddedPostgres
from store.api_keys import delete_key, store_key
from tests.integration.web_edge import KEY, RunningWeb, run_web


@pytest.fixture
async def web(database_url: str) -> AsyncIterator[RunningWeb]:
    async with run_web(database_url) as running:
        yield running


# Values of `properties` that PostgreSQL, JSON or a reader would stumble on.
POISONS = (
    '{"x": NaN}', '{"x": 1e999}', '{"x": ' + "9" * 5000 + "}", '{"x": "\\u0000"}', '{"\\u0000": 1}',
    '{"x": "\\ud800"}',
    '{"x": "\ud800"}', '{"x": ' + "[" * 3000 + "]" * 3000 + "}", '{"x": 1, "x": 2}',
    '{"x": "' + "a" * 33_000 + '"}',
    '{"x": 01}', '{"x": "a\tb"}', '{"x": "a\0b"}', "[]", '"text"',
)  # fmt: skip


def track(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": f"u{number}", "event": "login", "messageId": f"m{number}", **more}


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


async def with_segment(web: RunningWeb, calls: Any, **options: Any) -> None:
    """Let Segment's own client make `calls`, in its threads; any error that it tells of is raised here."""
    errors: list[Exception] = []
    client = Client(KEY, host=web.address, on_error=lambda error, _: errors.append(error), **options)
    try:
        calls(client)
        await asyncio.to_thread(client.flush)
    finally:
        await asyncio.to_thread(client.join)
    assert errors == []


async def test_segments_own_client_identifies_tracks_groups_and_views(web: RunningWeb) -> None:
    def calls(client: Client) -> None:
        client.identify("ada", {"email": "ada@example.com", "firstName": "Ada", "plan": "pro"})
        client.track("ada", "form_created", {"count": 2})
        client.group("ada", "studio", {"name": "Ada's Studio", "email": "office@example.com"})
        client.page("ada", "docs", "Pricing", {"path": "/pricing"})

    await with_segment(web, calls)
    events = {row["name"]: row["properties"] for row in await web.rows("SELECT name, properties FROM events")}
    assert events["form_created"] == {"count": 2}
    assert events["group"]["groupId"] == "studio"
    assert events["page"] == {"name": "Pricing", "category": "docs", "path": "/pricing"}
    [ada] = await web.rows("SELECT external_id, email, first_name, business_name FROM customers")
    assert ada == {
        "external_id": "ada",
        "email": "ada@example.com",
        "first_name": "Ada",
        "business_name": "Ada's Studio",
    }
    [signals] = await web.rows("SELECT plan FROM signals")
    assert signals["plan"] == "pro"


async def test_250_events_of_segments_client_are_stored_once_however_often_they_come(web: RunningWeb) -> None:
    ids = [str(uuid.uuid4()) for _ in range(250)]

    def calls(client: Client) -> None:
        for number, message_id in enumerate(ids):
            client.track(f"u{number % 20}", "login", {"number": number}, message_id=message_id)

    await with_segment(web, calls)
    assert await web.count("events") == 250
    await with_segment(web, calls, gzip=True)
    assert await web.count("events") == 250
    assert await web.count("customers") == 20


async def test_the_answer_comes_after_the_commit(web: RunningWeb) -> None:
    for number in range(20):
        answer = await web.client.post("/v1/track", json=track(number))
        seen = await web.rows("SELECT 1 FROM events WHERE message_id = :id", id=f"m{number}")
        assert (answer.status_code, answer.json(), len(seen)) == (
            200,
            {"success": True, "accepted": 1, "rejected": 0},
            1,
        )
    assert await web.count("evaluations") == 20


async def test_an_answer_waits_for_a_commit_that_is_held_up(web: RunningWeb) -> None:
    await web.client.post("/v1/track", json=track(1))
    async with web.other.transaction() as connection:
        from store.customers import lock_customers

        [row] = await web.rows("SELECT id::text AS id FROM customers")
        await lock_customers(connection, [str(row["id"])])
        posting = asyncio.create_task(web.client.post("/v1/track", json=track(1, messageId="later")))
        done, _ = await asyncio.wait([posting], timeout=0.5)
        assert not done
    assert (await posting).status_code == 200
    assert await web.count("events") == 2


async def test_of_a_batch_with_one_poisoned_event_99_are_stored_and_one_is_a_dead_letter(
    web: RunningWeb,
) -> None:
    calls = [json.dumps(track(number)) for number in range(99)]
    calls.insert(50, json.dumps(track(99, properties="@")).replace('"@"', '{"x": NaN}'))
    body = '{"sentAt": "2026-01-01T00:00:00Z", "batch": [' + ", ".join(calls) + "]}"
    answer = await web.client.post("/v1/batch", content=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "accepted": 99, "rejected": 1})
    assert await web.count("events") == 99
    [letter] = (await web.client.get("/api/dead-letters")).json()["deadLetters"]
    assert (letter["source"], letter["reason"]) == ("api", "NaN is no JSON number.")
    assert json.loads(letter["body"])["messageId"] == "m99"


async def test_every_kind_of_poison_becomes_a_dead_letter_that_can_be_read_again(web: RunningWeb) -> None:
    calls = [json.dumps(track(n, properties="@")).replace('"@"', poison) for n, poison in enumerate(POISONS)]
    body = '{"batch": [' + ", ".join([*calls, json.dumps(track(99))]) + "]}"
    answer = await web.client.post("/v1/batch", content=body.encode("utf-8", "surrogatepass"))
    assert answer.json() == {"success": True, "accepted": 1, "rejected": len(POISONS)}
    letters = (await web.client.get("/api/dead-letters?limit=100")).json()["deadLetters"]
    assert len(letters) == len(POISONS)
    assert all(letter["reason"] and letter["body"].startswith('{"type"') for letter in letters)


async def test_a_broken_message_that_comes_again_and_again_is_one_dead_letter(web: RunningWeb) -> None:
    for _ in range(3):
        await web.client.post("/v1/alias", json={"userId": "u", "previousId": "v", "writeKey": KEY})
    [letter] = (await web.client.get("/api/dead-letters")).json()["deadLetters"]
    assert (letter["times"], letter["reason"]) == (3, "alias is not supported")
    assert KEY not in letter["body"]


async def test_a_batch_that_is_cut_off_keeps_its_whole_events(web: RunningWeb) -> None:
    body = json.dumps({"batch": [track(1), track(2), track(3)]})
    answer = await web.client.post("/v1/batch", content=body[:-20])
    assert answer.json() == {"success": True, "accepted": 2, "rejected": 1}


async def test_the_same_event_ten_times_at_once_is_one_row(web: RunningWeb) -> None:
    answers = await asyncio.gather(*(web.client.post("/v1/track", json=track(1)) for _ in range(10)))
    stamped = [
        web.client.post("/v1/track", json=track(2, timestamp="2026-01-01T00:00:00Z")) for _ in range(10)
    ]
    answers += await asyncio.gather(*stamped)
    assert {answer.status_code for answer in answers} == {200}
    assert await web.count("events") == 2


async def test_an_event_without_a_message_id_is_known_by_its_content(web: RunningWeb) -> None:
    call = {
        "userId": "u",
        "event": "login",
        "timestamp": "2026-01-01T00:00:00Z",
        "properties": {"a": 1, "b": 2},
    }
    again = {
        "properties": {"b": 2, "a": 1},
        "timestamp": "2026-01-01T00:00:00Z",
        "event": "login",
        "userId": "u",
    }
    other = {**call, "timestamp": "2026-01-02T00:00:00Z"}
    for body in (call, again, other):
        assert (await web.client.post("/v1/track", json=body)).status_code == 200
    assert await web.count("events") == 2


async def test_a_bad_event_that_only_the_database_refuses_fails_no_other(web: RunningWeb) -> None:
    await web.change("ALTER TABLE events ADD CONSTRAINT no_monday CHECK (name <> 'monday')")
    posts = [web.client.post("/v1/track", json=track(number)) for number in range(20)]
    posts.append(
        web.client.post("/v1/batch", json={"batch": [track(30), track(31, event="monday"), track(32)]})
    )
    answers = [answer.json() for answer in await asyncio.gather(*posts)]
    assert answers[:20] == [{"success": True, "accepted": 1, "rejected": 0}] * 20
    assert answers[20] == {"success": True, "accepted": 2, "rejected": 1}
    assert await web.count("events") == 22
    [letter] = await web.rows("SELECT code, reason, body FROM dead_letters")
    assert letter["code"] == "HF119"
    assert "no_monday" in letter["reason"]
    assert json.loads(letter["body"])["messageId"] == "m31"


async def test_a_key_is_needed_and_may_be_shown_in_four_ways(web: RunningWeb) -> None:
    async def status(body: dict[str, Any], **headers: str) -> int:
        web.client.headers.pop("Authorization", None)
        answer = await web.client.post("/v1/track", json=body, headers=headers)
        if answer.status_code == 401:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "WWW-Authenticate" in answer.headers
            assert answer.json()["success"] is False
        return answer.status_code

    assert await status(track(1), Authorization=basic(KEY)) == 200
    assert await status(track(2), Authorization=f"Bearer {KEY}") == 200
    assert await status(track(3, writeKey=KEY)) == 200
    answer = await web.client.post("/v1/batch", json={"batch": [track(4)], "writeKey": KEY})
    assert answer.status_code == 200
    assert await status(track(5)) == 401
    assert await status(track(5, writeKey="wrong")) == 401
    assert await status(track(5), Authorization=basic("wrong")) == 401
    assert await status(track(5, writeKey=KEY), Authorization="Bearer wrong") == 401
    assert await status(track(5), Authorization="Basic %%%") == 401
    assert await web.count("events") == 4


async def test_a_key_kept_in_the_database_lets_in_under_its_name_until_it_is_removed(
    web: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.keys.KeyRing.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("web.keys.KeyRing.RETRY_SECONDS", 0.0)
    async with web.other.transaction() as connection:
        now = await web.other.clock.read(connection)
        await store_key(connection, "mobile", "a-key-for-the-mobile-app", now=now)
    headers = {"Authorization": basic("a-key-for-the-mobile-app")}
    assert (await web.client.post("/v1/track", json=track(1), headers=headers)).status_code == 200
    [row] = await web.rows("SELECT source FROM events")
    assert row["source"] == "mobile"
    async with web.other.transaction() as connection:
        await delete_key(connection, "mobile")
    assert (await web.client.post("/v1/track", json=track(2), headers=headers)).status_code == 401


async def test_gzip_is_read_and_a_bomb_is_refused(web: RunningWeb) -> None:
    async def post(content: bytes, encoding: str = "gzip") -> int:
        headers = {"Content-Encoding": encoding}
        return (await web.client.post("/v1/batch", content=content, headers=headers)).status_code

    assert await post(gzip.compress(json.dumps({"batch": [track(1)]}).encode())) == 200
    assert await post(gzip.compress(b"x" * 200_000_000, 1)[: 500 * 1024]) == 413
    assert await post(gzip.compress(b"[" * 600_000)) == 413
    assert await post(b"no gzip at all") == 400
    assert await post(gzip.compress(b'{"batch": []}')[:-10]) == 400
    assert await post(b"{}", "br") == 400
    assert await web.count("events") == 1


async def test_a_body_over_500_kilobytes_is_refused_whether_or_not_its_length_is_declared(
    web: RunningWeb,
) -> None:
    body = json.dumps({"batch": [track(n, properties={"x": "a" * 1000}) for n in range(500)]}).encode()
    assert len(body) > 500 * 1024

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 8192):
            yield body[start : start + 8192]

    declared = await web.client.post("/v1/batch", content=body)
    assert (declared.status_code, declared.headers["content-type"]) == (413, "application/problem+json")
    streamed = await web.client.post("/v1/batch", content=chunks())
    assert streamed.status_code == 413
    assert await web.count("events") == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"hello", b'{"batch": 3}', b"\xff\xfe"])
async def test_a_body_without_a_batch_is_a_problem_that_says_what_to_send(
    web: RunningWeb, body: bytes
) -> None:
    answer = await web.client.post("/v1/batch", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "batch" in answer.json()["remedy"]


async def test_while_the_database_is_away_the_answer_is_503_and_says_when_to_come_back() -> None:
    async with run_web("postgresql://nobody@127.0.0.1:9/none") as web:
        answer = await web.client.post("/v1/track", json=track(1))
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "127.0.0.1:9" not in answer.text
        health = await web.client.get("/healthz")
        assert (health.status_code, health.json()["database"]["ok"], health.json()["temporal"]["ok"]) == (
            503,
            False,
            False,
        )


async def test_segments_client_repeats_what_was_not_stored_until_it_is(
    database_url: str, postgres_server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="segment")
    name = database_url.rsplit("/", 1)[1]
    async with run_web(database_url) as web:
        postgres_server.query(
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false; "
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            database="postgres",
        )
        answer = await web.client.post("/v1/track", json=track(1))
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        sending = asyncio.create_task(
            with_segment(web, lambda client: client.track("ada", "login"), max_retries=10)
        )
        await asyncio.sleep(1)
        postgres_server.query(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", database="postgres")
        await sending
        assert await web.count("events") == 1


async def test_every_answer_under_load_follows_its_own_commit(web: RunningWeb) -> None:
    async def one(number: int) -> None:
        answer = await web.client.post("/v1/track", json=track(number))
        assert answer.json() == {"success": True, "accepted": 1, "rejected": 0}
        assert await web.rows("SELECT 1 FROM events WHERE message_id = :id", id=f"m{number}")

    await asyncio.gather(*(one(number) for number in range(300)))
    assert await web.count("events") == 300
